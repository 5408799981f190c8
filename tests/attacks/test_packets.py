"""Hostile packets built field by field: cut short, too deep, out of range, wrongly flagged.  The attacker is refused with the
fitting code or closed, a bystander sees nothing of it, no process restarts."""
import struct

import pytest
from mqtt import Closed, ack, connect, packet, publish, subscribe, text, unsubscribe, vbi

rows = pytest.mark.rows


@pytest.fixture(scope="module")
def picket(tmp_path_factory):
    """The limits that everybody has, for strangers, too."""
    from picket import Picket
    with Picket(tmp_path_factory.mktemp("packets"), policy="role tester { publish #; subscribe # }\n") as p:
        yield p


@pytest.fixture(scope="module")
def bystander(picket):
    c = picket.client("open")
    assert c.login("bystander")[1] == 0
    assert c.subscribe("#") == 0
    return c


def strict_ping(c):
    """Answered; and what was forwarded meanwhile is well-formed."""
    c.send(b"\xc0\0")
    while True:
        first, body = c.read()
        if first == 0xD0:
            return
        assert first == 0x30, f"{first:02x}"
        n = struct.unpack(">H", body[:2])[0]
        topic = body[2:2 + n].decode()
        assert topic and len(topic) <= 1024 and topic.count("/") < 32 and not set(topic) & set("+#\0\n\x1b")


@pytest.fixture(autouse=True)
def nobody_notices(picket, bystander):
    before = picket.children()
    yield
    strict_ping(bystander)
    assert picket.children() == before


def answer(picket, data, version=5, login=True):
    """What comes back for data: the packets until the broker closes, or None when it does not (a PINGREQ is answered)."""
    c = picket.client("open", version)
    if login:
        assert c.login("evil")[1] == 0
    try:
        c.send(data + b"\xc0\0")
    except OSError:
        pass
    seen = []
    try:
        while True:
            got = c.read()
            if got[0] == 0xD0:
                return None
            seen.append(got)
    except Closed:
        return seen
    finally:
        c.close()


def code(seen):
    """The reason in the last packet, which is a CONNACK or DISCONNECT; None when there was none."""
    if not seen:
        return None
    first, body = seen[-1]
    return body[1] if first >> 4 == 2 else body[0] if first >> 4 == 14 and body else 0


def one_will(payload=b"x", topic="w", props=b""):
    return connect("t", version=5, will=(topic, payload, 0, False), will_props=props)


# Valid packets; b"" of payload, so that no cut leaves something valid but what is named.
WHOLE = {
    "connect3": connect("ab", "u", "p", will=("w", "x", 0, False)),
    "connect5": connect("ab", "u", "p", version=5, props=b"\x11\0\0\0\1\x26" + text("k") + text("v"), will=("w", "x", 1, False), will_props=b"\x18\0\0\0\1"),
    "publish5": publish("a/b", "", qos=1, pid=1, version=5, props=b"\x02\0\0\0\1\x26" + text("k") + text("v")),
    "subscribe5": subscribe(1, ("a/b", 1), version=5, props=b"\x0b\x05"),
    "subscribe3": subscribe(1, ("a/b", 1)),
    "unsubscribe5": unsubscribe(1, "a/b", version=5),
    "unsubscribe3": unsubscribe(1, "a/b"),
    "puback5": packet(0x40, b"\0\1\0\x06\x26" + text("") + text("")),
    "disconnect5": packet(0xE0, b"\0\x05\x11\0\0\0\0"),
}


@rows("CVE-2017-7655", "CVE-2017-7654", "MOSQ-2019-162", "CVE-2023-29994", "CVE-2023-29995", "CVE-2023-29996", "CVE-2023-33656",
      "CVE-2023-33657", "CVE-2023-33660", "CVE-2023-34488", "CVE-2024-31040", "CVE-2024-42646", "CVE-2024-42648", "CVE-2024-42649",
      "CVE-2024-44460", "CVE-2026-45151", "CVE-2026-47275", "CVE-2019-5432", "CVE-2016-10523", "CVE-2024-50948", "CVE-2023-2905",
      "CVE-2017-2892", "CVE-2019-9749", "CVE-2020-10062", "CVE-2020-5935", "CVE-2019-19307", "FLASH-PROPEXCEED", "MOSQ-2025-SUBLEAK")
