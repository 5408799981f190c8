#!/usr/bin/env python3
"""Prints a history, all of it or what concerns one client: dump.py HISTORY [CLIENT-NUMBER]…"""
import sys

import history as h

header, records = h.load(sys.argv[1])
wanted = {int(c) for c in sys.argv[2:]}
names = {v: k for k, v in h.EVENTS.items()}
first = None
for ns, client, kind, flags, conn, a, b, c, d in records:
    first = first or ns
    if wanted and client not in wanted:
        continue
    name = names[kind]
    text = f"a={a} b={b} c={c} d={d}"
    if name in ("PUB", "RECV"):
        words = [w for w, f in (("dup", h.DUP), ("retain", h.RETAIN), ("again", h.AGAIN), ("bad", h.BAD), ("clash", h.CLASH)) if flags & f]
        text = f"#{a} {header['topics'][b] if b < len(header['topics']) else b} q{flags & 3} {' '.join(words)} pid {c & 0xffff} {d} bytes"
        text = (f"h{c >> 16:05}" if name == "RECV" else "") + text
    elif "SUB" in name:
        text = f"{header['filters'][a]} q{flags & 3} code {b:#x}"
    print(f"{(ns - first) / 1e9:9.4f} {header['clients'][client]['id']} {header['clients'][client]['role']} {conn}: {name} {flags:#x} {text}")
