"""Sessions: clean start and resumption, expiry, what is kept and re-sent (sections 3.1.2, 4.1 and 4.4)."""
import struct
import time

from strict import PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from suite import Suite

suite = Suite(globals())


@suite.proves("3:3.1.2-4", "5:3.1.2-5", "3:3.2.2-2", "5:3.2.2-3", "5:3.1.2-23", "3:4.1.0-1", "3:3.1.4-3", "5:3.1.4-4")
def a_session_is_resumed(net):
    topic = net.topic("a")
    s = net.kept("s")
    assert not s.seen[0].present
    s.sub(topic, options=1)
    s.bye()
    p = net.peer("p")
    p.put(topic, "queued", 1)
    s = net.kept("s")
    assert s.seen[0].present
    assert s.take().payload == b"queued"
    p.put(topic, "live", 1)
    assert s.take().payload == b"live"


@suite.proves("3:3.1.4-3", "5:3.1.4-4")
def clean_start_and_resumption_of_a_live_connection(net):
    topic = net.topic("a")
    first = net.kept("s")
    first.sub(topic, options=1)
    second = net.kept("s")
    assert second.seen[0].present
    net.peer("p").put(topic, "x", 1)
    assert second.take().payload == b"x"
    third = net.kept("s", clean=True)
    assert not third.seen[0].present
    net.peer("p").put(topic, "x", 1)
    third.nothing()


@suite.proves("3:3.1.2-6", "5:3.1.2-4", "3:3.2.2-1", "5:3.2.2-2")
def a_clean_start_discards(net):
    topic = net.topic("a")
    s = net.kept("s")
    s.sub(topic, options=1)
    s.bye()
    p = net.peer("p")
    p.put(topic, "queued", 1)
    s = net.peer("s")
    assert not s.seen[0].present
    s.nothing()
    p.put(topic, "live", 1)
    s.nothing()
    s.bye()
    assert not net.kept("s").seen[0].present


@suite.proves("3:3.2.2-3", "5:3.1.2-6", "5:3.2.2-3")
def a_session_is_made(net):
    s = net.kept("fresh")
    assert not s.seen[0].present
    s.sub(net.topic("a"))
    net.peer("p").put(net.topic("a"), "x", 0)
    assert s.take().payload == b"x"


@suite.proves("5:3.1.2-23")
def no_session_without_an_expiry(net):
    net.peer("s", clean=False).bye()
    assert not net.peer("s", clean=False).seen[0].present


@suite.proves("3:3.1.2-5", "5:3.1.2-5")
def messages_wait_for_an_absent_client(net):
    topic = net.topic("a")
    s = net.kept("s")
    s.sub(topic, options=2)
    s.close()
    p = net.peer("p")
    p.put(topic, "1", 1)
    p.put(topic, "2", 2)
    s = net.kept("s")
    assert [(m.payload, m.qos) for m in (s.take(), s.take())] == [(b"1", 1), (b"2", 2)]


@suite.proves("3:3.1.2-7")
def retained_messages_outlive_the_session(net):
    topic = net.topic("a")
    p = net.peer("p")
    p.put(topic, "kept", 1, retain=True)
    p.bye()
    s = net.peer("s")
    s.sub(topic)
    assert s.take().payload == b"kept"


@suite.proves("3:3.1.3-2", "5:3.1.3-2")
def the_client_id_names_the_session(net):
    for name in "ab":
        s = net.kept(name)
        s.sub(net.topic(name), options=1)
        s.bye()
    p = net.peer("p")
    for name in "ab":
        p.put(net.topic(name), name, 1)
    for name in "ba":
        s = net.kept(name)
        assert s.seen[0].present and s.take().payload == name.encode()
        s.nothing()


@suite.proves("3:4.1.0-2", "5:4.1.0-1")
def a_session_lasts_as_long_as_its_connection(net):
    subscribers = [net.peer("s")] if not net.five else [net.peer("s"), net.kept("t", 1)]
    for s in subscribers:
        s.sub(net.topic("a"))
    for _ in range(4):
        time.sleep(0.8)
        for s in subscribers:
            s.ping()
    net.peer("p").put(net.topic("a"), "late", 0)
    for s in subscribers:
        assert s.take().payload == b"late"


@suite.proves("3:4.1.0-1")
def a_session_survives_several_reconnections(net):
    topic = net.topic("a")
    s, p = net.kept("s"), net.peer("p")
    s.sub(topic, options=2)
    for i in range(4):
        s.close()
        p.put(topic, str(i), 1 + i % 2)
        s = net.kept("s")
        assert s.seen[0].present
        assert [s.get(PUBLISH).payload for _ in range(i + 1)] == [str(n).encode() for n in range(i + 1)]


@suite.proves("5:4.1.0-2", "5:3.1.2-23")
def a_session_expires(net):
    topic = net.topic("a")
    s = net.kept("s", 1)
    s.sub(topic, options=1)
    s.bye()
    net.peer("p").put(topic, "x", 1)
    time.sleep(3)
    s = net.kept("s", 1)
    assert not s.seen[0].present
    s.nothing()


