"""Lies about where a connection comes from: a header counts only from a declared proxy, whole and exact, once (I34)."""
import os
import random
import socket
import struct
import time

import pytest
import ws
from mqtt import Client, Closed, connect
from picket import Picket, free_port
from proxy import SIGNATURE, ssl, tlv, v1, v2

rows = pytest.mark.rows

POLICY = """
role tester { publish #; subscribe #; limit all none }
role local { source 127.0.0.8, 127.0.0.1; publish local/# }
user anna { role local }
"""
PROXY = 'proxy = on trusted_proxies = {"127.0.0.2"}'


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """behind: plaintext behind a TLS-ending proxy at 127.0.0.2; mqtts: TLS behind it; plain, open: none."""
    port = free_port()
    config = (f'listener behind {{ bind = "127.0.0.1:{port}" tls = off {PROXY} proxy_certificates = on accept_risk = "tests on loopback" }}')
    web = [free_port() for _ in range(3)]
    for i, more in enumerate(('forwarded_for = on trusted_proxies = {"127.0.0.2"}', "", PROXY)):
        config += (f'\nlistener web{i} {{ bind = "127.0.0.1:{web[i]}" tls = off protocols = {{websocket}} {more} accept_risk = "tests on loopback" }}')
    place = tmp_path_factory.mktemp("place")
    place.chmod(0o755)
    config += f'\nlistener local {{ bind = "unix:{place}/mqtt.sock" socket_mode = 0666 }}'
    with Picket(tmp_path_factory.mktemp("hops"), policy=POLICY, listener=PROXY, config=config, limits="tls_handshake_deadline = 1s") as p:
        p.behind, p.path = port, place / "mqtt.sock"
        p.web, p.web_plain, p.web_behind = web
        p.secret = p.add("lamp")
        yield p


def dial(port, source="127.0.0.2"):
    return socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))


def ends(s):
    """The broker closes without a byte."""
    s.settimeout(5)
    try:
        return s.recv(64) == b""
    except ConnectionError:
        return True


def refused(port, data, source="127.0.0.2"):
    """Nothing of data is answered."""
    try:
        s = dial(port, source)
        s.sendall(data)
        return ends(s)
    except ConnectionError:
        return True


def log_since(p, before, text):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if text in p.log()[before:]:
            return p.log()[before:]
        time.sleep(0.05)
    raise AssertionError(f"not logged: {text}\n{p.log()[before:]}")


HELLO = connect("lamp", "lamp", "no such secret")


@rows("PP-SPOOF", "EMQX-PP2CERT")
@pytest.mark.parametrize("header", [v1("127.0.0.1"), v1("10.0.0.1"), v2("127.0.0.1"), v2("127.0.0.1", ssl("admin")), v2(None, command=0x20),
                                    b"PROXY UNKNOWN\r\n"])
def test_a_header_from_an_undeclared_source(broker, header):
    before = len(broker.log())
    for port in (broker.behind, broker.port):
        assert refused(port, header + HELLO, "127.0.0.1")
    log = log_since(broker, before, "event=refused addr=127.0.0.1 listener=mqtts reason=denied")
    assert "event=refused addr=127.0.0.1 listener=behind reason=denied" in log
    assert "event=connect" not in log and "client=\"lamp\"" not in log


@rows("PP-SPOOF")
def test_a_declared_proxy_without_a_header(broker):
    """The header is mandatory there: nothing is guessed from the first bytes."""
    before = len(broker.log())
    assert refused(broker.behind, HELLO)
    assert refused(broker.port, b"\x16\x03\x01\x02\x00\x01")
    log = log_since(broker, before, "event=proxy_refused addr=127.0.0.2")
    assert "no PROXY header" in log


@rows("PP-SPOOF")
@pytest.mark.parametrize("header", [v1("10.0.0.1"), v2("10.0.0.1"), v2("10.0.0.1", ssl("admin")), v2(None, command=0x20)])
def test_a_header_to_a_listener_without_proxy(broker, header):
    """It is a malformed first packet, and the address stays what it is."""
    before = len(broker.log())
    assert refused(broker.plain_port, header + HELLO, "127.0.0.3")
    assert "addr=10.0.0.1" not in log_since(broker, before, "addr=127.0.0.3:")


@rows("PP-SPOOF")
def test_rights_of_a_network_cannot_be_claimed(broker):
    """A role for loopback: who says loopback in a header of his own gets nothing, who is said to be elsewhere neither."""
    secret = broker.json("user", "rotate", "anna", "--print")["token"]
    s = dial(broker.behind)
    s.sendall(v2("192.0.2.7"))
    c = Client(s, 5)
    assert c.login("anna", "anna", secret)[1] == 0
    c.publish("local/x", "1", qos=1, pid=1)
    assert c.expect(4)[1][2] == 0x87
    assert refused(broker.behind, v2("127.0.0.1") + connect("anna", "anna", secret, version=5), "127.0.0.66")


