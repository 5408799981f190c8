"""The history that durability_load writes: a line of JSON, then records of 32 bytes."""
import json
import struct

RECORD = struct.Struct("<QHBBIIIII")  # ns, client, kind, flags, conn, a, b, c, d
DUP, RETAIN, AGAIN, BAD, CLASH, EMPTY = 4, 8, 16, 32, 64, 128
CLOSED_BY_BROKER, CLOSED_RUDELY, CLOSED_AFTER_BYE, CLOSED_LATE, CLOSED_UNREACHED = range(5)
PHASES = ["the start", "what publishers began", "coming back", "the last word", "silence", "what is retained", "the end"]
EVENTS = {"OPEN": 1, "CONNACK": 2, "CLOSED": 3, "BYE": 4, "SUB": 5, "SUBACK": 6, "UNSUB": 7, "UNSUBACK": 8, "PUB": 9, "PUBACK": 10,
          "PUBREC": 11, "PUBCOMP": 12, "RECV": 13, "PING": 14, "PONG": 15, "ODD": 16, "KICKED": 17, "WILL": 18, "PHASE": 19,
          "RELEASED": 20}


def load(path):
    """(header, iterator of records)."""
    with open(path, "rb") as f:
        header = json.loads(f.readline())
        data = f.read()
    assert header["events"] == EVENTS, "the table of events in load.h is another one"
    return header, RECORD.iter_unpack(data[:len(data) - len(data) % RECORD.size])


def matches(filter, topic):
    """Does a topic filter match; $share is taken off before."""
    levels, names = filter.split("/"), topic.split("/")
    for i, level in enumerate(levels):
        if level == "#":
            return True
        if i >= len(names) or level not in ("+", names[i]):
            return False
    return len(levels) == len(names)


def shared(filter):
    """(group or None, the filter itself)."""
    if filter.startswith("$share/"):
        _, group, rest = filter.split("/", 2)
        return group + "/" + rest, rest
    return None, filter
