"""PUBLISH: flags, retained messages, the answer by QoS, what is forwarded (section 3.3 and 2.x of both versions)."""
import struct

from mqtt import packet, publish, text, vbi
from strict import CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL
from suite import LEVEL, Suite, check_refused

suite = Suite(globals())


def pub(topic=b"t", payload=b"x", first=0x30, pid=b"", props=b""):
    """A PUBLISH of parts that need not fit, for either version."""
    def data(net):
        return packet(first, text(topic) + pid + ((vbi(len(props)) + props) if net.five else b"") + payload)
    return data


# ---- refused -------------------------------------------------------------------------------

BAD_NAME = (0x81, 0x82, 0x90)
suite.refuses(("3:3.3.1-4", "5:3.3.1-4"), "qos_3", pub(first=0x36, pid=b"\0\1"), (0x81,))
suite.refuses(("3:2.3.1-1", "5:2.2.1-3"), "publish_identifier_0", pub(first=0x32, pid=b"\0\0"), (0x82, 0x81))
for n, bad in enumerate((b"\xc3\x28", b"\xed\xa0\x80", b"\xc0\x80")):
    suite.refuses(("3:1.5.3-1", "5:1.5.4-1", "3:3.3.2-1", "5:3.3.2-1"), f"topic_not_utf8_{n}", pub(bad), (0x81,))
suite.refuses(("3:1.5.3-2", "5:1.5.4-2", "3:4.7.3-2", "5:4.7.3-2"), "zero_byte_in_topic", pub(b"a\0b"), (0x81,))
suite.refuses(("3:3.3.2-1",), "topic_beyond_the_end", b"\x30\x05\0\x05abc", (0x81,))
suite.refuses(("3:4.7.3-1", "5:4.7.3-1"), "topic_empty", pub(b""), (0x82,))
suite.refuses(("5:3.3.2-8",), "alias_0", pub(props=b"\x23\0\0"), (0x94,))
suite.refuses(("5:3.3.2-13",), "response_topic_not_utf8", pub(props=b"\x08\0\2\xc3\x28"), (0x81,))
suite.refuses(("5:3.3.2-14",), "response_topic_with_wildcard", pub(props=b"\x08\0\3r/#"), BAD_NAME)
suite.refuses(("5:3.3.2-19",), "content_type_not_utf8", pub(props=b"\x03\0\2\xc3\x28"), (0x81,))
suite.refuses(("5:3.3.4-6",), "subscription_identifier_from_a_client", pub(props=b"\x0b\5"), (0x82, 0x81))
for n, pair in enumerate((text(b"\xc3\x28") + text("v"), text("k") + text(b"\xc3\x28"), text("a\0") + text("v"), text("k") + text("\0"))):
    suite.refuses(("5:1.5.7-1",), f"user_property_ill_formed_{n}", pub(props=b"\x26" + pair), (0x81,))
suite.refuses(("5:3.2.2-18",), "alias_never_set", pub(b"", props=b"\x23\0\1"), (0x82,))


@suite.proves("3:3.3.2-2", "5:3.3.2-2", "3:4.7.1-1", "5:4.7.0-1")
def wildcards_in_topic_names(net):
    s = net.peer("s")
    s.sub(net.topic("#"))
    for bad in ("+", "#", "a+", "a/#/b"):
        p = net.peer("p")
        p.pub(net.topic(bad), "x", retain=True)
        check_refused(net, p, BAD_NAME)
    s.nothing()
    s.sub(net.topic("#"))
    s.nothing()


@suite.proves("3:1.5.3-1", "5:1.5.4-1")
def nothing_of_an_ill_formed_topic_is_delivered(net):
    s = net.peer("s")
    s.sub(net.topic("#"))
    p = net.peer("p")
    p.pub(net.topic("").encode() + b"\xed\xa0\x80", "x")
    check_refused(net, p, (0x81,))
    s.nothing()


# ---- answers and flags ---------------------------------------------------------------------