@rows("CVE-2014-9494", "PP-SPOOF")
@pytest.mark.parametrize("field", ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1", "X-Forwarded-For: 127.0.0.1, 127.0.0.2",
                                   "Client-IP: 127.0.0.1", "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-For: 127.0.0.1"])
def test_forwarded_for_is_mere_text(broker, field):
    """Nobody's header of HTTP says where he is: not without a declared proxy, not to a listener that has none, not past one."""
    secret = broker.json("user", "rotate", "anna", "--print")["token"]

    def publishes(port, source, first=b""):
        s = dial(port, source)
        s.sendall(first)
        c = Client(ws.Socket(s, fields=field.split("\r\n")), 5)
        assert c.login("anna", "anna", secret)[1] == 0
        c.publish("local/x", "1", qos=1, pid=1)
        return c.expect(4)[1][2:3] != b"\x87"

    assert not publishes(broker.web, "127.0.0.9")  # a stranger to a listener that believes 127.0.0.2
    assert not publishes(broker.web_behind, "127.0.0.2", v2("198.51.100.7"))  # behind a proxy whose PROXY header counts
    assert not publishes(broker.web_plain, "127.0.0.9")  # a listener that believes nobody
    if not field.startswith("X-Forwarded-For"):
        assert not publishes(broker.web, "127.0.0.2")  # of a declared proxy this one field counts, and no other


@rows("CVE-2014-9494")
def test_what_a_client_puts_before_its_proxy_counts_nothing(broker):
    secret = broker.json("user", "rotate", "anna", "--print")["token"]
    for chain, ok in (("127.0.0.8, 198.51.100.7", False), ("127.0.0.8, 198.51.100.7, 127.0.0.2", False), ("198.51.100.7, 127.0.0.8", True),
                      (", ".join(["127.0.0.8"] * 62 + ["198.51.100.7"]), False), ("x" * 6000 + ", 198.51.100.7", False)):
        c = Client(ws.Socket(dial(broker.web), fields=[f"X-Forwarded-For: {chain}"]), 5)
        assert c.login("anna", "anna", secret)[1] == 0
        c.publish("local/x", "1", qos=1, pid=1)
        assert (c.expect(4)[1][2:3] != b"\x87") == ok, chain
    for chain in ("198.51.100.7, unknown", ", ".join(["127.0.0.2"] * 65), "100:0:3e8::", "::", "198.51.100.7:99999"):
        with pytest.raises(ws.Refused) as e:
            ws.Socket(dial(broker.web), fields=[f"X-Forwarded-For: {chain}"])
        assert e.value.status == 400


@rows("MOSQ-2026-PROXYTLV", "EMQX-17330", "PP-V2LEN")
def test_lying_lengths(broker):
    """Additions that run over the end, or leave a rest: the whole header is refused, never shortened."""
    good = tlv(4, b"1234")
    lies = [good + b"\x04", good + b"\x04\x00", good + b"\x20\x00\x05abc", good + struct.pack(">BH", 4, 0xFFFF),
            tlv(0x20, b"\x07\0\0\0"), tlv(0x20, b"\x07\0\0\0\0\x22\0\x06admin"), tlv(0x20, b"\x07\0\0\0\0\x22\0\x04admin"),
            ssl("a") + ssl("b"), tlv(3, b"abc"), tlv(3, bytes(4))]
    for tail in lies:
        assert refused(broker.behind, v2("192.0.2.7", tail) + HELLO), tail
    # A length that takes the CONNECT into the header: no addition of it, so none of it is a packet.
    assert refused(broker.behind, v2("192.0.2.7", length=12 + len(HELLO)) + HELLO)
    for header in (v2("192.0.2.7", length=11), v2("192.0.2.7", family=0x21), v2("192.0.2.7", family=0x12), v2("192.0.2.7", family=0x31),
                   v2("192.0.2.7", command=0x22), v2("192.0.2.7", command=0x11)):
        assert refused(broker.behind, header + HELLO), header
    before = len(broker.log())
    assert refused(broker.behind, v2("192.0.2.7", length=65535))  # at once: nothing of it is waited for
    log_since(broker, before, "longer than any honest one")


@rows("EMQX-PP2CERT")
@pytest.mark.parametrize("name", [b"admin\n", b"admin\0", b"ad\x1bmin", b"admin\xff", b"", b"a" * 257, b"\xc2\x85"])
def test_names_with_control_characters(broker, name):
    before = len(broker.log())
    assert refused(broker.behind, v2("192.0.2.7", ssl(name)) + HELLO)
    assert log_since(broker, before, "event=proxy_refused").isascii()


