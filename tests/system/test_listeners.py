"""Where a connection comes from: networks of listeners and roles."""
import socket

import pytest
from mqtt import Client, Closed

POLICY = """
role tester { publish #; subscribe #; limit all none }
role inside { source 127.0.0.0/30, not 127.0.0.3; publish plant/#; subscribe plant/# }
role always { publish free/#; subscribe free/# }
user anna { role inside, always }
"""


def connect_from(source, port, to="127.0.0.1"):
    return socket.create_connection((to, port), 5, source_address=(source, 0))


def is_reset(source, port):
    """Turned away at accept: no byte, only the end."""
    try:
        s = connect_from(source, port)
        s.sendall(b"\x10")
        return s.recv(16) == b""
    except ConnectionError:
        return True


def turned_away(p):
    b = p.status()["broker"]
    return b["turned_away"], b["turned_away_network"]


def test_networks_of_a_listener(make_picket):
    p = make_picket(listener='networks = {"127.0.0.0/24"} deny_networks = {"127.0.0.66/31"}')
    name, secret = "lamp", p.add("lamp")
    before = turned_away(p)
    for source in ("127.0.1.1", "127.0.0.66", "127.0.0.67"):
        assert is_reset(source, p.port)
        assert f"event=refused addr={source} listener=mqtts reason=denied" in p.log()
    assert turned_away(p) == (before[0] + 3, before[1] + 3)
    for source in ("127.0.0.1", "127.0.0.65", "127.0.0.68"):
        with p.tls().wrap_socket(connect_from(source, p.port), server_hostname="localhost") as s:
            assert Client(s).login(name, name, secret)[1] == 0


def test_a_role_gives_nothing_outside_its_networks(make_picket):
    p = make_picket(policy=POLICY)
    secret = p.json("user", "rotate", "anna", "--print")["token"]

    def anna(source, clean=True):
        c = Client(connect_from(source, p.plain_port), 5)
        assert c.login("anna", "anna", secret, clean=clean)[1] == 0
        return c

    def may(c, topic):
        c.publish(topic, "x", qos=1, pid=7)
        body = c.expect(4)[1]
        return not (len(body) > 2 and body[2] == 0x87)

    for source, inside in (("127.0.0.1", True), ("127.0.0.2", True), ("127.0.0.3", False), ("127.0.0.4", False), ("127.9.9.9", False)):
        c = anna(source)
        assert may(c, "plant/a") == inside, source
        assert may(c, "free/a")
        assert c.subscribe("plant/#") == (0 if inside else 0x87)
        assert c.subscribe("free/#") == 0
        c.send(b"\xe0\0")
    assert "holds for other sources" in p.cli("explain", "anna", "publish", "plant/a", "--from", "127.9.9.9", check=False)
    assert p.cli("explain", "anna", "publish", "plant/a", "--from", "127.0.0.1").startswith("allow")


def test_a_session_resumed_from_outside_gets_nothing(make_picket):
    """What was subscribed inside is not delivered to whoever resumes the session outside."""
    p = make_picket(policy=POLICY)
    secret = p.json("user", "rotate", "anna", "--print")["token"]
    props = bytes.fromhex("1100000e10")
    c = Client(connect_from("127.0.0.1", p.plain_port), 5)
    assert c.login("anna", "anna", secret, props=props)[1] == 0
    assert c.subscribe("plant/#", 1) == 1
    c.send(b"\xe0\0")
    with pytest.raises(Closed):
        c.read()
    tester = p.client("open")
    tester.login("t")
    tester.publish("plant/a", "kept", qos=1, pid=1)
    tester.expect(4)
    c = Client(connect_from("127.0.0.9", p.plain_port), 5)
    body = c.login("anna", "anna", secret, clean=False, props=props)
    assert body[1] == 0 and body[0] == 1  # the session is there
    tester.publish("plant/b", "live", qos=1, pid=2)
    tester.expect(4)
    assert c.quiet()
