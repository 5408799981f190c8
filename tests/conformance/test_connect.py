"""CONNECT and CONNACK: sections 3.1 and 3.2 of both versions."""
import string
import struct
import time

from mqtt import DISCONNECT as GOODBYE
from mqtt import Closed, connect, packet, publish, subscribe, text, vbi
from strict import CONNACK, DISCONNECT, PINGRESP, PUBACK, PUBLISH, SUBACK
from suite import LEVEL, Suite, check_refused

suite = Suite(globals())


def hello(net, flags=2, payload=None, name="MQTT", level=None, props=b"", keep_alive=60):
    """A CONNECT of parts that need not fit."""
    body = text(name) + bytes([LEVEL[net.v] if level is None else level, flags]) + struct.pack(">H", keep_alive)
    if net.five:
        body += vbi(len(props)) + props
    return packet(0x10, body + (text("x") if payload is None else payload))


def will_fields(net, topic="w", payload="x"):
    return (b"\0" if net.five else b"") + text(topic) + text(payload)


def malformed(ids, what, codes=(0x81,), **parts):
    """A CONNECT that is refused; parts may be functions of the net."""
    def data(net):
        return hello(net, **{k: p(net) if callable(p) else p for k, p in parts.items()})
    suite.refuses(ids, what, data, codes, state="new")


# ---- what is no CONNECT ------------------------------------------------------------------

malformed(("3:3.1.2-3", "5:3.1.2-3", "3:3.1.4-1", "5:3.1.4-1"), "reserved_flag", flags=0x03)
malformed(("3:3.1.2-13", "5:3.1.2-11"), "will_qos_without_will", flags=0x0A)
malformed(("3:3.1.2-14", "5:3.1.2-12"), "will_qos_3", flags=0x1E, payload=lambda n: text("x") + will_fields(n))
malformed(("3:3.1.2-15", "5:3.1.2-13"), "will_retain_without_will", flags=0x22)
malformed(("3:3.1.2-11",), "will_fields_without_will", payload=lambda n: text("x") + will_fields(n))
malformed(("3:3.1.2-9", "5:3.1.2-9"), "will_without_fields", flags=0x06)
malformed(("3:3.1.2-18", "5:3.1.2-16"), "user_name_without_flag", payload=text("x") + text("u"))
malformed(("3:3.1.2-19", "5:3.1.2-17"), "user_name_missing", flags=0x82)
malformed(("3:3.1.2-20", "5:3.1.2-18"), "password_without_flag", flags=0x82, payload=text("x") + text("u") + text("p"))
malformed(("3:3.1.2-21",), "password_missing", flags=0xC2, payload=text("x") + text("u"))
malformed(("5:3.1.2-19",), "password_missing", flags=0x42)
malformed(("3:3.1.2-22",), "password_without_user_name", flags=0x42, payload=text("x") + text("p"))
malformed(("3:3.1.3-3", "5:3.1.3-3"), "no_client_id", payload=b"")
malformed(("3:3.1.3-4", "5:3.1.3-4"), "client_id_not_utf8", codes=(0x81, 0x85), payload=text(b"\xff\xfe"))
malformed(("3:3.1.3-10", "5:3.1.3-11"), "will_topic_not_utf8", flags=6, payload=lambda n: text("x") + will_fields(n, b"\xc3\x28"))
malformed(("3:3.1.3-11", "5:3.1.3-12"), "user_name_not_utf8", flags=0x82, payload=text("x") + text(b"\xc3\x28"))
malformed(("3:3.1.4-1", "5:3.1.4-1"), "trailing_bytes", payload=text("x") + b"\0")
malformed(("3:3.1.4-1", "5:3.1.4-1"), "payload_cut_short", payload=b"\0\5x")
malformed(("5:3.1.4-1",), "property_of_another_packet", codes=(0x81, 0x82), props=b"\x23\0\1")
malformed(("5:3.1.4-1",), "property_twice", codes=(0x82,), props=b"\x21\0\1\x21\0\1")
malformed(("5:3.1.2-1",), "protocol_name_in_small_letters", codes=(0x84,), name="mqtt")
malformed(("3:3.1.2-1", "5:3.1.2-1"), "protocol_name_unknown", codes=(0x84,), name="MQTX")
malformed(("3:1.5.3-2", "5:1.5.4-2"), "zero_byte_in_client_id", payload=text("a\0b"))
suite.refuses(("5:2.2.2-1",), "connect_without_property_length", packet(0x10, text("MQTT") + b"\5\2\0\x3c" + text("x")), (0x81,), "new")