@rows("EMQX-PP2CERT", "PP-V2LEN")
@pytest.mark.parametrize("header", [v2("192.0.2.7", ssl("lamp", verify=1)), v2("192.0.2.7", ssl("lamp", client=1)), v2("192.0.2.7", ssl("lamp", client=6)),
                                    v2(None, ssl("lamp"), command=0x20), v1("192.0.2.7")])
def test_a_certificate_that_nobody_verified_is_none(broker, header):
    """Without credentials such a client is a stranger."""
    s = dial(broker.behind)
    s.sendall(header)
    assert Client(s).login("lamp")[1] == 5


@rows("PP-V2LEN")
def test_a_second_header_is_data(broker):
    for first in (v1("192.0.2.7"), v2("192.0.2.7")):
        for second in (v1("127.0.0.1"), v2("127.0.0.1", ssl("admin"))):
            before = len(broker.log())
            assert refused(broker.behind, first + second + HELLO)
            assert "addr=127.0.0.1:" not in log_since(broker, before, "addr=192.0.2.7:")


@rows("PP-V1LONG")
def test_long_and_slow(broker):
    assert refused(broker.behind, b"PROXY UNKNOWN " + b"x" * 93)  # 107 bytes, and no end of line
    before = len(broker.log())
    slow = [dial(broker.behind) for _ in range(3)]
    slow[1].sendall(b"PROXY TCP4 192.0.2.7")
    slow[2].sendall(SIGNATURE)
    began = time.monotonic()
    try:
        while time.monotonic() < began + 8:  # a byte now and then does not help it
            slow[1].sendall(b"7")
            time.sleep(0.3)
    except OSError:
        pass
    assert all(map(ends, slow))
    assert log_since(broker, before, "did not come in time").count("reason=deadline") == 3


@rows("PP-SPOOF")
def test_split_at_every_byte(broker):
    """However the header is cut, what is behind it is TLS or MQTT from its first byte."""
    hello = connect("lamp", "lamp", broker.secret)
    for header in (v1("192.0.2.7"), v2("192.0.2.7", ssl("lamp"), crc=True)):
        for cut in range(1, len(header)):
            s = dial(broker.behind)
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            s.sendall(header[:cut])
            time.sleep(0.001)
            s.sendall(header[cut:] + hello)
            assert s.recv(4) == b"\x20\2\0\0", cut
            s.close()
    for cut in random.Random(1).sample(range(1, 28), 5):
        s = dial(broker.port)
        s.sendall(v2("192.0.2.7")[:cut])
        time.sleep(0.002)
        s.sendall(v2("192.0.2.7")[cut:])
        with broker.tls().wrap_socket(s, server_hostname="localhost") as t:
            t.sendall(hello)
            assert t.recv(4) == b"\x20\2\0\0"


def local(p):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(str(p.path))
    return s


def test_a_user_id_cannot_be_claimed(broker):
    """At a unix socket the kernel says who connects: nothing that a client sends changes it, nor does it count anywhere else."""
    me = os.getuid()
    victim = me + 1 if me + 1 != 65534 else me + 2
    broker.add("victim", "tester", "service")
    broker.cli("service", "local", "victim", victim)
    stranger = connect("x")
    for header in (v1("127.0.0.1"), v2("127.0.0.1", ssl("victim")), v2(None, bytes(216), family=0x31)):
        s = local(broker)
        s.sendall(header + stranger)
        assert ends(s)
    assert Client(local(broker)).login("x", "victim")[1] == 5
    assert Client(local(broker)).login("x")[1] == 5
    if me == 0:  # root may send any credentials along with its bytes; who connected stays who connected
        s = local(broker)
        s.sendmsg([stranger], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iii", os.getpid(), victim, victim))])
        assert s.recv(4) == b"\x20\2\0\5"
    # An address that means a local user cannot be said in a header, and a unix client of a proxy is the proxy.
    fake = bytes([1, 0]) + struct.pack(">I", victim) + bytes(10)
    assert refused(broker.behind, v2("2001:db8::1").replace(bytes.fromhex("20010db8") + bytes(11) + b"\x01", fake, 1) + stranger)
    s = dial(broker.behind)
    s.sendall(v2(None, bytes(216), family=0x31) + stranger)
    assert s.recv(4) == b"\x20\2\0\5"


def test_others_notice_nothing(broker):
    """After all of it: nobody has fallen."""
    c = broker.client("open")
    assert c.login("bystander")[1] == 0
    c.ping()
    assert all(p["restarts"] == 0 for p in broker.status()["processes"])
    with pytest.raises(Closed):
        Client(dial(broker.behind)).read(10)
