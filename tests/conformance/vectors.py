#!/usr/bin/env python3
"""Extract every example of the vectors document into vectors.tsv, which tests read.

usage: vectors.py VECTORS.md > vectors.tsv

Columns: kind, id, where, version, seen, hex, expected, note.

kind     what the row is                          expected
packet   a valid packet                           ok
error    bytes that must be refused               reason codes allowed (hex, comma-separated), or "any" where
                                                  MQTT 3 only closes, or "entry": a filter refused in the SUBACK
vbi      a variable byte integer                  the value, "more", "malformed" or "malformed5" (5.0 only)
frame    a fixed header at a boundary             remaining length/total size
string   a string, binary value or pair           ok, pair, policy (we refuse) or refused
prop     a property's example                     the packets that allow it
matrix   a property in a packet (where)           1, * or .
reason   a reason code                            the packets that may carry it

where is the direction of a packet, the state of an error, the packet of a matrix cell.  seen says who can tell:
the codec alone, or the core, which knows the state of the connection.
"""
import re
import sys

# What the bytes alone do not show, and what shows it.
CORE = {
    "E3-01": "the first packet must be CONNECT",
    "E3-20": "a second CONNECT",
    "E3-25": "direction",
    "E5-01": "the first packet must be CONNECT",
    "E5-23": "the methods that the server knows",
    "E5-30": "a second CONNECT",
    "E5-35": "direction",
    "E5-40": "the announced alias maximum",
    "E5-41": "the aliases set before",
    "E5-64": "the Session Expiry Interval of CONNECT",
    "E5-66": "the method of CONNECT",
}
# A CONNACK of MQTT 3.1.1 named in the document, as the reason code of 5.0 that leads to it.
CONNACK3 = {"CONNACK 20 02 00 01": "84", "CONNACK 02": "85"}
HEX_LINE = re.compile(r"^((?:[0-9A-F]{2} )*[0-9A-F]{2})(?:  .*)?$")
BYTES = re.compile(r"`([0-9A-F]{2}(?: [0-9A-F]{2})*)`")


def emit(kind, ident, where="-", version="-", seen="codec", data="-", expected="-", note="-"):
    print("\t".join((kind, ident, where, version, seen, data, expected, note)))


def squeeze(text):
    return text.replace(" ", "")


def sections(text):
    """The text under each "## N." heading, by N."""
    parts = re.split(r"^## (\d+)\. .*$", text, flags=re.M)
    return {int(parts[i]): parts[i + 1] for i in range(1, len(parts), 2)}


def tables(text):
    """Rows of all tables, as lists of cells, each table with its header first."""
    rows = []
    for line in text.splitlines():
        if line.startswith("|"):
            rows.append([c.strip() for c in line.strip().strip("|").split("|")])
        elif rows:
            yield [r for r in rows if set(r[0]) != {"-"}]
            rows = []
    if rows:
        yield [r for r in rows if set(r[0]) != {"-"}]


def packets(text, version):
    head = re.compile(r"^### (\S+) \((.*?)\) ?(.*)$")
    ident = None
    for line in text.splitlines():
        if m := head.match(line):
            ident, where, note, data = m[1], m[2], m[3], ""
        elif m := HEX_LINE.match(line):
            data += squeeze(m[1])
        elif line == "```" and ident and data:
            emit("packet", ident, where, version, "codec", data, "ok", note or "-")
            ident = None


def vbis(text):
    values, refused, frames = tables(text)
    for value, data, _ in values[1:]:
        emit("vbi", "VBI-" + value, data=squeeze(data.strip("`")), expected=value)
    for n, (data, verdict) in enumerate(refused[1:], 1):
        if verdict.startswith("incomplete"):
            expected = "more"
        elif verdict.startswith("malformed"):
            expected = "malformed"
        else:
            expected = "malformed5"
        emit("vbi", f"VBI-bad-{n}", data=squeeze(BYTES.search(data)[1]), expected=expected, note=verdict)
    for length, header, total, *_ in frames[1:]:
        emit("frame", "FRAME-" + length, data=squeeze(header.strip("`")), expected=f"{length}/{total}")


def strings(text):
    (rows,) = tables(text)
    for n, (data, verdict) in enumerate(rows[1:], 1):
        word = verdict.split(":")[0]
        expected = {"valid": "ok", "valid pair": "pair", "either": "policy", "must be refused": "refused"}[word]
        emit("string", f"STR-{n}", data=squeeze(data.strip("`")), expected=expected, note=verdict)


def properties(text):
    listing, matrix = tables(text)
    for row in listing[1:]:
        emit("prop", "PROP-" + row[0], version="5", data=squeeze(row[8].strip("`")), expected=row[4].replace(" ", ""),
             note=row[2])
    for row in matrix[1:]:
        for where, cell in zip(matrix[0][1:], row[1:]):
            emit("matrix", "PROP-" + row[0], where, "5", expected=cell)


def reasons(text):
    (rows,) = tables(text)
    for code, name, where in rows[1:]:
        emit("reason", "REASON-" + code, version="5", data=code, expected=where.replace(" ", ""), note=name)


def errors(text, version):
    (rows,) = tables(text)
    for ident, state, data, what, expected in rows[1:]:
        if "SUBACK" in expected:
            want = "entry"
        elif connack := [CONNACK3[k] for k in CONNACK3 if k in expected]:
            want = connack[0]
        else:
            want = ",".join(re.findall(r"0x([0-9A-F]{2})", expected)) or "any"
        emit("error", ident, state, version, "core" if ident in CORE else "codec", squeeze(BYTES.search(data)[1]),
             want, what)


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        part = sections(f.read())
    emit("kind", "id", "where", "version", "seen", "hex", "expected", "note")
    packets(part[4], "4")
    packets(part[5], "5")
    errors(part[8], "4")
    errors(part[9], "5")
    vbis(part[2])
    strings(part[3])
    properties(part[6])
    reasons(part[7])


if __name__ == "__main__":
    main()
