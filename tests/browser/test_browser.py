"""A page in a real browser: headless Chromium, which trusts the broker's CA and nothing else of it, and MQTT.js as people load it.
A page whose origin is listed talks MQTT over wss; any other gets 403 from the broker, and a message from its browser."""
import functools
import http.server
import json
import pathlib
import shutil
import subprocess
import threading
import time

import pytest
from picket import Picket

HERE = pathlib.Path(__file__).parent
CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: scripts/deps test installs it")


@pytest.fixture(scope="module")
def pages():
    """page.html and MQTT.js over HTTP on loopback, on a port of their own."""
    if not (HERE / "node_modules" / "playwright-core").exists() or not (HERE / "node_modules" / "mqtt").exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"], cwd=HERE, check=True, timeout=300)

    class Pages(http.server.SimpleHTTPRequestHandler):
        def translate_path(self, path):
            return str({"/mqtt.min.js": HERE / "node_modules/mqtt/dist/mqtt.min.js"}.get(path, HERE / "page.html"))

        def end_headers(self):
            if self.path == "/sandboxed":  # its origin is "null"
                self.send_header("Content-Security-Policy", "sandbox allow-scripts")
            super().end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def broker(tmp_path_factory, pages):
    with Picket(tmp_path_factory.mktemp("browser"), listener=f'origins = {{"http://localhost:{pages}"}}') as p:
        p.secret = p.add("web")
        yield p


def home_of(folder, ca=None):
    """A home whose browser trusts that CA, by the store that Chromium reads on Linux."""
    store = folder / ".pki/nssdb"
    store.mkdir(parents=True)
    subprocess.run(["certutil", "-d", f"sql:{store}", "-N", "--empty-password"], check=True, capture_output=True)
    if ca:
        subprocess.run(["certutil", "-d", f"sql:{store}", "-A", "-t", "C,,", "-n", "picket test CA", "-i", ca], check=True, capture_output=True)
    return str(folder)


def browse(home, *steps):
    r = subprocess.run(["node", "driver.mjs"], cwd=HERE, capture_output=True, text=True, timeout=300,
                       input=json.dumps({"home": home, "executable": CHROMIUM, "steps": steps}))
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def step(pages, call, host="localhost", path="", **args):
    return {"page": f"http://{host}:{pages}/{path}", "call": call, "args": args}


@pytest.fixture(scope="module")
def seen(broker, pages, tmp_path_factory):
    """Everything in one run of the browser: name -> result."""
    wss, wrong = f"wss://localhost:{broker.port}/mqtt", f"wss://localhost:{broker.port}/elsewhere"
    login = {"url": wss, "username": "web", "password": broker.secret}
    steps = {
        "talk 4": step(pages, "talk", **login, version=4, id="a"),
        "talk 5": step(pages, "talk", **login, version=5, id="b"),
        "root path": step(pages, "talk", **(login | {"url": f"wss://localhost:{broker.port}"}), version=5, id="c"),
        "foreign": step(pages, "socket", "127.0.0.1", url=wss, protocols=["mqtt"]),
        "foreign mqtt": step(pages, "refused", "127.0.0.1", **login),
        "foreign plain": step(pages, "socket", "127.0.0.1", url=f"ws://localhost:{broker.plain_port}/mqtt", protocols=["mqtt"]),
        "null": step(pages, "socket", path="sandboxed", url=wss, protocols=["mqtt"]),
        "wrong secret": step(pages, "refused", **(login | {"password": "x" * len(broker.secret)})),
        "wrong path": step(pages, "socket", url=wrong, protocols=["mqtt"]),
        "no subprotocol": step(pages, "socket", url=wss, protocols=["chat"]),
        "text": step(pages, "socket", url=wss, protocols=["mqtt", "mqttv3.1"], send=["hello"]),
        "goodbye": step(pages, "socket", url=wss, protocols=["mqtt"], send=[list(b"\x10\x0c\0\4MQTT\4\2\0\0\0\0")]),
    }
    got = dict(zip(steps, browse(home_of(tmp_path_factory.mktemp("home"), broker.ca), *steps.values())))
    for name in got:
        got[name]["id"] = steps[name]["args"].get("id")
    # Once more by a browser that does not know the CA.
    listed = step(pages, "socket", url=wss, protocols=["mqtt"])
    got["stranger"], = browse(home_of(tmp_path_factory.mktemp("stranger")), listed)
    return got


@pytest.mark.parametrize("what", ["talk 4", "talk 5", "root path"])
def test_a_listed_page_talks(seen, what):
    r = seen[what]
    assert "error" not in r, r
    v = r["value"]
    assert v["granted"] == [2]
    assert [m["topic"] for m in v["got"]] == [f"{seen[what]['id']}/{t}" for t in ("q0", "q1", "q2", "large")]
    assert [m["qos"] for m in v["got"]] == [0, 1, 2, 1]
    assert v["got"][3]["size"] == 300000 and v["got"][3]["sum"] == v["sum"]


@pytest.mark.parametrize("what", ["foreign", "foreign plain", "null"])
def test_a_foreign_page_gets_403(seen, what):
    v = seen[what]["value"]
    assert not v["opened"] and v["code"] == 1006
    assert any("403" in e for e in seen[what]["errors"]), seen[what]


def test_a_foreign_page_cannot_log_in(seen, broker):
    assert "connected" not in seen["foreign mqtt"]["value"]
    end = time.monotonic() + 5
    while "not in origins: http://127.0.0.1:" not in broker.log() or "not in origins: null" not in broker.log():
        assert time.monotonic() < end, broker.log()
        time.sleep(0.1)


def test_the_browser_verified_us(seen):
    """Not a matter of an option: without the CA nothing is even asked."""
    v = seen["stranger"]["value"]
    assert not v["opened"]
    assert any("ERR_CERT_AUTHORITY_INVALID" in e for e in seen["stranger"]["errors"]), seen["stranger"]


def test_what_a_page_sees_of_refusals(seen):
    assert seen["wrong secret"]["value"].get("code") == 0x87
    assert any("404" in e for e in seen["wrong path"]["errors"])
    assert any("400" in e for e in seen["no subprotocol"]["errors"])


def test_what_a_page_sees_of_the_end(seen):
    """Nothing compressed although browsers offer it; the reason of the end arrives, cleanly."""
    text = seen["text"]["value"]
    assert text == {"opened": True, "protocol": "mqtt", "extensions": "", "bytes": 0, "code": 1003, "clean": True}
    assert seen["goodbye"]["value"]["opened"] and seen["goodbye"]["value"]["code"] in (1000, 1008)
