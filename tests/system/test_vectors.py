"""The error examples of the specification (tests/conformance/vectors.tsv), over a socket: closed, with a fitting code where one is
seen, whatever way the bytes are split; and every valid client packet is taken."""
import csv
import pathlib
import socket

import pytest
from mqtt import Closed, connect

HERE = pathlib.Path(__file__).resolve().parents[1] / "conformance"
ROWS = list(csv.DictReader(open(HERE / "vectors.tsv"), delimiter="\t"))
ERRORS = [r for r in ROWS if r["kind"] == "error"]
PACKETS = [r for r in ROWS if r["kind"] == "packet" and r["where"] in ("C>S", "both")]


def codes(row):
    return {int(c, 16) for c in row["expected"].split(",") if len(c) == 2}


def feed(client, data, how):
    try:
        for i in range(0, len(data), how):
            client.send(data[i:i + how])
    except OSError:
        pass  # closed already


@pytest.mark.parametrize("how", [1 << 20, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize("row", ERRORS, ids=[r["id"] for r in ERRORS])
def test_error(picket, row, how):
    version = int(row["version"])
    c = picket.client("open", version)
    if row["where"] == "open":
        assert c.login("dev")[1] == 0
    feed(c, bytes.fromhex(row["hex"]), how)
    if row["expected"] == "entry":  # a bad filter inside a good SUBSCRIBE: refused there, or closed
        try:
            first, body = c.read()
        except Closed:
            return
        assert first >> 4 in (9, 14) and body[-1] >= 0x80
        return
    seen = c.closed()
    for first, body in seen:
        assert first >> 4 in (2, 14), f"only a CONNACK or DISCONNECT may come: {first:02x} {body.hex()}"
        if version == 5 and codes(row):
            code = body[1] if first >> 4 == 2 else (body[0] if body else 0)
            if (first, body) == (0x20, b"\0\1"):
                code = 0x84  # an unknown protocol level is answered in the words of 3.1.1
            assert code in codes(row), f"{code:02x}"
    if row["where"] == "new":
        assert all(first >> 4 == 2 for first, _ in seen), "no DISCONNECT before CONNACK (MQTT-3.14.0-1)"
    c.close()


@pytest.mark.parametrize("row", PACKETS, ids=[r["id"] for r in PACKETS])
def test_valid_packet_is_not_an_error(picket, row):
    version = int(row["version"])
    c = picket.client("open", version)
    data = bytes.fromhex(row["hex"])
    kind = data[0] >> 4
    if kind == 1:
        if version == 5 and "15" in row["hex"] and "X-DEMO".encode().hex().upper() in row["hex"].upper():
            pytest.skip("enhanced authentication needs a method that the listener offers; none is built yet")
        if data[7 + 2] & 0x40 and version == 5 and not data[7 + 2] & 0x80 or data[9] & 0xC0:
            c.send(data)  # with credentials that nobody has: the one refusal, not a protocol error
            first, body = c.expect(2)
            assert body[1] in (5, 0x87)
            return
        c.send(data)
        assert c.expect(2)[1][1] == 0
        return
    props = b"\x11\0\0\0\x3c\x22\0\x0a" if version == 5 else b""
    assert c.login("dev", props=props)[1] == 0
    if row["id"] == "V5-PUBLISH-3":
        c.send(bytes.fromhex(next(r["hex"] for r in ROWS if r["id"] == "V5-PUBLISH-2")))
    if kind == 15:
        pytest.skip("AUTH belongs to enhanced authentication; no method is built yet")
    c.send(data)
    if kind == 14:
        assert c.closed() == []
        return
    c.send(b"\xc0\0")
    while c.read()[0] >> 4 != 13:
        pass
    c.close()