# ---- sending again -------------------------------------------------------------------------

def under_way(net, qos, n=1, name="s"):
    """A kept subscriber that has n messages of that QoS and has acknowledged none: it, and what it got."""
    topic = net.topic("u")
    s = net.kept(name)
    s.sub(topic, options=qos)
    p = net.peer("p")
    for i in range(n):
        p.put(topic, str(i), qos)
    return s, [s.get(PUBLISH) for _ in range(n)]


def resume(net, s, name="s"):
    s.close()
    again = net.kept(name)
    assert again.seen[0].present
    return again


@suite.proves("3:3.3.1-1", "5:3.3.1-1", "5:4.3.2-3", "3:4.3.2-1", "3:2.3.1-4")
def qos_1_is_sent_again_until_it_is_acknowledged(net):
    s, (m,) = under_way(net, 1)
    assert not m.dup
    s = resume(net, s)
    again = s.get(PUBLISH)
    assert again.dup and (again.pid, again.payload) == (m.pid, m.payload)
    s.nothing()
    s.ack(PUBACK, m.pid)
    s.ping()
    resume(net, s).nothing()


@suite.proves("3:4.3.3-1", "5:4.3.3-3")
def qos_2_is_sent_again_until_pubrec(net):
    s, (m,) = under_way(net, 2)
    assert not m.dup
    s = resume(net, s)
    again = s.get(PUBLISH)
    assert again.dup and (again.pid, again.qos, again.payload) == (m.pid, 2, m.payload)
    s.ack(PUBREC, m.pid)
    assert s.get(PUBREL).pid == m.pid


@suite.proves("3:4.3.3-1", "5:4.3.3-5", "5:4.3.3-6")
def pubrel_is_sent_again_until_pubcomp(net):
    s, (m,) = under_way(net, 2)
    s.ack(PUBREC, m.pid)
    assert s.get(PUBREL).pid == m.pid
    s = resume(net, s)
    assert s.get(PUBREL).pid == m.pid
    s.nothing()
    s.ack(PUBCOMP, m.pid)
    s.ping()
    resume(net, s).nothing()


@suite.proves("3:4.4.0-1")
def both_kinds_are_sent_again(net):
    topic = net.topic("u")
    s = net.kept("s")
    s.sub(topic, options=2)
    p = net.peer("p")
    p.put(topic, "one", 1)
    p.put(topic, "two", 2)
    one, two = s.get(PUBLISH), s.get(PUBLISH)
    s.ack(PUBREC, two.pid)
    s.get(PUBREL)
    s = resume(net, s)
    first, second = sorted((s.next(), s.next()), key=lambda q: q.kind)  # nothing says which of the two comes first
    assert (first.kind, first.pid, first.dup) == (PUBLISH, one.pid, True)
    assert (second.kind, second.pid) == (PUBREL, two.pid)


@suite.proves("5:4.4.0-1")
def never_again_on_the_same_connection(net):
    """Silence for a while, in which the client is alive; then each once."""
    s, (m,) = under_way(net, 1)
    for _ in range(5):
        s.nothing(2)
    s = resume(net, s)
    assert s.get(PUBLISH).pid == m.pid
    s.nothing()


@suite.proves("5:4.4.0-2")
def a_refusal_acknowledges(net):
    for kind, qos in ((PUBACK, 1), (PUBREC, 2)):
        s, (m,) = under_way(net, qos, name=f"s{qos}")
        s.ack(kind, m.pid, 0x80)
        s.nothing()
        resume(net, s, f"s{qos}").nothing()


@suite.proves("3:4.6.0-1", "3:4.6.0-6", "5:4.6.0-5")
def sent_again_in_the_same_order(net):
    s, got = under_way(net, 1, 5)
    s = resume(net, s)
    assert [s.get(PUBLISH).pid for _ in got] == [m.pid for m in got]


@suite.proves("5:4.3.3-7")
def expiry_ends_with_the_first_sending(net):
    topic = net.topic("e")
    s = net.kept("s")
    s.sub(topic, options=2)
    net.peer("p").put(topic, "x", 2, props=b"\x02\0\0\0\1")
    m = s.get(PUBLISH)
    time.sleep(3)
    again = resume(net, s).get(PUBLISH)
    assert again.dup and again.pid == m.pid


@suite.proves("3:4.5.0-1", "5:4.5.0-1")
def a_message_reaches_all_who_subscribed(net):
    topic = net.topic("a")
    online, absent = [net.peer("a"), net.peer("b")], net.kept("c")
    for s in (*online, absent):
        s.sub(topic, options=1)
    absent.bye()
    net.peer("p").put(topic, "x", 1)
    for s in (*online, net.kept("c")):
        assert s.take().payload == b"x"
