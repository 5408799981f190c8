"""Every client library is asked the same questions, over every kind of URL and version of MQTT that it has (matrix.py); the answers make
docs/compatibility.md (compatibility.py)."""
import os
import subprocess
import time

import pytest

from matrix import CLIENTS, DRIVERS

# Every version over TLS; the newest over everything.
ROWS = [(c, v, u) for c in CLIENTS for v in c.versions for u in c.urls if u == "mqtts" or v == max(c.versions)]


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drivers")
    for c in CLIENTS:
        if c.build:
            c.build(folder)
    return folder


@pytest.fixture(scope="module")
def secret(picket):
    return picket.add("tool")


class Driver:
    """One client's program, on one broker, by one URL."""

    def __init__(self, client, version, url, picket, secret, folder):
        port = picket.port if url in ("mqtts", "wss") else picket.plain_port
        path = "/mqtt" if url in ("ws", "wss") else ""
        self.secret_file = picket.folder / "tool.secret"
        self.secret_file.write_text(secret + "\n")
        self.name = f"{client.name}-{version}-{url}".replace(" ", "")
        self.command = [part.format(folder=folder) for part in client.command]
        self.env = {**os.environ, "URL": f"{url}://localhost:{port}{path}", "CA": str(picket.ca), "NAME": "tool", "SECRET_FILE": str(self.secret_file),
                    "VERSION": str(version)}
        self.topic = f"matrix/{self.name}"

    def start(self, *words, id):
        return subprocess.Popen([*self.command, *map(str, words)], cwd=DRIVERS, env={**self.env, "ID": f"tool:{self.name}-{id}"},
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, id="a"):
        p = self.start(*words, id=id)
        out, err = p.communicate(timeout=60)
        assert p.returncode == 0 and out.endswith("ok\n"), f"{words}: exit {p.returncode}\n{out}\n{err}"


@pytest.fixture(params=ROWS, ids=lambda r: f"{r[0].name}-{r[1]}-{r[2]}".replace(" ", ""))
def driver(request, picket, secret, drivers):
    client, version, url = request.param
    return Driver(client, version, url, picket, secret, drivers)


def other(picket):
    """A client of our own that asks and says what the library is to hear."""
    c = picket.client("open")
    c.login("matrix-other")
    return c


def line(p, want, seconds=30):
    """The next line of the driver that says this; others are left out."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        got = p.stdout.readline()
        if not got:
            raise AssertionError(p.stderr.read())
        if got.strip() == want:
            return
    raise AssertionError(f"{want} did not come")


def test_connect(driver):
    driver.run("roundtrip", driver.topic + "/c", 0, 1, 10)


def test_qos(driver):
    for qos in (0, 1, 2):
        driver.run("roundtrip", f"{driver.topic}/{qos}", qos, 40, 100)


def test_large(driver):
    driver.run("roundtrip", driver.topic + "/large", 1, 3, 500 * 1024)


def test_retained(driver):
    driver.run("retained", driver.topic + "/kept")


def test_will(driver, picket):
    watcher = other(picket)
    watcher.subscribe(driver.topic + "/will", 1)
    p = driver.start("will", driver.topic + "/will", id="w")
    line(p, "up")
    p.kill()
    p.wait()
    assert watcher.message(15)[:2] == (driver.topic + "/will", b"gone")
    watcher.close()


def say(picket, topic, payloads):
    c = other(picket)
    for i, payload in enumerate(payloads):
        c.publish(topic, payload, qos=1, pid=i + 1)
        c.expect(4)
    c.close()


def test_resume(driver, picket):
    driver.run("sleep", driver.topic + "/sleep", id="r")
    say(picket, driver.topic + "/sleep", [str(i).encode() for i in range(20)])
    driver.run("wake", 20, id="r")


@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_restart(client, make_picket, drivers):
    """The broker is killed and comes back: the library connects again by itself, its session is there, and so is what was sent meanwhile."""
    picket = make_picket()
    d = Driver(client, max(client.versions), "mqtts", picket, picket.add("tool"), drivers)
    p = d.start("stay", "news", id="s")
    try:
        line(p, "up")
        say(picket, "news", [b"before"])
        line(p, "before")
        picket.process.kill()
        picket.process.wait()
        picket.start()
        say(picket, "news", [b"after"])
        line(p, "after")
    finally:
        p.kill()
        p.wait()