@suite.proves("3:3.1.2-2", "5:3.1.2-2")
def protocol_level_unknown(net):
    for level in (6, 9):
        p = net.raw()
        p.send(hello(net, level=level))
        assert p.read() == (0x20, b"\0\1")
        assert p.ended() == []


@suite.proves("3:3.1.0-1", "5:3.1.0-1", "5:3.14.0-1")
def something_else_first(net):
    for first in (b"\xc0\0", publish("a", "x", version=LEVEL[net.v]), GOODBYE, subscribe(1, ("a", 0), version=LEVEL[net.v])):
        p = net.raw()
        p.send_all(first)
        check_refused(net, p, (), quiet=True)


@suite.proves("5:3.14.0-1")
def no_disconnect_before_an_accepting_connack(net):
    for bad in (hello(net, flags=3), hello(net, name="MQTX"), hello(net, payload=b""), hello(net, props=b"\x21\0\0"), b"\xf0\0", b"\0\0"):
        p = net.raw()
        p.send_all(bad)
        assert [q.kind for q in p.ended()] in ([], [CONNACK])


@suite.proves("3:3.1.0-2", "5:3.1.0-2", "5:3.2.0-2")
def a_second_connect(net):
    s, will = net.peer("s"), net.topic("will")
    s.sub(will)
    p = net.peer("p", will=(will, "gone", 0, False))
    p.send_all(connect(net.id("p"), version=LEVEL[net.v]))
    check_refused(net, p, (0x82,))
    assert s.take().payload == b"gone"


@suite.proves("3:3.1.4-5", "5:3.1.4-6")
def nothing_behind_a_refused_connect_is_done(net):
    topic = net.topic("behind")
    s = net.peer("s")
    s.sub(topic)
    p = net.raw()
    p.send_all(hello(net, flags=3) + publish(topic, "x", retain=True, version=LEVEL[net.v]))
    p.ended()
    q = net.raw(login=True)
    q.send_all(connect("nobody", "nobody", "wrong", version=LEVEL[net.v]) + publish(topic, "x", retain=True, version=LEVEL[net.v]))
    q.ended()
    s.nothing()
    s.sub(topic)
    s.nothing()


# ---- accepted ------------------------------------------------------------------------------

@suite.proves("3:3.1.4-4", "5:3.1.4-5", "5:3.2.2-1", "5:3.2.2-8", "5:2.2.2-1")
def connack_accepts(net):
    ack = net.peer("a").seen[0]
    assert ack.code == 0 and not ack.present


@suite.proves("3:3.1.3-1", "5:3.1.3-1", "3:3.1.2-9", "3:3.1.2-8", "5:3.1.2-7")
def every_field(net):
    """The will is the one that was sent, and so are the credentials: they let in."""
    s, will, secret = net.peer("s"), net.topic("will"), net.brokers.secret("tester")
    s.sub(will, options=2)
    props = dict(props=b"\x11\0\0\0\x00\x21\0\x0a\x26\0\1k\0\1v", will_props=b"\x01\1\x03\0\1t\x26\0\1a\0\1b") if net.five else {}
    p = net.peer("p", login=True, username="tester", password=secret, will=(will, "the will", 1, False), **props)
    p.close()
    m = s.take()
    assert (m.payload, m.qos) == (b"the will", 1)
    assert not net.five or (m.get(0x01), m.get(0x03), m.get(0x26)) == (1, b"t", (b"a", b"b"))


@suite.proves("3:3.1.3-5", "5:3.1.3-5")
def client_ids_of_letters_and_digits(net):
    letters = string.digits + string.ascii_letters
    for i in [*letters[::5], letters[:23], letters[23:46], letters[39:]]:
        p = net.raw()
        p.connect(i)
        p.close()


