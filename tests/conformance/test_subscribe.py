"""SUBSCRIBE, UNSUBSCRIBE and their answers, subscription options, shared subscriptions (sections 3.8 to 3.11 and 4.8)."""
import threading

from mqtt import packet, subscribe, text, unsubscribe
from strict import DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from suite import LEVEL, Suite

suite = Suite(globals())


def request(first, *filters, pid=b"\0\1", options=None, props=b""):
    """A SUBSCRIBE (with options) or UNSUBSCRIBE of parts that need not fit, for either version."""
    def data(net):
        tail = b"" if options is None else bytes([options])
        return packet(first, pid + (bytes([len(props)]) + props if net.five else b"") + b"".join(text(f) + tail for f in filters))
    return data


suite.refuses(("3:3.8.1-1", "5:3.8.1-1"), "subscribe_flags", request(0x80, "a", options=0), (0x81,))
suite.refuses(("3:3.10.1-1", "5:3.10.1-1"), "unsubscribe_flags", request(0xA0, "a"), (0x81,))
suite.refuses(("3:3.8.3-1", "5:3.8.3-1", "3:1.5.3-1"), "filter_not_utf8", request(0x82, b"\xc3\x28", options=0), (0x81,))
suite.refuses(("3:3.10.3-1", "5:3.10.3-1"), "unsubscribe_filter_not_utf8", request(0xA2, b"\xc3\x28"), (0x81,))
suite.refuses(("3:3.10.3-1",), "unsubscribe_filter_beyond_the_end", b"\xa2\x05\0\1\0\5a")
suite.refuses(("3:3.8.3-3", "5:3.8.3-2"), "subscribe_without_filter", request(0x82, options=0), (0x82,))
suite.refuses(("3:3.10.3-2", "5:3.10.3-2"), "unsubscribe_without_filter", request(0xA2), (0x82,))
suite.refuses(("3:2.3.1-1", "5:2.2.1-3"), "subscribe_identifier_0", request(0x82, "a", options=0, pid=b"\0\0"), (0x82, 0x81))
suite.refuses(("3:2.3.1-1", "5:2.2.1-3"), "unsubscribe_identifier_0", request(0xA2, "a", pid=b"\0\0"), (0x82, 0x81))
suite.refuses(("3:1.5.3-2", "5:1.5.4-2", "3:4.7.3-2", "5:4.7.3-2"), "zero_byte_in_filter", request(0x82, "a\0b", options=0), (0x81,))
for options in (0x03, 0x04, 0x80):
    suite.refuses(("3:3.8.3-4",), f"requested_qos_{options:02x}", request(0x82, "a", options=options))
for options in (0x40, 0x80):
    suite.refuses(("5:3.8.3-5",), f"reserved_option_{options:02x}", request(0x82, "a", options=options), (0x81,))
suite.refuses(("5:3.8.3-4",), "no_local_on_a_shared_subscription", request(0x82, "$share/g/a", options=4), (0x82,))


@suite.proves("3:3.8.3-2")
def wildcards_where_there_are_none(net):
    p = net.peer("p", "lean")
    for bad in ("a/+", "#", "a/#", "+"):
        assert p.sub(bad) == [0x80]
    assert p.sub("a", "b/#", "c") == [0, 0x80, 0]


# ---- the answers ---------------------------------------------------------------------------

@suite.proves("3:3.8.4-1", "5:3.8.4-1", "3:2.3.1-7", "5:2.2.1-6", "3:3.10.4-4", "5:3.10.4-4")
def every_request_is_answered(net):
    p = net.peer("p")
    assert p.sub("a", pid=0x1234) == [0]
    assert p.unsub("a", pid=0xFFFF) == ([0] if net.five else [])


@suite.proves("3:3.10.4-4")
def unsuback_byte_by_byte(net):
    p = net.peer("p")
    p.send(unsubscribe(10, "a"))
    assert p.read() == (0xB0, b"\0\x0a")


@suite.proves("3:3.8.4-2", "5:3.8.4-2")
def requests_that_do_not_wait(net):
    p = net.peer("p")
    p.send(b"".join(subscribe(i, (f"a{i}", 0), version=LEVEL[net.v]) for i in (3, 1, 2)))
    assert [p.get(SUBACK).pid for _ in range(3)] == [3, 1, 2]


