"""The handshakes of QoS 1 and 2 on one connection (section 4.3), pings, DISCONNECT and AUTH (3.12 to 3.15, 4.12), transport."""
import time

from mqtt import packet, text
from strict import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import Suite, check_refused

suite = Suite(globals())


@suite.proves("3:4.3.2-2", "5:4.3.2-5", "5:4.3.2-4")
def after_puback_the_identifier_is_new(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=1)
    p.put(topic, "1", 1, pid=7)
    p.put(topic, "2", 1, pid=7, dup=True)
    assert [s.take().payload for _ in "12"] == [b"1", b"2"]


@suite.proves("3:4.3.3-2", "5:4.3.3-10", "5:4.3.3-12", "3:2.3.1-6")
def qos_2_is_delivered_once(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for dup in (False, True):
        p.pub(topic, "once", qos=2, pid=9, dup=dup)
        assert p.get(PUBREC).pid == 9
    p.ack(PUBREL, 9)
    assert p.get(PUBCOMP).pid == 9
    assert s.take().payload == b"once"
    s.nothing()
    p.put(topic, "new", 2, pid=9)
    assert s.take().payload == b"new"


@suite.proves("5:4.3.3-10")
def qos_2_is_delivered_once_across_connections(net):
    s, p, topic = net.peer("s"), net.kept("p"), net.topic("a")
    s.sub(topic, options=2)
    p.pub(topic, "once", qos=2, pid=9)
    p.get(PUBREC)
    p.close()
    p = net.kept("p")
    assert p.seen[0].present
    p.pub(topic, "once", qos=2, pid=9, dup=True)
    assert p.get(PUBREC).pid == 9
    p.ack(PUBREL, 9)
    assert p.get(PUBCOMP).pid == 9
    assert s.take().payload == b"once"
    s.nothing()


@suite.proves("5:4.3.3-4", "5:3.6.2-1")
def pubrec_is_answered_with_pubrel(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for code in (None, 0, 0x10):
        p.put(topic, "x", 2)
        m = s.get(PUBLISH)
        s.ack(PUBREC, m.pid, code)
        assert s.get(PUBREL).pid == m.pid
        s.ack(PUBCOMP, m.pid)
    p.put(topic, "x", 2)
    s.ack(PUBREC, s.get(PUBLISH).pid, 0x80)
    s.nothing()
    s.ack(PUBREC, 999)
    q = s.get(PUBREL)
    assert (q.pid, q.code) == (999, 0x92)


@suite.proves("3:4.6.0-4")
def pubrels_in_the_order_of_the_pubrecs(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for i in range(5):
        p.put(topic, str(i), 2)
    order = [s.get(PUBLISH).pid for _ in range(5)]
    order = [order[i] for i in (3, 0, 4, 1, 2)]
    s.send(b"".join(b"\x50\2" + pid.to_bytes(2, "big") for pid in order))
    assert [s.get(PUBREL).pid for _ in order] == order


@suite.proves("3:3.6.1-1", "5:3.6.1-1")
def pubrel_flags(net):
    p = net.peer("p")
    p.pub(net.topic("a"), "x", qos=2, pid=1)
    p.get(PUBREC)
    p.send_all(b"\x60\2\0\1")
    check_refused(net, p, (0x81,))


@suite.proves("5:3.7.2-1")
def pubcomp_says_whether_the_identifier_was_known(net):
    p = net.peer("p")
    p.pub(net.topic("a"), "x", qos=2, pid=1)
    p.get(PUBREC)
    for code in (0, 0x92):
        p.ack(PUBREL, 1)
        assert p.get(PUBCOMP).code == code


for kind in (0x40, 0x50, 0x62, 0x70):
    suite.refuses(({0x40: "5:3.4.2-1", 0x50: "5:3.5.2-1", 0x62: "5:3.6.2-1", 0x70: "5:3.7.2-1"}[kind],), f"a_reason_that_nobody_knows_{kind:02x}",
                  bytes([kind, 3, 0, 1, 1]), (0x81, 0x82))


@suite.proves("5:4.3.3-9")
def a_refused_qos_2_message_is_over(net):
    s, p = net.named("narrow", "s" + net.unique), net.named("narrow")
    s.sub(f"ok/{net.unique}", options=2)
    p.pub("denied", "x", qos=2, pid=5)
    assert p.get(PUBREC).code == 0x87
    assert p.put(f"ok/{net.unique}", "y", 2, pid=5) == 0
    assert s.take().payload == b"y"


@suite.proves("5:4.3.3-13")
def the_handshake_outlives_the_message(net):
    p = net.peer("p")
    p.pub(net.topic("a"), "x", qos=2, pid=3, props=b"\x02\0\0\0\1")
    p.get(PUBREC)
    time.sleep(3)
    p.ack(PUBREL, 3)
    assert p.get(PUBCOMP).code == 0


# ---- pings, fixed headers --------------------------------------------------------------------

@suite.proves("3:3.12.4-1", "5:3.12.4-1", "3:2.2.2-1", "5:1.5.5-1", "5:2.1.3-1")
def ping(net):
    p = net.peer("p")
    p.send(b"\xc0\0")
    assert p.read() == (0xD0, b"")


@suite.proves("3:2.2.2-1", "5:2.1.3-1", "5:1.5.5-1", "5:2.2.2-1")
def every_packet_of_the_server_is_well_formed(net):
    """Peer takes apart whatever comes; here every type comes, and lengths at the boundaries of their encoding."""
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for qos in (0, 1, 2):
        p.put(topic, "x", qos)
        s.take()
    for size in (90, 100, 127, 128, 16300, 16384, 70000):
        p.put(topic, b"x" * size, 1)
        assert len(s.take().payload) == size
    s.unsub(topic)
    s.ping()
    assert {q.kind for q in s.seen} == {CONNACK, PUBLISH, PUBREL, SUBACK, UNSUBACK, PINGRESP}
    assert {q.kind for q in p.seen} >= {PUBACK, PUBREC, PUBCOMP}


for n, bad in enumerate((b"\xc1\0", b"\x41\2\0\1")):
    suite.refuses(("3:2.2.2-2", "5:2.1.3-1"), f"reserved_flags_{n}", bad, (0x81,))
suite.refuses(("5:1.5.5-1",), "length_not_in_its_shortest_form", b"\xc0\x80\0", (0x81,))
for n, bad in enumerate((b"\x30\xff\xff\xff\xff\x01", b"\xc0\x80\x80\x80\x80\0")):
    suite.refuses(("3:4.8.0-1", "5:1.5.5-1"), f"length_of_five_bytes_{n}", bad, (0x81,))


@suite.proves("3:7.1.1-1", "5:4.2.0-1")
def one_byte_a_write(net):
    p = net.raw()
    p.split = 1
    p.connect(net.id("p"))
    p.sub(net.topic("a"))
    p.pub(net.topic("a"), "x")
    assert p.take().payload == b"x"


@suite.proves("3:7.0.0-2")
def nothing_beyond_the_specification_is_needed(net):
    """The plain client of this suite is the proof; here it does a bit of everything."""
    s, p, topic = net.kept("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for qos in (0, 1, 2):
        p.put(topic, "x", qos)
        assert s.take().qos == qos
    s.unsub(topic)
    s.bye()


# ---- DISCONNECT ------------------------------------------------------------------------------

@suite.proves("3:3.14.1-1", "5:3.14.1-1", "3:2.2.2-2", "5:2.1.3-1")
def disconnect_flags(net):
    """Not a goodbye: the will is said."""
    s, will = net.peer("s"), net.topic("will")
    s.sub(will)
    for bad in (b"\xe1\0", b"\xe4\0"):
        p = net.peer("p", will=(will, "gone", 0, False))
        p.send_all(bad)
        check_refused(net, p, (0x81,))
        assert s.take().payload == b"gone"


PROVOCATIONS = {b"\x36\6\0\1a\0\1\0": 0x81, b"\x30\4\0\0\0x": 0x82, b"\x30\7\0\1a\3\x23\xff\xff": 0x94, b"\xf0\0": 0x82, b"\x82\3\0\1\0": 0x82,
                b"\x30\xff\xff\xff\x7f": 0x95}


@suite.proves("5:3.14.2-1", "5:3.14.2-2", "5:3.14.4-1", "5:3.14.4-2", "5:4.13.2-1", "5:4.13.1-1")
def a_disconnect_is_the_last_word(net):
    for bad, code in PROVOCATIONS.items():
        p = net.named("narrow", f"{net.unique}{bad.hex()}")
        p.send_all(bad)
        (q,) = p.ended()
        assert (q.kind, q.code) == (DISCONNECT, code) and q.get(0x11) is None


# ---- AUTH ------------------------------------------------------------------------------------

METHOD = b"\x15" + text("X-DEMO")
suite.refuses(("5:4.12.0-7",), "auth_without_a_method", packet(0xF0, b"\x18" + bytes([len(METHOD)]) + METHOD), (0x82,))
suite.refuses(("5:4.12.0-7",), "reauthentication_without_a_method", packet(0xF0, b"\x19" + bytes([len(METHOD)]) + METHOD), (0x82,))
suite.refuses(("5:3.15.2-1",), "auth_reason_unknown", packet(0xF0, b"\1" + bytes([len(METHOD)]) + METHOD), (0x81, 0x82))
suite.refuses(("5:3.15.1-1",), "auth_flags", packet(0xF1, b"\x18" + bytes([len(METHOD)]) + METHOD), (0x81,))


@suite.proves("5:4.12.0-1")
def an_unknown_method(net):
    p = net.raw()
    p.connect("x", props=METHOD, code=0x8C)
    assert p.ended() == []


@suite.proves("5:4.12.0-6")
def no_auth_without_a_method(net):
    """Peer fails at an AUTH, and at a method in a CONNACK."""
    p = net.peer("p")
    assert p.seen[0].get(0x15) is None
    p.put(net.topic("a"), "x", 2)
    p.ping()