@suite.proves("3:3.3.4-1", "5:3.3.4-1", "3:2.3.1-6", "5:2.2.1-5", "5:4.3.2-4", "5:4.3.3-8", "5:4.3.3-11", "5:3.4.2-1", "5:3.5.2-1")
def the_answer_follows_the_qos(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    p.put(topic, "0", 0)
    assert p.put(topic, "1", 1, pid=0x1234) == 0
    assert p.put(topic, "2", 2, pid=0xFFFF) == 0
    assert [(m.payload, m.qos) for m in (s.take(), s.take(), s.take())] == [(b"0", 0), (b"1", 1), (b"2", 2)]


@suite.proves("3:2.3.1-5", "5:2.2.1-2", "3:3.3.1-2", "5:3.3.1-2", "3:4.3.1-1", "5:4.3.1-1")
def qos_0_has_no_identifier_and_no_dup(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic)
    for qos in (0, 1, 2):
        p.put(topic, "payload", qos)
        first, body = s.read()
        assert first == 0x30 and body == text(topic) + (b"\0" if net.five else b"") + b"payload"


@suite.proves("3:3.3.1-2", "5:3.3.1-2")
def dup_with_qos_0_is_not_passed_on(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic)
    p.send_all(publish(topic, "x", dup=True, version=LEVEL[net.v]))
    assert all(q.kind != PUBLISH for q in p.ended())
    s.nothing()


@suite.proves("3:3.3.1-3", "5:3.3.1-3", "5:4.3.2-2", "5:4.3.3-2")
def dup_is_of_each_hop(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=2)
    for qos in (1, 2):
        p.put(topic, "x", qos, dup=True)
        m = s.take()
        assert m.qos == qos and not m.dup


@suite.proves("3:3.3.2-3", "5:3.3.2-3")
def what_arrives_matches_the_filter(net):
    s, p = net.peer("s"), net.peer("p")
    s.sub(net.topic("+/b"), net.topic("c/#"))
    for name in ("a/b", "a/c", "a/b/c", "c", "c/d", "cc/d", "x/y/b"):
        p.put(net.topic(name), name, 0)
    assert [s.take().topic for _ in range(3)] == [net.topic(t) for t in ("a/b", "c", "c/d")]
    s.nothing()


@suite.proves("5:3.3.2-3")
def what_a_shared_subscriber_gets_matches_its_filter(net):
    s, p = net.peer("s"), net.peer("p")
    s.sub(f"$share/g/{net.topic('+/b')}")
    for name in ("a/c", "a/b/c", "a/b"):
        p.put(net.topic(name), name, 0)
    assert s.take().topic == net.topic("a/b")
    s.nothing()


@suite.proves("3:3.3.5-1", "5:3.3.4-2")
def overlapping_subscriptions_give_the_highest_qos(net):
    s = net.peer("s")
    s.sub((net.topic("#"), 0), (net.topic("+"), 2))
    net.peer("p").put(net.topic("b"), "x", 2)
    assert s.take().qos == 2


@suite.proves("3:3.3.5-2", "5:3.4.2-1", "5:3.5.2-1")
def a_publish_that_is_not_allowed(net):
    s = net.peer("s", net.brokers.home("narrow"), login=True, username="tester", password=net.brokers.secret("tester"))
    p = net.named("narrow")
    s.sub(net.topic("#"))
    for qos in (1, 2):
        assert p.put(net.topic("denied"), "x", qos) == (0x87 if net.five else 0)
    s.nothing()


# ---- retained ------------------------------------------------------------------------------

def late(net, topic, options=2):
    """What a new subscriber gets at once."""
    s = net.peer("late")
    s.sub(topic, options=options)
    return s


@suite.proves("3:3.3.1-5", "5:3.3.1-5", "3:3.3.1-8")
def a_retained_message_is_kept_with_its_qos(net):
    p, topic = net.peer("p"), net.topic("a")
    p.put(topic, "v1", 1, retain=True)
    p.put(topic, "v2", 1, retain=True)
    s = late(net, topic)
    m = s.take()
    assert (m.payload, m.qos, m.retain) == (b"v2", 1, True)
    s.nothing()


@suite.proves("3:3.3.1-6")
def every_matching_retained_message_arrives(net):
    p = net.peer("p")
    for name, value in (("1", "old"), ("1", "one"), ("2", "two")):
        p.put(net.topic(name), value, 1, retain=True)
    s = late(net, net.topic("+"))
    assert {(m.topic, m.payload) for m in (s.take(), s.take())} == {(net.topic("1"), b"one"), (net.topic("2"), b"two")}
    s.nothing()


@suite.proves("3:3.3.1-7")
def qos_0_replaces_what_was_retained(net):
    p, topic = net.peer("p"), net.topic("a")
    p.put(topic, "v1", 1, retain=True)
    p.put(topic, "v2", 0, retain=True)
    s = late(net, topic)
    assert s.take().payload == b"v2"
    s.nothing()


@suite.proves("3:3.3.1-9", "5:3.3.1-12")
def a_live_message_is_not_retained(net):
    s, topic = net.peer("s"), net.topic("a")
    s.sub(topic, options=1)
    net.peer("p").put(topic, "x", 1, retain=True)
    assert not s.take().retain


@suite.proves("3:3.3.1-10", "5:3.3.1-6")
def an_empty_payload_clears(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    p.put(topic, "v", 1, retain=True)
    s.sub(topic)
    assert s.take().retain
    p.put(topic, "", 1, retain=True)
    m = s.take()
    assert (m.payload, m.retain) == (b"", False)
    late(net, topic).nothing()


@suite.proves("3:3.3.1-11", "5:3.3.1-7")
def an_empty_payload_is_not_kept(net):
    net.peer("p").put(net.topic("a"), "", 1, retain=True)
    late(net, net.topic("a")).nothing()


@suite.proves("3:3.3.1-12", "5:3.3.1-8")
def what_is_not_retained_leaves_it_alone(net):
    p, topic = net.peer("p"), net.topic("a")
    p.put(topic, "v1", 1, retain=True)
    p.put(topic, "v2", 1)
    p.put(topic, "", 1)
    s = late(net, topic)
    assert s.take().payload == b"v1"
    s.nothing()


@suite.proves("5:3.3.1-9")
def retain_handling_0(net):
    topic = net.topic("a")
    net.peer("p").put(topic, "v", 1, retain=True)
    s = net.peer("s")
    for _ in range(2):
        s.sub(topic)
        assert s.take().payload == b"v"


@suite.proves("5:3.3.1-10")
def retain_handling_1(net):
    topic = net.topic("a")
    net.peer("p").put(topic, "v", 1, retain=True)
    s = net.peer("s")
    s.sub(topic, options=0x10)
    assert s.take().payload == b"v"
    s.sub(topic, options=0x10)
    s.nothing()
    s.unsub(topic)
    s.sub(topic, options=0x10)
    assert s.take().payload == b"v"


@suite.proves("5:3.3.1-11")
def retain_handling_2(net):
    p, s, topic = net.peer("p"), net.peer("s"), net.topic("a")
    p.put(topic, "v", 1, retain=True)
    s.sub(topic, options=0x20)
    s.nothing()
    p.put(topic, "live", 1)
    assert s.take().payload == b"live"


@suite.proves("5:3.3.1-13")
def retain_as_published(net):
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("a")
    s.sub(topic, options=0x08)
    for keep in (True, False):
        p.put(topic, "x", 1, retain=keep)
        assert s.take().retain == keep


# ---- windows -------------------------------------------------------------------------------

@suite.proves("5:3.3.4-7")
def more_than_our_receive_maximum(net):
    p = net.named("narrow")
    most = p.seen[0].get(0x21)
    for i in range(most):
        p.pub("ok/w", "x", qos=2, pid=i + 1)
        assert p.get(PUBREC).code < 0x80
    p.pub("ok/w", "x", qos=2, pid=most + 1)
    check_refused(net, p, (0x93,))


@suite.proves("5:3.3.4-9", "5:4.9.0-1", "5:4.9.0-2", "5:3.3.4-10", "5:4.9.0-3")
def receive_maximum_of_the_client(net):
    for qos, most in ((1, 2), (2, 2), (1, 1)):
        topic = net.topic(f"{qos}{most}")
        s, p = net.peer(f"s{qos}{most}", window=most), net.peer("p")
        s.sub(topic, options=qos)
        for i in range(5):
            p.put(topic, str(i), 1 if qos == 1 else 2)
        got = [s.get(PUBLISH) for _ in range(most)]
        s.nothing()
        s.sub(net.topic("other"))
        assert s.put(net.topic("to the server"), "x", 1) < 0x80
        for i in range(5 - most):
            s.ack(PUBACK if qos == 1 else PUBREC, got.pop(0).pid, 0x80)
            got.append(s.get(PUBLISH))
            assert got[-1].payload == str(most + i).encode()
            s.nothing(0.1)


@suite.proves("5:4.9.0-2")
def pubcomp_frees_a_place(net):
    topic = net.topic("a")
    s, p = net.peer("s", window=1), net.peer("p")
    s.sub(topic, options=2)
    for i in "ab":
        p.put(topic, i, 2)
    assert [s.take().payload for _ in "ab"] == [b"a", b"b"]


# ---- order ---------------------------------------------------------------------------------

@suite.proves("3:4.6.0-5", "3:4.6.0-6", "5:4.6.0-5", "5:4.6.0-6")
def messages_keep_their_order(net):
    count, batch = 1000, 20
    for qos in (0, 1, 2):
        topic = net.topic(f"order{qos}")
        s, p = net.peer(f"s{qos}"), net.peer("p")
        s.sub(topic, options=qos)
        for start in range(0, count, batch):
            for i in range(start, start + batch):
                p.pub(topic, str(i), qos=qos, pid=i + 1)
            for answer in {0: (), 1: (PUBACK,), 2: (PUBREC, PUBCOMP)}[qos]:
                got = [p.get(answer).pid for _ in range(batch)]
                assert got == list(range(start + 1, start + 1 + batch))
                if answer == PUBREC:
                    for pid in got:
                        p.ack(PUBREL, pid)
            assert [s.take().payload for _ in range(batch)] == [str(i).encode() for i in range(start, start + batch)]


# ---- packet identifiers --------------------------------------------------------------------

@suite.proves("3:2.3.1-1", "3:2.3.1-4", "5:2.2.1-4", "5:4.3.2-1", "5:4.3.3-1", "3:4.3.2-1", "3:4.3.3-1")
def identifiers_of_unacknowledged_messages_differ(net):
    """Peer fails when an identifier is 0 or in use."""
    for qos in (1, 2):
        topic = net.topic(f"i{qos}")
        s, p = net.peer(f"s{qos}"), net.peer("p")
        s.sub(topic, options=qos)
        for i in range(20):
            p.put(topic, str(i), qos)
        assert len({s.get(PUBLISH).pid for _ in range(20)}) == 20


@suite.proves("5:2.2.1-4")
def identifiers_after_a_whole_circle(net):
    """One message stays unacknowledged while more than 65,535 others pass."""
    s, p, topic = net.peer("s"), net.peer("p"), net.topic("circle")
    batch = min(p.seen[0].get(0x21) or 500, 500) - 1
    s.split, p.split = 61 * s.split, 61 * p.split  # two megabytes byte by byte would show nothing more
    s.sub(topic, options=1)
    p.pub(topic, "first", qos=1, pid=1)
    p.get(PUBACK)
    kept = s.get(PUBLISH).pid
    stream = b"".join(publish(topic, "x", qos=1, pid=i + 1, version=5) for i in range(batch))
    for _ in range(65536 // batch + 1):
        p.send(stream)
        acks = bytearray()
        for _ in range(batch):
            first, body = s.read()
            at = 2 + len(topic)
            pid = body[at:at + 2]
            assert first == 0x32 and pid not in (b"\0\0", struct.pack(">H", kept))
            acks += b"\x40\2" + pid
        s.send(acks)
        for _ in range(batch):
            assert p.read()[0] == 0x40


# ---- no reason text ------------------------------------------------------------------------

@suite.proves("5:3.1.2-29")
def no_reason_strings_when_they_are_not_wanted(net):
    p = net.named("narrow", props=b"\x17\0")
    assert p.put("denied", "x", 1) >= 0x80 and p.put("denied", "x", 2) >= 0x80
    assert p.sub("denied") in ([0x87], [0]) and p.unsub("unknown") == [0x11]
    assert all(q.props == [] for q in p.seen if q.kind not in (CONNACK, PUBLISH))


def small(net, code_of):
    """A client that takes very little gets its refusals within that, or not at all; Peer watches the size."""
    for limit in (32, 64):
        code_of(net.named("narrow", limit=limit))


@suite.proves("5:3.4.2-2", "5:3.4.2-3", "5:3.5.2-2", "5:3.5.2-3", "5:3.9.2-1", "5:3.9.2-2", "5:3.11.2-1", "5:3.11.2-2",
              "5:3.6.2-2", "5:3.6.2-3", "5:3.7.2-2", "5:3.7.2-3")
def refusals_within_a_small_packet_size(net):
    def refusals(p):
        assert p.put("denied", "x", 1) == p.put("denied", "x", 2) == 0x87
        assert p.sub("denied") in ([0x87], [0]) and p.unsub("unknown") == [0x11]
        p.ack(PUBREL, 77)
        assert p.get(PUBCOMP).code in (0, 0x92)
        p.ack(PUBREC, 78)
        assert p.get(PUBREL).code in (0, 0x92)
    small(net, refusals)


@suite.proves("5:3.14.2-3", "5:3.14.2-4")
def a_disconnect_within_a_small_packet_size(net):
    def provoke(p):
        p.send_all(publish(b"\xc3\x28", version=5))
        assert all(q.kind == DISCONNECT for q in p.ended())
    small(net, provoke)