@suite.proves("3:3.9.3-1", "3:3.9.3-2", "3:3.8.4-5", "5:3.9.3-1", "5:3.9.3-2", "5:3.8.4-6", "5:3.8.4-7", "5:3.8.4-1")
def codes_in_the_order_of_the_filters(net):
    p = net.named("narrow")
    codes = p.sub(("ok/a", 2), ("ok/b", 0), ("ok/c", 1), ("denied", 1))
    assert codes == [2, 0, 1, 0x87 if net.five else 0x80]


@suite.proves("3:3.8.4-5", "3:3.8.4-6", "5:3.8.4-7", "5:3.8.4-8")
def the_lower_qos_wins(net):
    s, p = net.peer("s"), net.peer("p")
    for wanted in range(3):
        assert s.sub(net.topic(str(wanted)), options=wanted) == [wanted]
        for said in range(3):
            p.put(net.topic(str(wanted)), "x", said)
            assert s.take().qos == min(wanted, said)


@suite.proves("3:3.8.4-4", "5:3.8.4-5")
def several_filters_in_one_request(net):
    a, b = net.topic("a"), net.topic("b")
    s, p = net.peer("s"), net.peer("p")
    assert s.sub((a, 0), (b, 1), (a, 1)) == [0, 1, 1]
    for topic in (a, b):
        p.put(topic, "x", 2)
        assert s.take().qos == 1
    s.nothing()


