"""Published attacks that fit in one stream of bytes (vectors.tsv): the attacker is refused, a bystander notices nothing,
no process restarts."""
import csv
import pathlib
import socket

import pytest
import ws
from mqtt import Client, Closed

rows = pytest.mark.rows
ROWS = list(csv.DictReader(open(pathlib.Path(__file__).parent / "vectors.tsv"), delimiter="\t"))
# What may stay open: the row allows it.
MAY_LIVE = {"CVE-2018-12543", "CVE-2017-7650", "CVE-2025-68699", "GHSA-qrcv-3558-gj4f"}
CODES = {"CVE-2021-28166": 0x82, "CVE-2021-34432/v5": 0x82, "CVE-2026-67418": 0x82, "ALIAS-BAD": 0x94,
         "CVE-2023-3592": 0x82, "RMQ-RXMAX0": 0x82, "WOLF-7679": 0x82, "PROP-DUP": 0x82}


@pytest.fixture(scope="module")
def bystander(picket):
    c = picket.client("open")
    assert c.login("bystander")[1] == 0
    assert c.subscribe("#") == 0
    return c


def last_code(packets):
    """The reason code of the CONNACK or DISCONNECT that came last; None when nothing came."""
    if not packets:
        return None
    first, body = packets[-1]
    return body[1] if first >> 4 == 2 else body[0] if first >> 4 == 14 and body else 0


@pytest.mark.parametrize("how", ["whole", "bytewise"])
@pytest.mark.parametrize("row", ROWS, ids=[r["id"] for r in ROWS])
def test_vector(picket, bystander, row, how):
    before = picket.children()
    attacker = picket.client("open")
    data = bytes.fromhex(row["hex"])
    wrapped = ws.Socket(attacker.sock) if row["expected"].startswith("WS ") else None
    try:
        for part in ([data] if how == "whole" else [data[i:i + 1] for i in range(len(data))]):
            attacker.send(part)
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before the last byte: as it should be
    if wrapped:
        assert str(wrapped.close_code()) in row["expected"]
    elif row["id"] in MAY_LIVE:
        try:
            attacker.read(0.5)
            attacker.read(0.5)
        except (Closed, socket.timeout):
            pass
    else:
        seen = attacker.closed()
        if row["id"] in CODES and seen:
            assert last_code(seen) in (CODES[row["id"]], 0x81), seen
    attacker.close()
    bystander.ping()  # and no PUBLISH came before the answer
    assert picket.children() == before


@rows("MPI-ATTACKS", "CVE-2023-0809", "EMQX-17507")
def test_first_byte_table(picket, bystander):
    """Every first byte but CONNECT's, before CONNECT, closes without an answer (I07)."""
    for first in range(256):
        if first == 0x10:
            continue
        c = picket.client("open")
        c.send(bytes([first, 0]))
        assert c.closed() == [], f"{first:02x}"
        c.close()
    bystander.ping()


@rows("MPI-ATTACKS", "CVE-2021-28166", "MOSQ-2025-RESERVED", "CONNECT-SECOND")
def test_first_byte_after_connect(picket, bystander):
    """After CONNECT: server-only packets, a second CONNECT, reserved types and wrong flags close (I07)."""
    allowed = {0xC0, 0xE0}  # PINGREQ, DISCONNECT are complete with two bytes
    for first in range(256):
        if first in allowed:
            continue
        c = picket.client("open")
        assert c.login(f"fb{first}")[1] == 0
        c.send(bytes([first, 0]))
        c.closed()
        c.close()
    bystander.ping()


@rows("CVE-2017-7651", "CVE-2019-0222", "RMQ-UNAUTHHEAP")
def test_claimed_lengths_cost_nothing(picket, bystander):
    """1,000 connections that claim 256 MB and 64 KiB strings leave the broker's memory where it was (I05)."""
    pid = picket.children()["broker"]

    def rss():
        line = next(l for l in open(f"/proc/{pid}/status") if l.startswith("VmRSS"))
        return int(line.split()[1])

    before = rss()
    held = []
    for i in range(500):
        c = picket.client("open")
        # A CONNECT that fits the pre-login limit but never ends: 8 KiB claimed, 16 bytes sent.
        c.send(bytes.fromhex("10804000044d5154540402003cffff6161"))
        held.append(c)
    bystander.ping()
    grown = rss() - before
    for c in held:
        c.close()
    assert grown < 500 * 2, f"{grown} KiB for 500 unfinished CONNECTs"