@pytest.mark.parametrize("name", WHOLE)
def test_cut_at_every_byte(picket, name):
    """Each packet ends early, its remaining length being true: closed, never read beyond."""
    whole = WHOLE[name]
    body, version = whole[2:], 3 if name.endswith("3") else 5
    assert len(body) == whole[1]
    optional = {"publish5": {7 + 15, 8}, "puback5": {2, 3}, "disconnect5": {0, 1}}.get(name, set())
    for n in range(len(body)):
        seen = answer(picket, packet(whole[0], body[:n]), 4 if version == 3 else 5, login=not name.startswith("connect"))
        if n not in optional:
            assert seen is not None, f"{name} cut after {n} bytes was taken: {packet(whole[0], body[:n]).hex()}"
            assert code(seen) != 0, f"{name} cut after {n} bytes"


@rows("CVE-2023-29995", "CVE-2023-33660", "FLASH-PROPEXCEED")
@pytest.mark.parametrize("name", WHOLE)
def test_every_inner_length_at_its_most(picket, name):
    """Two bytes at a time become 0xffff: whatever length that was, nothing beyond the packet is read."""
    whole = WHOLE[name]
    version = 4 if name.endswith("3") else 5
    for i in range(2, len(whole) - 1):
        answer(picket, whole[:i] + b"\xff\xff" + whole[i + 2:], version, login=not name.startswith("connect"))


DEEP = "/" * 65535
@rows("CVE-2019-11779", "CVE-2021-33175", "CVE-2021-33176", "CVE-2026-95844", "GHSA-xxqp-5qx8-gj5q", "TOPIC-DEEP", "CVE-2018-1684",
      "CVE-2018-19417", "GHSA-2hjf-7455-w946", "SUB-BIGPKT")
@pytest.mark.parametrize("topic", [DEEP, "a/" * 100 + "a", "+/" * 100 + "#", "x" * 65535], ids=["slashes", "levels", "plusses", "long"])
@pytest.mark.parametrize("version", [4, 5])
def test_topics_too_deep_or_long(picket, topic, version):
    """Every entry point has the same limit."""
    wild = "+" in topic
    for data in (publish(topic, "x", qos=1, pid=1, version=version), publish("a", "x", version=5, props=b"\x08" + text(topic)) if version == 5 else b""):
        if data:
            c = picket.client("open", version)
            assert c.login("evil")[1] == 0
            c.send(data)
            try:
                first, body = c.read(1)
                assert first >> 4 == 14 and body[0] >= 0x80 or first >> 4 == 4 and body[-1] >= 0x80 or body[2:3] >= b"\x80", body
            except Closed:
                pass
            except (TimeoutError, OSError):
                assert data[0] == 0x30 and not wild, "a response topic may be long, not wild"
    for filter in (topic, "$share/g/" + topic[:65000]):
        c = picket.client("open", version)
        assert c.login("evil")[1] == 0
        try:
            assert c.subscribe(filter) >= 0x80
            c.send(unsubscribe(2, filter, version=version))
            c.read(2)
        except Closed:
            pass
    if version == 5 and len(topic) < 10000:
        assert code(answer(picket, one_will(topic=topic), login=False)) >= 0x80
    if len(topic) > 60000:
        assert answer(picket, connect(topic[:65535], version=version), version, login=False) is not None