@suite.proves("3:3.1.3-6", "5:3.1.3-6", "5:3.2.2-16")
def empty_client_ids_get_names_of_their_own(net):
    a, b = net.raw(), net.raw()
    given = {p.connect("").get(0x12) for p in (a, b)}
    a.ping()
    b.ping()
    if net.five:
        assert len(given) == 2 and None not in given


@suite.proves("5:3.1.3-7")
def an_assigned_client_id_is_a_client_id(net):
    a = net.raw()
    name = a.connect("", props=b"\x11\0\0\0\x3c").get(0x12).decode()
    a.close()
    assert net.raw().connect(name, clean=False).present


@suite.proves("3:3.1.3-7", "3:3.1.3-8")
def an_empty_client_id_wants_a_clean_session(net):
    p = net.raw()
    p.connect("", clean=False, code=2)
    assert p.ended() == []


@suite.proves("3:3.1.3-9", "5:3.1.3-8")
def a_client_id_that_is_refused(net):
    p = net.raw()
    p.connect("i" * 300, code=0x85 if net.five else 2)
    assert p.ended() == []


@suite.proves("5:3.1.4-2")
def a_wrong_password(net):
    p = net.raw(login=True)
    p.send(connect("tester", "tester", "wrong", version=5))
    ack = p.get(CONNACK)
    assert ack.code in (0x86, 0x87) and p.ended() == []


@suite.proves("5:3.1.2-19")
def a_password_alone_is_well_formed(net):
    p = net.raw(login=True)
    p.send(connect("tester", None, "wrong", version=5))
    assert p.get(CONNACK).code in (0x86, 0x87) and p.ended() == []


@suite.proves("3:3.2.2-4", "3:3.2.2-5", "3:3.2.2-6", "5:3.2.2-6", "5:3.2.2-7", "5:4.13.2-1")
def a_refusal_has_no_session_and_ends(net):
    secret, level = net.brokers.secret("tester"), LEVEL[net.v]
    kw = dict(clean=False, username="tester", login=True, props=b"\x11\0\0\0\x3c" if net.five else b"")
    net.peer("p", password=secret, **kw).close()
    p = net.raw(login=True)
    p.send(connect(net.id("p"), "tester", "wrong", level, clean=False))
    ack = p.get(CONNACK)
    assert ack.code in ((0x86, 0x87) if net.five else (4, 5)) and not ack.present
    assert p.ended() == []
    assert net.peer("p", password=secret, **kw).seen[0].present


@suite.proves("3:3.1.4-2", "5:3.1.4-3")
def the_newer_connection_takes_over(net):
    s, will = net.peer("s"), net.topic("will")
    s.sub(will)
    old = net.peer("p", will=(will, "taken", 0, False))
    new = net.peer("p")
    seen = old.ended()
    assert [(q.kind, q.code) for q in seen] == ([(DISCONNECT, 0x8E)] if net.five else [])
    assert s.take().payload == b"taken"
    new.ping()


@suite.proves("3:3.2.0-1", "5:3.2.0-1")
def connack_comes_first(net):
    """With queued messages behind it, and with packets that did not wait for it."""
    topic = net.topic("q")
    s = net.kept("s")
    s.sub(topic, options=1)
    s.bye()
    p = net.peer("p")
    for i in range(3):
        p.put(topic, str(i), 1)
    again = net.raw()
    props = b"\x11\0\0\0\x3c" if net.five else b""
    again.send(connect(net.id("s"), version=LEVEL[net.v], clean=False, props=props) + subscribe(9, ("other", 0), version=LEVEL[net.v]) + b"\xc0\0")
    kinds = [again.next().kind for _ in range(6)]
    assert kinds[0] == CONNACK and sorted(kinds[1:]) == [PUBLISH] * 3 + [SUBACK, PINGRESP]


@suite.proves("5:3.2.0-2")
def one_connack_a_connection(net):
    p = net.peer("p")
    p.sub(net.topic("a"), options=1)
    p.put(net.topic("b"), "x")
    p.ping()
    p.send(b"\xe0\0")
    assert [q.kind for q in p.seen + p.ended()].count(CONNACK) == 1


# ---- the will ------------------------------------------------------------------------------

def will_of(net, end, **kw):
    """What a subscriber sees of the will of a client that ends like that."""
    s, topic = net.peer("s"), net.topic("will")
    s.sub(topic, options=1)
    p = net.peer("p", will=(topic, "gone", 1, False), **kw)
    end(p)
    return s, p, topic


