#!/usr/bin/env python3
"""Can the tests fail?  Each fault below is what a server with one rule broken would look like to its clients.  All tests are run
under each fault; a statement that no fault makes fail is printed, and that is an error.  A fault under which more than half of
all statements fail says little about each: what fails under such faults only is listed apart.

usage: faults.py [FAULT ...]

A fault is applied to what a test reads (CONFORMANCE_FAULT, strict.py): it takes a packet and returns those that arrive instead."""
import os
import sys


def kind(first):
    return first >> 4


def on(kinds, change):
    """A fault of some packet types."""
    def fault(version, first, body):
        return change(version, first, body) if kind(first) in kinds else [(first, body)]
    return fault


def topic_end(body):
    return 2 + int.from_bytes(body[:2], "big")


def publish_parts(version, first, body):
    """(head with the identifier, properties without their length, payload); lengths below 128 only."""
    at = topic_end(body) + (2 if first & 6 else 0)
    if version != 5:
        return body[:at], None, body[at:]
    return body[:at], body[at + 1:at + 1 + body[at]], body[at + 1 + body[at]:]


def other_props(change):
    def fault(version, first, body):
        head, props, payload = publish_parts(version, first, body)
        if props is None or len(props) > 100:
            return [(first, body)]
        new = change(props)
        return [(first, head + bytes([len(new)]) + new + payload)]
    return on({3}, fault)


def reverse_pairs(props):
    """User properties in the opposite order, where they stand at the end."""
    pairs, rest = [], props
    while (at := rest.find(b"\x26")) >= 0 and len(rest) >= at + 5:
        k = at + 3 + int.from_bytes(rest[at + 1:at + 3], "big")
        end = k + 2 + int.from_bytes(rest[k:k + 2], "big")
        pairs.append(rest[at:end])
        rest = rest[:at] + rest[end:]
    return rest + b"".join(reversed(pairs))


def code_of(value, at=-1):
    def change(version, first, body):
        return [(first, body[:at] + bytes([value]) + (body[at + 1:] if at >= 0 else b""))]
    return change


def other_identifier(version, first, body):
    at = topic_end(body) if kind(first) == 3 else 0
    if kind(first) == 3 and not first & 6:
        return [(first, body)]
    pid = int.from_bytes(body[at:at + 2], "big") % 65535 + 1
    return [(first, body[:at] + pid.to_bytes(2, "big") + body[at + 2:])]


def same_identifier(version, first, body):
    at = topic_end(body)
    return [(first, body[:at] + b"\0\1" + body[at + 2:] if first & 6 else body)]


def flags(change):
    return on({3}, lambda version, first, body: [(change(first), body)])


