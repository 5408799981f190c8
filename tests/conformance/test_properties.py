"""Properties of MQTT 5 on their way through the server (sections 3.1.2.11 and 3.3.2.3)."""
import struct
import time

from mqtt import text
from strict import PUBLISH
from suite import Suite, check_refused

suite = Suite(globals())

PAIRS = [(b"b", b"1"), (b"a", b"2"), (b"b", b"3"), (b"", b""), (b"k", b"")]
SENT = (b"\x01\1" + b"\x03" + text("text/\u00fc") + b"\x08" + text("reply/here") + b"\x09" + text(b"\0\xff\0\xfe") +
        b"".join(b"\x26" + text(k) + text(v) for k, v in PAIRS))


@suite.proves("5:3.3.2-4", "5:3.3.2-15", "5:3.3.2-16", "5:3.3.2-17", "5:3.3.2-18", "5:3.3.2-20")
def what_is_the_application_s_passes_unaltered(net):
    """Live, queued and retained."""
    topic = net.topic("a")
    live, absent, p = net.peer("live"), net.kept("absent"), net.peer("p")
    for s in (live, absent):
        s.sub(topic, options=1)
    absent.bye()
    p.put(topic, "x", 1, props=SENT, retain=True)
    late = net.peer("late")
    late.sub(topic)
    for s in (live, net.kept("absent"), late):
        m = s.take()
        assert (m.get(0x01), m.get(0x03), m.get(0x08), m.get(0x09)) == (1, "text/\u00fc".encode(), b"reply/here", b"\0\xff\0\xfe")
        assert m.all(0x26) == PAIRS


@suite.proves("5:3.3.2-5")
def an_expired_message_is_not_delivered(net):
    topic, kept = net.topic("a"), net.topic("kept")
    s, p = net.kept("s"), net.peer("p")
    s.sub(topic, options=1)
    s.bye()
    p.put(topic, "short", 1, props=b"\x02\0\0\0\1")
    p.put(topic, "long", 1, props=b"\x02\0\0\0\x3c")
    p.put(kept, "short", 1, props=b"\x02\0\0\0\1", retain=True)
    time.sleep(3)
    s = net.kept("s")
    assert s.take().payload == b"long"
    s.sub(kept)
    s.nothing()


@suite.proves("5:3.3.2-6")
def the_expiry_is_counted_down(net):
    topic = net.topic("a")
    s, p = net.kept("s"), net.peer("p")
    s.sub(topic, options=1)
    s.bye()
    p.put(topic, "x", 1, props=b"\x02\0\0\0\x3c", retain=True)
    sent = time.monotonic()
    time.sleep(3)
    s = net.kept("s")
    left = s.take().get(0x02)
    waited = time.monotonic() - sent
    assert 60 - waited - 1 <= left <= 57
    late = net.peer("late")
    late.sub(topic)
    assert late.take().get(0x02) <= 57


# ---- sizes -----------------------------------------------------------------------------------

@suite.proves("5:3.1.2-24", "5:3.1.2-25")
def maximum_packet_size_of_the_client(net):
    """What does not fit is as if delivered: it takes no place in the window, and what follows arrives."""
    topic = net.topic("a")
    s, p = net.peer("s", limit=64, window=1), net.peer("p")
    s.sub(topic, options=1)
    overhead = 1 + 1 + 2 + len(topic) + 2 + 1
    for size in (64 - overhead, 64 - overhead + 1, 200, 70000):
        p.put(topic, b"x" * size, 1)
    p.put(topic, "end", 1)
    got = [s.take() for _ in range(2)]
    assert [m.size for m in got][0] == 64 and got[1].payload == b"end"
    s.nothing()


@suite.proves("5:3.1.2-25")
def what_waited_is_measured_by_the_new_connection(net):
    topic = net.topic("a")
    s, p = net.kept("s"), net.peer("p")
    s.sub(topic, options=1)
    p.put(topic, b"x" * 500, 1)
    s.get(PUBLISH)
    s.close()
    p.put(topic, b"x" * 500, 1)
    p.put(topic, "end", 1)
    s = net.kept("s", limit=64)
    assert s.take().payload == b"end"
    s.nothing()


# ---- aliases ---------------------------------------------------------------------------------

@suite.proves("5:3.1.2-26", "5:3.1.2-27", "5:3.3.2-11", "5:3.3.2-8")
def aliases_of_the_server_stay_within_the_maximum(net):
    """Peer knows what they mean, and fails at one above the maximum or without a meaning."""
    for n, most in enumerate((None, 0, 2, 1000)):
        s, p = net.peer(f"s{n}", aliases=most), net.peer("p")
        s.sub(net.topic(f"{n}/#"), options=1)
        short = 0
        for i in range(40):
            topic = net.topic(f"{n}/{i % 5 if i < 20 else 0}")
            p.put(topic, "x", i % 2)
            m = s.take()
            assert m.name == topic
            short += not m.topic
        assert (short > 0) == bool(most)


@suite.proves("5:3.3.2-7")
def aliases_of_the_server_end_with_the_connection(net):
    topic, p = net.topic("some/topic"), net.peer("p")
    s = net.kept("s", aliases=4)
    s.sub(topic, options=1)
    for _ in range(3):
        p.put(topic, "x", 1)
        assert s.get(PUBLISH).name == topic
    s.close()
    p.put(topic, "x", 1)
    for aliases in (4, None):
        s = net.kept("s", aliases=aliases)
        assert [s.get(PUBLISH).name for _ in range(4)] == [topic] * 4
        s.close()


@suite.proves("5:3.3.2-12")
def every_alias_that_was_announced(net):
    s, p = net.peer("s"), net.peer("p")
    s.sub(net.topic("#"))
    most = p.seen[0].get(0x22)
    for topic, alias in (("a", 1), (None, 1), ("b", most), (None, most), ("c", 1), (None, 1), (None, most)):
        p.pub(net.topic(topic) if topic else "", "x", props=b"\x23" + struct.pack(">H", alias))
    got = [s.take() for _ in range(7)]
    assert [m.topic for m in got] == [net.topic(t) for t in "aabbccb"]
    assert all(m.get(0x23) is None for m in got)


@suite.proves("5:3.3.2-7")
def aliases_end_with_the_connection(net):
    p = net.kept("p")
    p.pub(net.topic("a"), "x", props=b"\x23\0\1")
    p.ping()
    p.close()
    p = net.kept("p")
    assert p.seen[0].present
    p.pub("", "x", props=b"\x23\0\1")
    check_refused(net, p, (0x82,))


# ---- AUTH never comes ------------------------------------------------------------------------

@suite.proves("5:3.15.2-2", "5:3.15.2-3")
def a_refused_method_within_a_small_packet_size(net):
    """The server offers no method, so no AUTH of it can be too large; Peer fails at any AUTH."""
    p = net.raw()
    p.connect("x", props=b"\x15" + text("X-DEMO"), code=0x8C, limit=32)
    assert p.ended() == []
