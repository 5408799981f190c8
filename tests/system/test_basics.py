"""What every user meets: QoS both ways, retained, wills, sessions, keep alive, MQTT 5 properties; over TLS, between shards."""
import socket
import struct
import time

import pytest
from mqtt import Closed, ack, connect, publish


@pytest.fixture(scope="module")
def secret(picket):
    return {n: picket.add(n) for n in ("a", "b")}


def enter(picket, secret, name, suffix="", **kw):
    return picket.login(name, secret[name], client_id=f"{name}:{suffix}" if suffix else name, **kw)


@pytest.mark.parametrize("version", [3, 4, 5])
@pytest.mark.parametrize("to", ["tls", "plain"])
def test_qos(picket, secret, version, to):
    a, b = enter(picket, secret, "a", version=version, to=to), enter(picket, secret, "b", version=version, to=to)
    assert b.subscribe("q/+", 2) == 2
    a.publish("q/0", "zero")
    assert b.message()[:2] == ("q/0", b"zero")
    a.publish("q/1", "one", qos=1, pid=5)
    assert a.expect(4)[1][:2] == b"\0\5"
    assert b.message()[:2] == ("q/1", b"one")
    a.publish("q/2", "two", qos=2, pid=6)
    assert a.expect(5)[1][:2] == b"\0\6"
    a.publish("q/2", "two", qos=2, pid=6, dup=True)  # seen already: not delivered twice
    assert a.expect(5)[1][:2] == b"\0\6"
    a.send(ack(0x62, 6))
    assert a.expect(7)[1][:2] == b"\0\6"
    first, body = b.expect(3)
    assert first >> 1 & 3 == 2
    pid = struct.unpack(">H", body[5:7])[0]
    b.send(ack(0x50, pid))
    assert b.expect(6)[1][:2] == body[5:7]
    b.send(ack(0x70, pid))
    assert b.quiet()


def test_retained_and_cleared(picket, secret):
    a, b = enter(picket, secret, "a"), enter(picket, secret, "b")
    a.publish("r/x", "kept", retain=True)
    a.ping()
    b.subscribe("r/#")
    assert b.message() == ("r/x", b"kept", 0x31)
    a.publish("r/x", "", retain=True)
    assert b.message() == ("r/x", b"", 0x30)
    c = enter(picket, secret, "b", "2")
    c.subscribe("r/#")
    assert c.quiet()


def test_will_after_a_lost_connection_and_not_after_disconnect(picket, secret):
    b = enter(picket, secret, "b")
    b.subscribe("w/#")
    a = enter(picket, secret, "a", will=("w/a", b"gone", 0, False))
    a.close()
    assert b.message()[1] == b"gone"
    a = enter(picket, secret, "a", will=("w/a", b"gone", 0, False))
    a.send(b"\xe0\0")
    assert b.quiet()


def test_will_delay_ends_with_the_return_of_the_client(picket, secret):
    b = enter(picket, secret, "b")
    b.subscribe("wd/#")
    delay = dict(version=5, clean=False, props=b"\x11\0\0\0\x3c", will=("wd/a", b"gone", 0, False), will_props=b"\x18\0\0\0\x01")
    a = enter(picket, secret, "a", **delay)
    a.close()
    assert b.quiet(0.5)
    a = enter(picket, secret, "a", **delay)
    assert b.quiet(1.5)
    a.close()
    assert b.message(3)[1] == b"gone"


def test_session_keeps_what_was_acknowledged(picket, secret):
    b = enter(picket, secret, "b", clean=False)
    b.subscribe("s/#", 1)
    b.close()
    a = enter(picket, secret, "a")
    for i in range(20):
        a.publish("s/x", str(i), qos=1, pid=i + 1)
        a.expect(4)
    b = picket.client()
    assert b.login("b", "b", secret["b"], clean=False) == b"\1\0"
    assert [b.message()[1] for _ in range(20)] == [str(i).encode() for i in range(20)]
    b.send(b"\xe0\0")
    b = picket.client()
    assert b.login("b", "b", secret["b"], clean=True) == b"\0\0"
    b.close()
    b = picket.client()
    assert b.login("b", "b", secret["b"], clean=False) == b"\0\0"


def test_unacknowledged_is_sent_again_with_dup(picket, secret):
    b = enter(picket, secret, "b", clean=False)
    b.subscribe("d/#", 1)
    a = enter(picket, secret, "a")
    a.publish("d/x", "again", qos=1, pid=1)
    first, body = b.expect(3)
    assert first & 8 == 0
    b.close()
    b = enter(picket, secret, "b", clean=False)
    again, same = b.expect(3)
    assert again & 8 and same == body


def test_properties_travel(picket, secret):
    a, b = enter(picket, secret, "a", version=5), enter(picket, secret, "b", version=5)
    b.subscribe("p/#", props=b"\x0b\x2a")
    props = (b"\x01\x01" + b"\x02\0\0\x01\x2c" + b"\x03\0\x04text" + b"\x08\0\x03r/1" + b"\x09\0\x02\x01\x02" + b"\x26\0\x01k\0\x01v" + b"\x26\0\x01k\0\x01w")
    a.publish("p/x", "hi", props=props)
    _, body = b.expect(3)
    for part in (b"\x01\x01", b"\x03\0\x04text", b"\x08\0\x03r/1", b"\x09\0\x02\x01\x02", b"\x26\0\x01k\0\x01v\x26\0\x01k\0\x01w", b"\x0b\x2a"):
        assert part in body, part
    assert body.endswith(b"hi")


def test_connack_tells_the_limits(picket, secret):
    c = picket.client(version=5)
    body = c.login("", "a", secret["a"], keep_alive=0)
    assert body[1] == 0
    assert b"\x12" in body and b"\x13\x04\xb0" in body, "assigned client id, server keep alive 1,200"


def test_topic_alias(picket, secret):
    a, b = enter(picket, secret, "a", version=5), enter(picket, secret, "b", version=5)
    b.subscribe("al/#")
    a.publish("al/x", "1", props=b"\x23\0\1")
    a.publish("", "2", props=b"\x23\0\1")
    assert [b.message()[:2] for _ in range(2)] == [("al/x", b"1"), ("al/x", b"2")]


def test_dollar_topics_are_apart_from_wildcards(picket, secret):
    b = enter(picket, secret, "b")
    b.subscribe("#")
    a = enter(picket, secret, "a")
    a.publish("$x/y", "hidden")
    a.publish("x/y", "seen")
    assert b.message()[0] == "x/y"


def test_many_clients_over_both_shards(picket, secret):
    subs = [enter(picket, secret, "b", str(i), to="plain") for i in range(40)]
    for s in subs:
        s.subscribe("many/#", 1)
    a = enter(picket, secret, "a")
    for i in range(50):
        a.publish("many/x", str(i), qos=1, pid=i + 1)
    for s in subs:
        assert [s.message()[1] for _ in range(50)] == [str(i).encode() for i in range(50)]


@pytest.mark.parametrize("where", [1, 5, 20])
def test_split_packets(picket, secret, where):
    b = enter(picket, secret, "b")
    b.subscribe("split")
    a = enter(picket, secret, "a")
    data = b"".join(publish("split", str(i)) for i in range(20))
    for i in range(0, len(data), where):
        a.send(data[i:i + where])
    assert [b.message()[1] for _ in range(20)] == [str(i).encode() for i in range(20)]