@suite.proves("3:3.1.2-8", "5:3.1.2-8", "5:3.1.2-7")
def will_when_the_connection_is_lost(net):
    s, *_ = will_of(net, lambda p: p.close())
    assert s.take().payload == b"gone"


@suite.proves("3:3.1.2-8", "5:3.1.2-8", "3:3.14.4-3", "5:3.14.4-3")
def no_will_after_disconnect(net):
    s, *_ = will_of(net, lambda p: p.bye())
    s.nothing()


@suite.proves("5:3.1.2-8", "5:3.14.4-3")
def will_after_disconnect_with_will(net):
    s, *_ = will_of(net, lambda p: p.send(b"\xe0\1\4"))
    assert s.take().payload == b"gone"


@suite.proves("3:3.1.2-10", "5:3.1.2-10")
def a_will_is_said_once(net):
    s, *_ = will_of(net, lambda p: p.close())
    assert s.take().payload == b"gone"
    net.peer("p").close()
    s.nothing()
    topic = net.topic("will")
    net.peer("p", will=(topic, "gone", 1, False)).bye()
    net.peer("p").close()
    s.nothing()


@suite.proves("3:3.1.2-12")
def no_will_without_the_flag(net):
    s = net.peer("s")
    s.sub(net.topic("#"))
    net.peer("p").close()
    s.nothing()


@suite.proves("5:3.1.2-8")
def will_delay_and_session_expiry(net):
    """The will waits for its delay, or for the end of the session where that comes first."""
    for delay, expiry in ((1, 60), (60, 1)):
        s, topic = net.peer("s"), net.topic(f"will{delay}")
        s.sub(topic)
        net.kept(f"p{delay}", expiry, will=(topic, "gone", 0, False), will_props=b"\x18" + struct.pack(">I", delay)).close()
        s.nothing(0.5)
        assert s.take(6).payload == b"gone"


@suite.proves("5:3.1.3-9", "5:3.1.2-8")
def a_timely_return_silences_the_will(net):
    s, topic = net.peer("s"), net.topic("will")
    s.sub(topic)
    net.kept("p", will=(topic, "gone", 0, False), will_props=b"\x18\0\0\0\3").close()
    time.sleep(1)
    net.kept("p")
    s.nothing(4.5)


@suite.proves("3:3.1.2-16", "3:3.1.2-17", "5:3.1.2-14", "5:3.1.2-15")
def will_retain(net):
    for keep in (False, True):
        s, topic = net.peer("s"), net.topic(f"will{keep}")
        s.sub(topic)
        net.peer("p", will=(topic, "gone", 0, keep)).close()
        assert not s.take().retain
        late = net.peer("late")
        late.sub(topic)
        if keep:
            assert late.take().retain
        else:
            late.nothing()