@suite.proves("5:3.8.4-3")
def an_identical_filter_replaces(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub((topic, 0))
    s.sub((topic, 1))
    p.put(topic, "x", 1)
    assert s.take().qos == 1
    s.nothing()
    s.unsub(topic)
    p.put(topic, "x", 1)
    s.nothing()


@suite.proves("3:3.8.4-3", "5:3.8.4-4")
def replacing_interrupts_nothing(net):
    """A numbered stream, during which the subscriber subscribes again: no gap, and the retained message each time."""
    s, p, kept, stream, count, again = net.peer("s"), net.peer("p"), net.topic("r/kept"), net.topic("r/stream"), 300, 10
    p.put(kept, "kept", 1, retain=True)
    s.sub(net.topic("r/+"), options=1)
    assert s.take().retain
    sender = threading.Thread(target=lambda: [p.put(stream, str(i), 1) for i in range(count)])
    sender.start()
    numbers, retained, granted, subscribed = [], 0, 0, 0
    while len(numbers) < count or retained < again or granted < again:
        if subscribed < again and len(numbers) >= 25 * subscribed:
            subscribed += 1
            s.send(subscribe(100 + subscribed, (net.topic("r/+"), 1 + subscribed % 2), version=LEVEL[net.v]))
        m = s.next()
        if m.kind == SUBACK:
            granted += 1
            continue
        s.ack(PUBACK, m.pid)
        if m.topic == kept:
            assert m.retain
            retained += 1
        else:
            numbers.append(int(m.payload))
    sender.join()
    assert numbers == list(range(count)) and retained == again
    s.nothing()


# ---- UNSUBSCRIBE ---------------------------------------------------------------------------

@suite.proves("3:3.10.4-1", "5:3.10.4-1", "3:3.10.4-2", "5:3.10.4-2")
def unsubscribe_means_the_filter_itself(net):
    s, p = net.peer("s"), net.peer("p")
    s.sub(net.topic("+"))
    s.unsub(net.topic("b"))
    p.put(net.topic("b"), "1", 0)
    assert s.take().payload == b"1"
    s.unsub(net.topic("+"))
    p.put(net.topic("b"), "2", 0)
    s.nothing()


@suite.proves("3:3.10.4-5", "5:3.10.4-5")
def unsubscribe_of_nothing_is_answered(net):
    assert net.peer("p").unsub("unknown", pid=77) == ([0x11] if net.five else [])


@suite.proves("3:3.10.4-6", "5:3.10.4-6", "5:3.11.3-1", "5:3.11.3-2")
def several_filters_are_unsubscribed_at_once(net):
    s, p, a, b = net.peer("s"), net.peer("p"), net.topic("a"), net.topic("b")
    s.sub(a, b)
    assert s.unsub(a, net.topic("unknown"), b) == ([0, 0x11, 0] if net.five else [])
    for topic in (a, b):
        p.put(topic, "x", 0)
    s.nothing()


@suite.proves("3:3.10.4-3", "5:3.10.4-3")
def what_is_under_way_is_completed(net):
    s, topic = net.kept("s"), net.topic("a")
    s.sub(topic, options=2)
    net.peer("p").put(topic, "x", 2)
    m = s.get(PUBLISH)
    s.unsub(topic)
    s.close()
    s = net.kept("s")
    again = s.get(PUBLISH)
    assert (again.pid, again.dup) == (m.pid, True)
    s.ack(PUBREC, m.pid)
    assert s.get(PUBREL).pid == m.pid
    s.ack(PUBCOMP, m.pid)
    s.ping()


# ---- options and identifiers ---------------------------------------------------------------

@suite.proves("5:3.8.3-3")
def no_local(net):
    s, topic = net.peer("s"), net.topic("a")
    s.sub(topic, options=4)
    s.put(topic, "own", 0)
    s.nothing()
    net.peer("p").put(topic, "other", 0)
    assert s.take().payload == b"other"


@suite.proves("5:3.3.4-3", "5:3.3.4-4", "5:3.3.4-5")
def subscription_identifiers_of_overlapping_filters(net):
    s = net.peer("s")
    s.sub(net.topic("#"), props=b"\x0b\1")
    s.sub(net.topic("+"), props=b"\x0b\2")
    net.peer("p").put(net.topic("a"), "x", 0)
    m = s.take()
    if sorted(m.all(0x0B)) == [1, 2]:
        s.nothing()
    else:
        assert sorted([m.all(0x0B), s.take().all(0x0B)]) == [[1], [2]]


# ---- shared subscriptions --------------------------------------------------------------------

def shared_filter_refused(net, bad):
    p = net.peer("p")
    p.send(subscribe(1, (bad, 0), version=5))
    q = p.next()
    assert q.kind == SUBACK and q.codes == [0x8F] or q.kind == DISCONNECT


@suite.proves("5:4.8.2-1")
def share_without_a_name(net):
    shared_filter_refused(net, "$share//a")


@suite.proves("5:4.8.2-2")
def share_without_a_filter(net):
    for bad in ("$share/g", "$share/g/", "$share/g+/a", "$share/#/a"):
        shared_filter_refused(net, bad)


@suite.proves("5:4.8.2-3")
def each_member_has_its_own_qos(net):
    topic = net.topic("a")
    members = [net.peer(f"m{qos}") for qos in range(3)]
    for qos, m in enumerate(members):
        m.sub(f"$share/g/{topic}", options=qos)
    p, got = net.peer("p"), 0
    for i in range(30):
        p.put(topic, str(i), 2)
    for qos, m in enumerate(members):
        try:
            while True:
                assert m.take(0.5).qos == qos
                got += 1
        except TimeoutError:
            pass
    assert got == 30


def first_of(members):
    """The member that got the message, and the message; the others have none."""
    holders = []
    for m in members:
        try:
            holders.append((m, m.get(PUBLISH, 0.5)))
        except TimeoutError:
            pass
    (one,) = holders
    return one


@suite.proves("5:4.8.2-4")
def an_interrupted_shared_delivery_goes_on_with_its_client(net):
    for released in (False, True):
        topic = net.topic(f"a{released}")
        names = [f"{n}{released}" for n in "xy"]
        members = [net.kept(n) for n in names]
        for m in members:
            m.sub(f"$share/g/{topic}", options=2)
        net.peer("p").put(topic, "x", 2)
        one, m = first_of(members)
        if released:
            one.ack(PUBREC, m.pid)
            one.get(PUBREL)
        one.close()
        (other,) = [x for x in members if x is not one]
        other.nothing()
        again = net.kept(names[members.index(one)])
        q = again.next()
        assert (q.kind, q.pid) == (PUBREL if released else PUBLISH, m.pid)
        if not released:
            again.ack(PUBREC, m.pid)
            again.get(PUBREL)
        again.ack(PUBCOMP, m.pid)
        other.nothing()


@suite.proves("5:4.8.2-5")
def a_shared_qos_2_message_dies_with_its_session(net):
    topic = net.topic("a")
    members = [net.peer("x"), net.peer("y")]
    for m in members:
        m.sub(f"$share/g/{topic}", options=2)
    net.peer("p").put(topic, "x", 2)
    one, _ = first_of(members)
    one.close()
    [m for m in members if m is not one][0].nothing(0.5)


@suite.proves("5:4.8.2-6")
def a_refusal_by_a_member_discards_for_all(net):
    for kind, qos in ((PUBACK, 1), (PUBREC, 2)):
        topic = net.topic(f"a{qos}")
        members = [net.peer(f"x{qos}"), net.peer(f"y{qos}")]
        for m in members:
            m.sub(f"$share/g/{topic}", options=qos)
        net.peer("p").put(topic, "x", qos)
        one, m = first_of(members)
        one.ack(kind, m.pid, 0x80)
        for m in members:
            m.nothing()
