"""Unmodified clients that people use, over verified TLS: mosquitto_pub and mosquitto_sub; also over WebSocket: paho (Python), MQTT.js."""
import pathlib
import subprocess
import threading
import time

import paho.mqtt.client as paho
import pytest

HERE = pathlib.Path(__file__).parent


@pytest.fixture(scope="module")
def secret(picket):
    return picket.add("tool")


@pytest.fixture(scope="module")
def node():
    folder = HERE / "node"
    if not (folder / "node_modules" / "mqtt").exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"], cwd=folder, check=True, timeout=300)
    return folder


def mosquitto(tool, picket, secret, client, *args):
    """The secret goes through the tool's own option file, never through argv."""
    home = picket.folder / "mosquitto"
    home.mkdir(exist_ok=True)
    for name in ("mosquitto_pub", "mosquitto_sub"):
        (home / name).write_text(f"--pw {secret}\n")
    return subprocess.Popen(["stdbuf", "-oL", tool, "--cafile", picket.ca, "-h", "localhost", "-p", str(picket.port), "-u", "tool", "-i", client, *args],
                            env={"XDG_CONFIG_HOME": str(home), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("version", ["mqttv31", "mqttv311", "mqttv5"])
@pytest.mark.parametrize("qos", ["0", "1", "2"])
def test_mosquitto_tools(picket, secret, version, qos):
    topic = f"m/{version}/{qos}"
    sub = mosquitto("mosquitto_sub", picket, secret, "tool:sub", "-V", version, "-q", qos, "-t", topic, "-C", "1", "-W", "10", "-d")
    while "SUBACK" not in (line := sub.stdout.readline()):
        assert line, sub.stderr.read()
    pub = mosquitto("mosquitto_pub", picket, secret, "tool:pub", "-V", version, "-q", qos, "-t", topic, "-m", "hello")
    assert pub.wait(10) == 0, pub.stderr.read()
    assert "hello" in sub.stdout.read()
    assert sub.wait(10) == 0


def test_mosquitto_sees_a_refusal(picket, secret):
    p = mosquitto("mosquitto_pub", picket, "wrong", "tool:x", "-t", "a", "-m", "b")
    assert p.wait(10) != 0 and "not authorised" in p.stderr.read().lower()


class Paho:
    """A paho client with everything that arrived."""

    def __init__(self, picket, secret, name, version=paho.MQTTv311, **kw):
        if version != paho.MQTTv5:
            kw.setdefault("clean_session", True)
        self.c = paho.Client(f"tool:{name}", protocol=version, **kw)
        self.c.tls_set(str(picket.ca))
        self.c.username_pw_set("tool", secret)
        self.got, self.subscribed, self.connected = [], threading.Event(), threading.Event()
        self.c.on_message = lambda c, u, m: self.got.append((m.topic, m.payload, m.qos, m.retain))
        self.c.on_subscribe = lambda *a: self.subscribed.set()
        self.c.on_connect = lambda *a: self.connected.set()
        self.picket = picket

    def __enter__(self):
        self.c.connect("localhost", self.picket.port)
        self.c.loop_start()
        assert self.connected.wait(10)
        return self

    def __exit__(self, *_):
        self.c.disconnect()
        self.c.loop_stop()

    def subscribe(self, filter, qos):
        self.subscribed.clear()
        self.c.subscribe(filter, qos)
        assert self.subscribed.wait(10)

    def wait(self, n, seconds=15):
        end = time.monotonic() + seconds
        while len(self.got) < n and time.monotonic() < end:
            time.sleep(0.01)
        return self.got


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
@pytest.mark.parametrize("version", [paho.MQTTv31, paho.MQTTv311, paho.MQTTv5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_paho(picket, secret, version, qos, transport):
    how = {"version": version, "transport": transport}
    with Paho(picket, secret, "sub", **how) as sub, Paho(picket, secret, "pub", **how) as pub:
        sub.subscribe("p/#", qos)
        for i in range(200):
            pub.c.publish("p/x", str(i), qos).wait_for_publish(10)
        got = sub.wait(200)
        assert [int(p) for _, p, _, _ in got] == list(range(200))
        assert {q for _, _, q, _ in got} == {qos}


@pytest.mark.parametrize("transport", ["tcp", "websockets"])
def test_paho_large_retained_and_will(picket, secret, transport):
    body = bytes(range(256)) * 2048
    with Paho(picket, secret, "pub", transport=transport) as pub:
        pub.c.publish("big/kept", body, 1, retain=True).wait_for_publish(10)
    dying = Paho(picket, secret, "dying", transport=transport)
    dying.c.will_set("big/will", "gone", 1)
    with Paho(picket, secret, "sub", transport=transport) as sub, dying:
        sub.subscribe("big/#", 1)
        assert sub.wait(1)[0] == ("big/kept", body, 1, 1)
        dying.c._sock.close()  # the network is gone, no DISCONNECT
        assert ("big/will", b"gone", 1, 0) in sub.wait(2)


def test_paho_session_resumes(picket, secret):
    with Paho(picket, secret, "sleepy", clean_session=False) as s:
        s.subscribe("sleep/#", 1)
    with Paho(picket, secret, "pub") as pub:
        for i in range(50):
            pub.c.publish("sleep/x", str(i), 1).wait_for_publish(10)
    with Paho(picket, secret, "sleepy", clean_session=False) as s:
        assert [int(p) for _, p, _, _ in s.wait(50)] == list(range(50))


@pytest.mark.parametrize("protocol", ["mqtts", "wss", "ws"])
@pytest.mark.parametrize("version", ["4", "5"])
def test_mqttjs(picket, secret, node, version, protocol):
    port = picket.plain_port if protocol == "ws" else picket.port
    secret_file = picket.folder / "secret"
    secret_file.write_text(secret)
    r = subprocess.run(["node", "roundtrip.mjs", "localhost", str(port), picket.ca, "tool", secret_file, version, protocol], cwd=node,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr


def test_a_client_without_our_ca_refuses_us_and_the_log_says_what_to_do(picket):
    r = subprocess.run(["mosquitto_pub", "--capath", "/etc/ssl/certs", "-h", "localhost", "-p", str(picket.port), "-t", "a", "-m", "b"],
                       capture_output=True, text=True, timeout=20)
    assert r.returncode != 0
    time.sleep(0.3)
    assert "unknown_ca" in picket.log() or "CA" in picket.log()