@suite.proves("5:3.1.3-10")
def user_properties_of_the_will_keep_their_order(net):
    s, topic = net.peer("s"), net.topic("will")
    s.sub(topic)
    pairs = [(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]
    net.peer("p", will=(topic, "x", 0, False), will_props=b"".join(b"\x26" + text(k) + text(v) for k, v in pairs)).close()
    assert s.take().all(0x26) == pairs


@suite.proves("3:4.7.1-1", "5:4.7.0-1")
def will_topic_with_a_wildcard(net):
    for bad in ("a/+", "a/#"):
        p = net.raw()
        p.send_all(hello(net, flags=6, payload=text("x") + will_fields(net, bad)))
        check_refused(net, p, (0x81, 0x82, 0x90))


# ---- keep alive ----------------------------------------------------------------------------

@suite.proves("3:3.1.2-24", "5:3.1.2-22", "5:3.2.2-22")
def keep_alive(net):
    """Silence for one and a half times the keep alive ends a connection as if it were lost; PINGREQ prevents that."""
    s, topic = net.peer("s"), net.topic("will")
    s.sub(topic)
    silent = net.peer("silent", keep_alive=2, will=(topic, "silent", 0, False))
    alive = net.peer("alive", keep_alive=2)
    assert silent.seen[0].get(0x13) is None
    began = time.monotonic()
    for _ in range(5):
        time.sleep(1)
        alive.ping()
        if time.monotonic() - began < 2.6:
            s.nothing(0.01)
    seen = silent.ended()
    assert [(q.kind, q.code) for q in seen] == ([(DISCONNECT, 0x8D)] if net.five else [])
    assert s.take().payload == b"silent"


# ---- what CONNACK announces ------------------------------------------------------------------

@suite.proves("5:3.1.2-28")
def no_response_information_unless_asked(net):
    for props in (b"", b"\x19\0"):
        assert net.peer("p", props=props).seen[0].get(0x1A) is None
    assert net.named("tester", "asks" + net.unique, props=b"\x19\1").seen[0].get(0x1A) in (None, b"response/tester")


@suite.proves("5:3.2.2-9")
def no_maximum_qos_where_all_are_served(net):
    p = net.peer("p")
    assert p.seen[0].get(0x24) is None
    assert p.put(net.topic("x"), "x", 2) < 0x80


@suite.proves("5:3.2.2-10", "5:3.2.2-9")
def a_lower_maximum_qos_is_told_and_granted(net):
    p = net.peer("p", "lean")
    assert p.seen[0].get(0x24) == 0
    assert [p.sub(net.topic(f"{qos}"), options=qos) for qos in range(3)] == [[0]] * 3


@suite.proves("5:3.2.2-11")
def a_publish_above_the_maximum_qos(net):
    for qos in (1, 2):
        p = net.peer("p", "lean")
        p.pub(net.topic("x"), "x", qos=qos, pid=1)
        check_refused(net, p, (0x9B,))


@suite.proves("5:3.2.2-12")
def a_will_above_the_maximum_qos(net):
    for qos in (1, 2):
        p = net.raw("lean")
        p.connect("x", will=("w", "x", qos, False), code=0x9B)
        assert p.ended() == []
    net.peer("x", "lean", will=("w", "x", 0, False))


@suite.proves("5:3.2.2-13")
def a_retained_will_where_nothing_is_retained(net):
    p = net.raw("no_retain")
    p.connect("x", will=("w", "x", 0, True), code=0x9A)
    assert p.ended() == []


@suite.proves("5:3.2.2-14")
def a_retained_publish_where_nothing_is_retained(net):
    p = net.peer("p", "no_retain")
    assert p.seen[0].get(0x25) == 0
    p.pub("a", "x", retain=True)
    check_refused(net, p, (0x9A,))


@suite.proves("5:3.2.2-15")
def maximum_packet_size(net):
    p = net.named("narrow")
    most = p.seen[0].get(0x27)
    s = net.named("narrow", "s" + net.unique)
    s.sub(f"ok/{net.unique}")

    def sized(n):
        head = publish(f"ok/{net.unique}", version=5)
        return publish(f"ok/{net.unique}", b"p" * (n - len(head) - 1), version=5)

    assert len(sized(most)) == most
    p.send(sized(most))
    s.take()
    p.send_all(sized(most + 1))
    check_refused(net, p, (0x95,))
    s.nothing()


@suite.proves("5:3.2.2-17", "5:3.3.2-9", "5:3.2.2-18")
def an_alias_above_the_announced_maximum(net):
    for broker in ("usual", "no_retain"):
        p = net.peer("p", broker)
        most = p.seen[0].get(0x22) or 0
        assert bool(most) == (broker == "usual")
        p.pub("a", "x", props=b"\x23" + struct.pack(">H", most + 1))
        check_refused(net, p, (0x94,))


@suite.proves("5:3.2.2-19", "5:3.2.2-20")
def connack_of_a_refusal_within_a_small_limit(net):
    p = net.raw(login=True)
    p.limit = 8
    p.send(connect("tester", "tester", "wrong", version=5, props=b"\x27\0\0\0\x08"))
    p.ended()


@suite.proves("5:3.2.0-1", "5:3.1.2-24")
def no_connack_that_fits(net):
    """Where the CONNACK does not fit into the client's Maximum Packet Size nothing else is said either."""
    p = net.raw()
    p.limit = 4
    p.send(connect(net.id("p"), version=5, props=b"\x27\0\0\0\x04"))
    p.send_all(subscribe(1, ("a", 0), version=5) + b"\xc0\0")
    assert p.ended() == []
