"""All 256 first bytes, before CONNECT and behind it, with a whole packet of their type.  The core's own test has the other
states of a connection; here the bytes travel over every transport."""
from mqtt import connect, text
from strict import DISCONNECT, PINGRESP, PUBACK, PUBCOMP, PUBREC, PUBREL, SUBACK, UNSUBACK
from suite import LEVEL, Suite

suite = Suite(globals())
UNKNOWN = b"\x12\x34"
# Table 2-2 of 5.0, 2.2 of 3.1.1: the flags of a type, where it is no PUBLISH.
FLAGS = {kind: 2 if kind in (6, 8, 10) else 0 for kind in range(1, 16)}


def body(net, kind, qos):
    """A body that fits the type."""
    props = b"\0" if net.five else b""
    name = text(net.topic("t" if kind == 3 else "s"))  # what is retained for one is not for the other
    return {1: connect("x", version=LEVEL[net.v])[2:], 3: name + (UNKNOWN if qos else b"") + props + b"x", 8: UNKNOWN + props + name + b"\0",
            10: UNKNOWN + props + name, 12: b"", 13: b"", 14: b"", 15: b"\x18\4\x15\0\1m"}.get(kind, UNKNOWN)


def expected(net, first):
    """What a connected client gets: (packet, its codes), or why the connection ends (None: without a reason)."""
    kind, flags = first >> 4, first & 15
    qos = flags >> 1 & 3
    if kind == 3:
        if qos == 3 or (qos == 0 and flags & 8):
            return "ends", 0x81
        return {0: None, 1: (PUBACK, {0, 0x10}), 2: (PUBREC, {0, 0x10})}[qos]
    if kind == 0 or flags != FLAGS[kind] or (kind == 15 and not net.five):
        return "ends", 0x81
    return {4: None, 5: (PUBREL, {0, 0x92}), 6: (PUBCOMP, {0, 0x92}), 7: None, 8: (SUBACK, {0}), 10: (UNSUBACK, {0, 0x11}), 12: (PINGRESP, {0}),
            14: ("ends", None)}.get(kind, ("ends", 0x82))


def check_connected(net, p, first):
    p.send_all(bytes([first, len(body(net, first >> 4, first & 6))]) + body(net, first >> 4, first & 6))
    match expected(net, first):
        case None:
            p.ping()
        case "ends", code:
            seen = p.ended()
            assert all(q.kind == DISCONNECT and q.code in ((0x81, 0x82) if code else ()) for q in seen), f"{first:02x}: {seen}"
            assert not code or not seen or seen[0].code == code, f"{first:02x}: {seen}"
        case kind, codes:
            q = p.get(kind)
            assert {q.code, *q.codes} <= codes | {0}, f"{first:02x}: {q!r}"
            p.ping()


@suite.proves("3:4.8.0-1", "5:4.13.1-1")
def every_first_byte_of_a_connected_client(net):
    for first in range(256):
        p = net.peer("p")
        check_connected(net, p, first)
        p.close()


@suite.proves("3:3.1.0-1", "5:3.1.0-1")
def every_first_byte_of_a_connection(net):
    for first in range(256):
        if first != 0x10:
            p = net.raw()
            p.send_all(bytes([first, len(body(net, first >> 4, first & 6))]) + body(net, first >> 4, first & 6))
            assert p.ended() == [], f"{first:02x}"
            p.close()