FAULTS = {
    # PUBLISH
    "publish_lost": on({3}, lambda v, f, b: []),
    "publish_twice": on({3}, lambda v, f, b: [(f, b), (f, b)]),
    "publish_other_topic": on({3}, lambda v, f, b: [(f, b[:2] + bytes([b[2] ^ 1]) + b[3:])]),
    "publish_other_payload": on({3}, lambda v, f, b: [(f, b[:-1] + bytes([b[-1] ^ 1]))]),
    "publish_qos_0": on({3}, lambda v, f, b: [(f & 0xF1, b[:topic_end(b)] + b[topic_end(b) + 2:]) if f & 6 else (f, b)]),
    "publish_dup": flags(lambda f: f | 8),
    "publish_no_dup": flags(lambda f: f & ~8),
    "publish_retain": flags(lambda f: f | 1),
    "publish_no_retain": flags(lambda f: f & ~1),
    "publish_same_identifier": on({3}, same_identifier),
    "publish_without_properties": other_props(lambda p: b""),
    "publish_pairs_reversed": other_props(reverse_pairs),
    "publish_alias_added": other_props(lambda p: p + b"\x23\xff\xff"),
    "publish_large": on({3}, lambda v, f, b: [(f, b + b"x" * 500)]),
    # answers
    "other_identifier": on({3, 4, 5, 6, 7, 9, 11}, other_identifier),
    "no_puback": on({4}, lambda v, f, b: []),
    "no_pubrec": on({5}, lambda v, f, b: []),
    "no_pubrel": on({6}, lambda v, f, b: []),
    "pubrel_always": on({13}, lambda v, f, b: [(0x62, b"\0\1"), (f, b)]),
    "no_pubcomp": on({7}, lambda v, f, b: []),
    "no_suback": on({9}, lambda v, f, b: []),
    "no_unsuback": on({11}, lambda v, f, b: []),
    "no_pingresp": on({13}, lambda v, f, b: []),
    "codes_success": on({4, 5, 7}, lambda v, f, b: [(f, b[:2])]),
    "suback_success": on({9, 11}, code_of(0)),
    "suback_unknown_code": on({9, 11}, code_of(0x7F)),
    "suback_failure": on({9}, code_of(0x80)),
    "suback_one_code_more": on({9, 11}, lambda v, f, b: [(f, b + b"\0")]),
    "acks_unknown_code": on({4, 5, 6, 7}, lambda v, f, b: [(f, b[:2] + b"\x7f")]),
    "acks_with_reason_string": on({4, 5, 6, 7}, lambda v, f, b: [(f, b[:2] + (b[2:3] or b"\0") + b"\x46\x1f\0\x43" + b"r" * 0x43)]),
    "subacks_with_reason_string": on({9, 11}, lambda v, f, b: [(f, b[:2] + b"\x46\x1f\0\x43" + b"r" * 0x43 + b[3:]) if v == 5 else (f, b)]),
    # CONNACK
    "connack_twice": on({2}, lambda v, f, b: [(f, b), (f, b)]),
    "connack_lost": on({2}, lambda v, f, b: []),
    "connack_accepts": on({2}, code_of(0, 1)),
    "connack_other_code": on({2}, code_of(0x83, 1)),
    "connack_unknown_code": on({2}, code_of(0x7F, 1)),
    "connack_flags": on({2}, code_of(2, 0)),
    "session_present": on({2}, code_of(1, 0)),
    "session_absent": on({2}, code_of(0, 0)),
    "connack_without_properties": on({2}, lambda v, f, b: [(f, b[:2] + b"\0" if v == 5 and len(b) > 2 else b)]),
    "connack_with_extras": on({2}, lambda v, f, b: [(f, b[:2] + bytes([b[2] + 14]) + b[3:] + b"\x1a\0\1r\x24\1\x15\0\1m\x13\0\1") if v == 5 and len(b) > 2 and b[2] < 100 else (f, b)]),
    # the end
    "stays_open": None,
    "disconnect_lost": on({14}, lambda v, f, b: []),
    "disconnect_other_code": on({14}, lambda v, f, b: [(f, b"\x98")]),
    "disconnect_unknown_code": on({14}, lambda v, f, b: [(f, b"\4")]),
    "disconnect_with_expiry": on({14}, lambda v, f, b: [(f, b[:1] + b"\5\x11\0\0\0\1")]),
    "disconnect_large": on({14}, lambda v, f, b: [(f, b[:1] + b"\x46\x1f\0\x43" + b"r" * 0x43)]),
    "disconnect_not_last": on({14}, lambda v, f, b: [(f, b), (0xD0, b"")]),
    "connack_large": on({2}, lambda v, f, b: [(f, b[:2] + bytes([b[2] + 70]) + b[3:] + b"\x1f\0\x43" + b"r" * 0x43) if v == 5 and b[1] else (f, b)]),
    # anything
    "flags": lambda v, f, b: [(f | 1 if kind(f) != 3 else f, b)],
    "auth": on({13}, lambda v, f, b: [(0xF0, b""), (f, b)]),
    "publish_at_random": on({13}, lambda v, f, b: [(0x30, b"\0\1t" + (b"\0" if v == 5 else b"") + b"?"), (f, b)]),
    "disconnect_at_once": on({2}, lambda v, f, b: [(0xE0, b"\x82")]),
}


def main():
    from report import LISTS, rows, run
    wanted = sys.argv[1:] or FAULTS
    failed, weakly, proved = set(), set(), set()
    for name in wanted:
        os.environ["CONFORMANCE_FAULT"] = name
        _, tests = run([], quiet=True)
        broken = {k for k, proofs in tests.items() if not all(passed for _, passed in proofs)}
        proved |= set(tests)
        gross = len(broken) > len(tests) / 2
        (weakly if gross else failed).update(broken)
        print(f"{name:<28} {len(broken):>4} statements fail", flush=True)
    survivors = [(v, r["id"]) for v in LISTS for r in rows(LISTS[v]) if (v, r["id"]) in proved - failed]
    print(f"{len(proved) - len(survivors)} of {len(proved)} statements fail under a fault of their own")
    for v, k in survivors:
        how = "fails only when most others do" if (v, k) in weakly else "never fails"
        print(f"  {how}: {LISTS[v].removesuffix('.tsv')} {k}")
    return 0 if weakly.issuperset(survivors) else 1


if __name__ == "__main__":
    sys.exit(main())
