"""Topic names and filters (section 4.7), strings (1.5)."""
from mqtt import PINGREQ, Closed, publish, subscribe
from strict import DISCONNECT, PINGRESP, SUBACK
from suite import LEVEL, Suite

suite = Suite(globals())


def filter_refused(net, bad):
    """In the SUBACK, or by closing."""
    p = net.peer("p")
    p.send(subscribe(1, (bad, 0), version=LEVEL[net.v]))
    try:
        q = p.next()
    except Closed:
        return
    assert q.kind == SUBACK and q.codes == [0x8F if net.five else 0x80] or q.kind == DISCONNECT


def matches(net, filter, topics):
    """Which of the topics a subscriber of that filter gets; both below this test's own level."""
    s, p = net.peer("s"), net.peer("p")
    assert s.sub(net.topic(filter)) == [0]
    for t in topics:
        p.put(net.topic(t), "x", 0)
    p.put(net.topic(topics[0]), "x", 0)
    got = []
    try:
        while True:
            got.append(s.take(0.4).topic.removeprefix(net.unique + "/"))
    except TimeoutError:
        s.bye()
        return got[:-1] if got and got[-1] == topics[0] else got


@suite.proves("3:4.7.1-2", "5:4.7.1-1")
def multi_level_wildcard(net):
    for bad in ("a#", "a/#/b", "#/a"):
        filter_refused(net, bad)
    assert matches(net, "a/#", ["a", "a/b", "a/b/c", "b", "aa/b"]) == ["a", "a/b", "a/b/c"]
    assert net.peer("p").sub(("#", 0)) == [0]


@suite.proves("3:4.7.1-3", "5:4.7.1-2")
def single_level_wildcard(net):
    for bad in ("a+", "a/+b", "+a/b"):
        filter_refused(net, bad)
    assert matches(net, "+/b", ["a/b", "/b", "a/c/b", "b", "a/b/"]) == ["a/b", "/b"]
    assert matches(net, "a/+", ["a/", "a/b", "a", "a/b/c"]) == ["a/", "a/b"]


@suite.proves("3:4.7.2-1", "5:4.7.2-1")
def dollar_topics_are_apart(net):
    s, p = net.peer("s"), net.peer("p")
    s.sub("#", f"+/{net.unique}")
    p.put(f"$t/{net.unique}", "hidden", 0)
    p.put(net.topic("fence"), "x", 0)
    while (m := s.take()).topic != net.topic("fence"):  # other tests' messages come, too
        assert not m.topic.startswith("$")
    q = net.peer("q")
    q.sub(f"$t/{net.unique}/#")
    p.put(f"$t/{net.unique}", "shown", 0)
    assert q.take().payload == b"shown"


@suite.proves("3:4.7.3-1", "5:4.7.3-1")
def an_empty_filter(net):
    filter_refused(net, "")


@suite.proves("3:4.7.3-3", "5:4.7.3-3")
def a_topic_of_65535_bytes(net):
    """Delivered as it is, or refused when it is longer than a documented limit; and nobody else notices."""
    s, p = net.peer("s"), net.peer("p")
    s.sub(net.topic("#"))
    longest = net.topic("a" * 60000).ljust(65535, "b")
    p.send_all(publish(longest, "x", version=LEVEL[net.v]) + PINGREQ)
    try:
        answer = p.next()
    except Closed:
        answer = None
    if answer and answer.kind == PINGRESP:
        assert s.take().topic == longest
    else:
        assert not answer or (answer.kind, answer.code) == (DISCONNECT, 0x90)
        s.nothing()
    q = net.peer("q")
    q.send(subscribe(1, ("a" * 65535, 0), version=LEVEL[net.v]))
    assert q.get(SUBACK).codes in ([0], [0x8F if net.five else 0x80])
    q.ping()


@suite.proves("3:4.7.3-4", "5:4.7.3-4")
def no_normalization(net):
    assert matches(net, "a/b", ["a/b", "A/b", "a//b", "a/b/", "/a/b"]) == ["a/b"]
    assert matches(net, "\u00e9", ["\u00e9", "e\u0301"]) == ["\u00e9"]
    assert matches(net, "e\u0301", ["e\u0301", "\u00e9"]) == ["e\u0301"]
    assert matches(net, "a//b", ["a//b", "a/b"]) == ["a//b"]


@suite.proves("3:1.5.3-3", "5:1.5.4-3")
def a_byte_order_mark_is_a_character(net):
    s, other, p = net.peer("s"), net.peer("other"), net.peer("p")
    topic = "\ufeff" + net.topic("a")
    s.sub(topic)
    other.sub(net.topic("a"))
    p.put(topic, "x", 0)
    assert s.take().topic == topic
    other.nothing()