CONNECTS = [
    ("CONNECT-PROTOVER", packet(0x10, text("MQTT") + b"\x06\x02\0\x3c" + text("a")), (0x84, 1)),
    ("CONNECT-PROTOVER", packet(0x10, text("mqtt") + b"\x04\x02\0\x3c" + text("a")), (None,)),
    ("CONNECT-PROTOVER", packet(0x10, text("MQTT") + b"\x84\x02\0\x3c" + text("a")), (0x84, 1)),
    ("CONNECT-PROTOVER", packet(0x10, b"\xff\xffMQTT\x04\x02\0\x3c" + text("a")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x03\0\x3c" + text("a")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x0a\0\x3c" + text("a")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x22\0\x3c" + text("a")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x1e\0\x3c" + text("a") + text("w") + text("")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x42\0\x3c" + text("a") + text("p")), (None,)),
    ("CONNECT-FLAGS", packet(0x10, text("MQTT") + b"\x04\x82\0\x3c" + text("a")), (None,)),
    ("PROP-DUP", connect("a", version=5, props=b"\x21\0\1\x21\0\1"), (0x82,)),
    ("PROP-DUP", connect("a", version=5, props=b"\x7f\0"), (0x81, 0x82)),
    ("PROP-DUP", connect("a", version=5, props=b"\x80\x01\0"), (0x81, 0x82)),
    ("PROP-DUP", connect("a", version=5, props=b"\x23\0\1"), (0x81, 0x82)),
    ("PROP-DUP", connect("a", version=5, props=b"\x19\x02"), (0x82,)),
    ("PROP-DUP", connect("a", version=5, props=b"\x17\x02"), (0x82,)),
    ("RMQ-RXMAX0", connect("a", version=5, props=b"\x21\0\0"), (0x82,)),
    ("WOLF-6652", one_will(props=b"\x11\0\0\0\1"), (0x81, 0x82)),
    ("WOLF-7679", connect("a", version=5, props=b"\x15" + text("PLAIN")), (0x8C,)),
    ("WOLF-7679", packet(0xF0, b""), (None,)),
    ("CVE-2021-41039", connect("a", version=5, props=(b"\x26" + text("") + text("")) * 3000), (0x95,)),
    ("UPROP-FLOOD", connect("a", version=5, props=b"\x26" + text("k") + text("v" * 5000)), (0x95,)),
    ("RMQ-CONNSIZE", connect("a", "u", b"x" * 20000, version=5), (None,)),
    ("CVE-2026-44248", b"\x10\xff\xff\xff\x7f" + text("MQTT") + b"\x05\x02\0\x3c\xff\xff\xff\x7f", (None,)),
    ("EMQX-12944", connect(b"\xff\xfe"), (None,)),
    ("CVE-2026-76816", connect("a\0b"), (None,)),
]


@rows("CONNECT-PROTOVER", "CONNECT-FLAGS", "PROP-DUP", "RMQ-RXMAX0", "WOLF-6652", "WOLF-7679", "CVE-2021-41039", "UPROP-FLOOD",
      "RMQ-CONNSIZE", "CVE-2026-44248", "EMQX-12944", "CVE-2026-76816")
@pytest.mark.parametrize("i", range(len(CONNECTS)), ids=[f"{r[0]}-{i}" for i, r in enumerate(CONNECTS)])
def test_connect(picket, i):
    _, data, codes = CONNECTS[i]
    seen = answer(picket, data, 5 if data[8:9] == b"\5" else 4, login=False)
    assert seen is not None and len(seen) <= 1
    assert code(seen) in codes


P5 = {"version": 5}
LIVE = [
    ("ALIAS-BAD", publish("", "x", props=b"\x23\0\1", **P5), 0x82),
    ("ALIAS-BAD", publish("a", "x", props=b"\x23\0\0", **P5), 0x94),
    ("ALIAS-BAD", publish("a", "x", props=b"\x23\xff\xff", **P5), 0x94),
    ("ALIAS-MEM", publish("a", "x", props=b"\x23\0\x11", **P5), 0x94),
    ("SUBID-BAD", subscribe(1, ("a", 0), props=b"\x0b\0", **P5), 0x82),
    ("SUBID-BAD", subscribe(1, ("a", 0), props=b"\x0b\x01\x0b\x02", **P5), 0x82),
    ("SUBID-BAD", subscribe(1, ("a", 0), props=b"\x0b\xff\xff\xff\xff\x01", **P5), 0x81),
    ("SUBID-BAD", publish("a", "x", props=b"\x0b\x01", **P5), 0x82),
    ("SHARE-NOLOCAL", subscribe(1, ("$share/g/a", 4), **P5), 0x82),
    ("MOSQ-2025-RESPTOPIC", publish("a", "x", props=b"\x08" + text("a/#"), **P5), 0x82),
    ("HIVE-EMPTYTOPIC", publish("", "x", **P5), 0x82),
    ("HIVE-EMPTYTOPIC", publish("a", "x", props=b"\x08" + text(""), **P5), 0x82),
    ("WOLF-6652", publish("", "", **P5), 0x82),
    ("PROP-DUP", publish("a", "x", props=b"\x01\x02", **P5), 0x82),
    ("UPROP-FLOOD", publish("a", "x", props=(b"\x26" + text("") + text("")) * 3000, **P5), 0x95),
    ("UPROP-FLOOD", subscribe(1, ("a", 0), props=(b"\x26" + text("") + text("")) * 3000, **P5), 0x95),
    ("PKTID-ZERO", subscribe(0, ("a", 0), **P5), 0x82),
    ("PKTID-ZERO", unsubscribe(0, "a", **P5), 0x82),
    ("PKTID-ZERO", ack(0x40, 0), 0x82),
    ("PUB-QOS3", b"\x36\x06" + text("a") + b"\0\1\0", 0x81),
    ("PUB-QOS3", b"\x38\x04" + text("a") + b"\0", 0x82),
    ("PUB-QOS3", packet(0x80, subscribe(1, ("a", 0), **P5)[2:]), 0x81),
    ("PUB-QOS3", packet(0x60, b"\0\1"), 0x81),
    ("SESS-RESUMEXPIRE", packet(0xE0, b"\0\5\x11\0\0\0\1"), 0x82),
    ("CONNECT-SECOND", connect("other", **P5), 0x82),
    ("MOQ-969", connect("evil", **P5), 0x82),
    ("CVE-2021-34431", one_will(), 0x82),
    ("SCRAM-AUTHFLOOD", packet(0xF0, b"\x18\0"), 0x82),
    ("SCRAM-REAUTHID", packet(0xF0, b"\x19\0"), 0x82),
    ("CVE-2017-7653", publish(b"\xc0\x80", "x", **P5), 0x81),
    ("CVE-2017-7653", publish(b"\xed\xa0\x80", "x", **P5), 0x81),
    ("CVE-2017-7653", publish("a/#", "x", **P5), 0x82),
]


@rows("ALIAS-BAD", "ALIAS-MEM", "SUBID-BAD", "SHARE-NOLOCAL", "MOSQ-2025-RESPTOPIC", "HIVE-EMPTYTOPIC", "WOLF-6652",
      "PROP-DUP", "UPROP-FLOOD", "PKTID-ZERO", "PUB-QOS3", "SESS-RESUMEXPIRE", "CONNECT-SECOND", "MOQ-969", "CVE-2021-34431",
      "SCRAM-AUTHFLOOD", "SCRAM-REAUTHID", "CVE-2017-7653")
@pytest.mark.parametrize("i", range(len(LIVE)), ids=[f"{r[0]}-{i}" for i, r in enumerate(LIVE)])
def test_after_login(picket, i):
    _, data, want = LIVE[i]
    seen = answer(picket, data)
    assert seen is not None, "taken"
    got = code(seen)
    assert got == want or {got, want} <= {0x81, 0x82, 0x90}, f"{got:#x}"


@rows("SHARE-NAMES", "CVE-2025-68699", "CVE-2024-31041")
@pytest.mark.parametrize("filter", ["$share//t", "$share/+/t", "$share/a#/t", "$share/g/", "", "$share/", "$share/g", "a#", "a+/b", "#/a", "a/#/b"])
def test_bad_filters(picket, filter):
    c = picket.client("open", 5)
    assert c.login("evil")[1] == 0
    try:
        assert c.subscribe(filter) == 0x8F
    except (Closed, AssertionError) as e:
        assert isinstance(e, Closed) or "e0" in str(e), e


@rows("GHSA-52qw-whmv-87c5", "LOG-FMT", "PERS-TRAV", "NMQ-2328", "BE-SQLI", "CVE-2026-95847", "PAYLOAD-XSS")
@pytest.mark.parametrize("name", ["__proto__", "constructor", "%n%n%s%x", "../../etc/passwd", "/abs", "x'); DELETE FROM identity;--",
                                  "' OR '1'='1' -- ", "victim_meta", "<script>alert(1)</script>", "*)(uid=*", "a b c"])
def test_names_are_only_names(picket, name):
    """As user name, client id, topic, filter, retained: nothing but a string."""
    assert picket.client("plain", 5).login(name, name, name)[1] >= 0x80
    c = picket.client("open", 5)
    assert c.login(name)[1] == 0
    assert c.subscribe(name, 1) == 1
    c.publish(name, name, qos=1, pid=1, retain=True)
    got = {c.read()[0] >> 4 for _ in range(2)}
    assert got == {3, 4}
    again = picket.client("open", 5)
    assert again.login(name + "2")[1] == 0
    assert again.subscribe(name) == 0
    assert again.message()[:2] == (name, name.encode())
    again.publish(name, "", retain=True)
    again.close()
    c.close()


@rows("MOSQ-2026-MAXPKT", "EMQX-16515", "NMQ-2040")
def test_maximum_packet_size_is_exact(make_picket):
    p = make_picket(limits="max_packet_size = 2048\n", policy="role tester { publish #; subscribe # }\n")
    for size, fits in ((2048, True), (2049, False)):
        c = p.client("open", 5)
        body = text("t") + b"\0\1\0"
        assert c.login("m")[1] == 0
        c.send(packet(0x32, body + b"x" * (size - len(body) - 3)))
        if fits:
            c.expect(4)
        else:
            assert code(c.closed()) == 0x95
    small = p.client("open", 5)
    assert small.login("small", props=b"\x27\0\0\0\x40")[1] == 0
    assert small.subscribe("s") == 0
    w = p.client("open", 5)
    assert w.login("w")[1] == 0
    head = len(publish("s", "", version=5))
    w.publish("s", "x" * (0x41 - head))
    w.publish("s", "x" * (0x40 - head))
    assert len(small.message()[1]) == 0x40 - head, "EMQX-16515, NMQ-2040: nothing that it may not get"
    small.ping()


@rows("QOS2-DUPID", "RMQTT-PKTIDSPACE")
def test_identifier_spaces_are_apart(picket):
    c = picket.client("open", 5)
    assert c.login("ids")[1] == 0
    c.publish("q", "1", qos=2, pid=1)
    assert c.expect(5)[1][:2] == b"\0\1"
    assert c.subscribe("q", 2, pid=1) == 2  # an own space
    c.publish("q", "again", qos=2, pid=1)  # the same message: no second effect
    assert c.expect(5)[1][:2] == b"\0\1"
    c.send(ack(0x62, 2))
    assert c.expect(7)[1] == b"\0\2\x92", "unknown"
    c.send(ack(0x62, 1))
    assert c.expect(7)[1][:2] == b"\0\1"
    c.publish("q", "2", qos=1, pid=1)
    got = [c.read() for _ in range(2)]
    assert sorted(g[0] >> 4 for g in got) == [3, 4]
    pid = struct.unpack(">H", next(b for f, b in got if f >> 4 == 3)[3:5])[0]
    c.send(ack(0x50, pid))  # PUBREC for a QoS 1 message
    assert code(c.closed()) == 0x82


@rows("CVE-2024-31040", "CVE-2025-66168", "VBI-NONMIN")
@pytest.mark.parametrize("size", [b"\x80\x00", b"\x80\x80\x00", b"\xff\xff\xff\xff\x00", b"\x80\x80\x80\x80\x01", b"\xff\xff\xff\xff\xff"])
def test_remaining_length(picket, size):
    assert code(answer(picket, b"\xc0" + size)) in (0x81, 0x95)
    assert answer(picket, b"\x10" + size, login=False) == []


@rows("TCP-RST", "CVE-2023-34494", "CVE-2024-25767", "CVE-2024-42651", "NMQ-AUTHWINDOW")
def test_cut_off_at_every_byte(picket):
    """The connection dies after every byte of a whole life."""
    import socket
    life = (connect("gone", version=5, clean=True) + subscribe(1, ("gone/#", 2), version=5) + publish("gone/x", "y", qos=2, pid=1, version=5, retain=False)
            + unsubscribe(2, "gone/#", version=5))
    for n in range(1, len(life)):
        s = picket.socket("open")
        s.sendall(life[:n])
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        s.close()
