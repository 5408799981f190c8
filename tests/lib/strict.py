"""A strict reader of what a server sends.  Every packet is taken apart by the tables of the specification, and whatever breaks
a rule that holds for every connection (flags, shortest lengths, reason codes, properties, order) fails the test that saw it."""
import os
import struct
import time

from mqtt import Client, Closed, connect, packet, publish, subscribe, unsubscribe, vbi

CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH = 2, 3, 4, 5, 6, 7, 9, 11, 13, 14, 15
SERVER_SENDS = {CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP, DISCONNECT, AUTH}

# Reason codes that a server may send, by packet (tables 3-1, 3-4 to 3-10 and section 3.15.2.1).
ANY_ACK = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99}
REASONS = {
    CONNACK: {0, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F},
    PUBACK: ANY_ACK,
    PUBREC: ANY_ACK,
    PUBREL: {0, 0x92},
    PUBCOMP: {0, 0x92},
    SUBACK: {0, 1, 2, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2},
    UNSUBACK: {0, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91},
    DISCONNECT: {0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, *range(0x93, 0xA3)},
    AUTH: {0, 0x18},
}
# Properties that a server may send: how they are written, and in which packets.
ACKS = {PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK}
PROPERTIES = {
    0x01: ("byte", {PUBLISH}), 0x02: ("four", {PUBLISH}), 0x03: ("text", {PUBLISH}), 0x08: ("text", {PUBLISH}),
    0x09: ("data", {PUBLISH}), 0x0B: ("vbi", {PUBLISH}), 0x11: ("four", {CONNACK}), 0x12: ("text", {CONNACK}),
    0x13: ("two", {CONNACK}), 0x15: ("text", {CONNACK, AUTH}), 0x16: ("data", {CONNACK, AUTH}), 0x1A: ("text", {CONNACK}),
    0x1C: ("text", {CONNACK, DISCONNECT}), 0x1F: ("text", {CONNACK, DISCONNECT, AUTH} | ACKS), 0x21: ("two", {CONNACK}),
    0x22: ("two", {CONNACK}), 0x23: ("two", {PUBLISH}), 0x24: ("byte", {CONNACK}), 0x25: ("byte", {CONNACK}),
    0x26: ("pair", {CONNACK, PUBLISH, DISCONNECT, AUTH} | ACKS), 0x27: ("four", {CONNACK}), 0x28: ("byte", {CONNACK}),
    0x29: ("byte", {CONNACK}), 0x2A: ("byte", {CONNACK}),
}
REPEATABLE = {0x0B, 0x26}
# How long to wait for what has to come; less where tests are expected to fail.
APART, APART_ENDS, APART_MOST = 0.0003, 150, 2000
PATIENCE = float(os.environ.get("CONFORMANCE_PATIENCE", "5"))


class Reader:
    """Takes fields off bytes; a field that is cut short fails."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        assert self.at + n <= len(self.data), f"a field is cut short in {self.data.hex()}"
        self.at += n
        return self.data[self.at - n:self.at]

    def byte(self):
        return self.take(1)[0]

    def two(self):
        return struct.unpack(">H", self.take(2))[0]

    def four(self):
        return struct.unpack(">I", self.take(4))[0]

    def data_(self):
        return self.take(self.two())

    def text(self):
        s = self.data_()
        assert "\0" not in s.decode("utf-8"), "U+0000 in a string"
        return s

    def vbi(self):
        start, n, shift = self.at, 0, 0
        while True:
            b = self.byte()
            n |= (b & 127) << shift
            shift += 7
            if not b & 128:
                break
        assert self.at - start == len(vbi(n)), "a variable byte integer is not in its shortest form"
        return n

    def rest(self):
        return self.take(len(self.data) - self.at)

    def done(self):
        return self.at == len(self.data)


def read_property(r, kind, name):
    if kind == "pair":
        return r.text(), r.text()
    value = {"byte": r.byte, "two": r.two, "four": r.four, "text": r.text, "data": r.data_, "vbi": r.vbi}[kind]()
    if kind == "byte":
        assert value in (0, 1), f"property {name:02x} is {value}"
    if name in (0x0B, 0x21, 0x23, 0x27):
        assert value != 0, f"property {name:02x} is 0"
    return value


def read_properties(r, kind):
    """[(identifier, value)], in order."""
    inner, found = Reader(r.take(r.vbi())), []
    while not inner.done():
        name = inner.vbi()
        assert name in PROPERTIES and kind in PROPERTIES[name][1], f"property {name:02x} in packet type {kind}"
        assert name in REPEATABLE or name not in dict(found), f"property {name:02x} twice"
        found.append((name, read_property(inner, PROPERTIES[name][0], name)))
    return found


class Packet:
    """One packet of the server: kind, first, body, props; and qos, dup, retain, topic, payload, pid, code(s) where it has them."""

    def __init__(self, first, body, version):
        self.first, self.body, self.kind, self.size = first, body, first >> 4, 1 + len(vbi(len(body))) + len(body)
        self.props, self.pid, self.code, self.codes, self.five = [], None, 0, [], version == 5
        assert self.kind in SERVER_SENDS and (self.five or self.kind not in (DISCONNECT, AUTH)), f"packet type {self.kind}"
        assert self.kind == PUBLISH or first & 15 == (2 if self.kind == PUBREL else 0), f"flags of {first:02x}"
        r = Reader(body)
        {CONNACK: self._connack, PUBLISH: self._publish, SUBACK: self._codes, UNSUBACK: self._codes, PINGRESP: lambda r: None,
         DISCONNECT: self._reason, AUTH: self._reason}.get(self.kind, self._ack)(r)
        assert r.done(), f"bytes behind the end of {self!r}"

    def __repr__(self):
        return f"{self.first:02x} {self.body.hex()}"

    def get(self, name):
        """The value of a property, or None."""
        return dict(self.props).get(name)

    def all(self, name):
        return [v for n, v in self.props if n == name]

    def _connack(self, r):
        flags, self.code = r.byte(), r.byte()
        assert flags in (0, 1), f"CONNACK flags {flags:02x}"
        self.present = flags == 1
        assert not (self.present and self.code), "Session Present with a refusal"
        # A level that nobody knows is answered in the words of 3.1.1, whatever the client speaks.
        if self.five and (self.code, len(self.body)) != (1, 2):
            assert self.code in REASONS[CONNACK], f"CONNACK reason {self.code:02x}"
            self.props = read_properties(r, CONNACK)
        else:
            assert self.code <= 5, f"CONNACK return code {self.code}"

    def _publish(self, r):
        self.dup, self.qos, self.retain = bool(self.first & 8), self.first >> 1 & 3, bool(self.first & 1)
        assert self.qos < 3 and not (self.qos == 0 and self.dup), f"first byte {self.first:02x}"
        self.topic = r.text().decode()
        if self.qos:
            self.pid = r.two()
            assert self.pid, "packet identifier 0"
        if self.five:
            self.props = read_properties(r, PUBLISH)
        assert not set("+#") & set(self.topic), "a wildcard in a topic name"
        assert self.topic or self.get(0x23), "no topic"
        self.name = self.topic  # Peer looks an alias up
        self.payload = r.rest()

    def _ack(self, r):
        self.pid = r.two()
        if self.five and not r.done():
            self._reason(r)

    def _reason(self, r):
        if not r.done():
            self.code = r.byte()
        if not r.done():
            self.props = read_properties(r, self.kind)
        assert self.code in REASONS[self.kind], f"reason {self.code:02x} in packet type {self.kind}"

    def _codes(self, r):
        self.pid = r.two()
        if self.five:
            self.props = read_properties(r, self.kind)
        self.codes = list(r.rest())
        allowed = REASONS[self.kind] if self.five else {0, 1, 2, 0x80}
        assert set(self.codes) <= allowed, f"codes {self.codes}"
        assert bool(self.codes) == (self.five or self.kind == SUBACK)


class Peer(Client):
    """A client that holds the server to the rules.  split: bytes a write, 0 for whole packets."""

    def __init__(self, sock, version=4, split=0):
        super().__init__(sock, version)
        self.apart = APART_MOST
        self.split, self.seen, self.limit, self.unacked = split, [], None, set()
        self.window, self.early = None, []
        self.aliases, self.names = 0, {}

    def send(self, data):
        """Pieces that follow each other at once reach the server together, so there is some time between them: at both ends of
        what is sent, and not for ever."""
        step = self.split or len(data)
        for i in range(0, len(data), step):
            self.sock.sendall(data[i:i + step])
            if self.split and self.apart > 0 and not APART_ENDS < i < len(data) - APART_ENDS:
                self.apart -= 1
                time.sleep(APART)

    def send_all(self, data):
        """As send, to a server that may have closed already."""
        try:
            self.send(data)
        except OSError:
            pass

    def _take(self):
        before = len(self.buffer)
        got = super()._take()
        if got:
            assert before - len(self.buffer) == 1 + len(vbi(len(got[1]))) + len(got[1]), "Remaining Length is not in its shortest form"
        return got

    def next(self, timeout=PATIENCE):
        """The next packet, whatever it is."""
        if self.early:
            return self.early.pop(0)
        return self._fetch(timeout)

    def _fetch(self, timeout=PATIENCE):
        p = Packet(*self.read(timeout), self.version)
        self._hold_to_rules(p)
        self.seen.append(p)
        return p

    def _hold_to_rules(self, p):
        kinds = [s.kind for s in self.seen]
        assert (p.kind == CONNACK) == (not self.seen), f"CONNACK comes first and once: {p!r} after {kinds}"
        assert self.limit is None or p.size <= self.limit, f"{p.size} bytes for a client that takes {self.limit}"
        assert DISCONNECT not in kinds, "something behind a DISCONNECT"
        assert p.kind != AUTH and not p.get(0x15), "AUTH without a method in CONNECT"
        if p.kind == PUBLISH and p.get(0x23):
            alias = p.get(0x23)
            assert alias <= self.aliases, f"alias {alias} for a client that takes {self.aliases}"
            assert p.topic or alias in self.names, f"alias {alias} was never told"
            p.name = self.names[alias] = p.topic or self.names[alias]
        if p.kind == PUBLISH and p.qos:
            assert p.pid not in self.unacked, f"identifier {p.pid} is in use"
            self.unacked.add(p.pid)
            assert self.window is None or len(self.unacked) <= self.window, "more than Receive Maximum"

    def get(self, kind, timeout=PATIENCE):
        p = self.next(timeout)
        assert p.kind == kind, f"wanted packet type {kind}, got {p!r}"
        return p

    def ended(self, timeout=PATIENCE):
        """The packets before the server closed; fails while it stays open."""
        seen = []
        try:
            while True:
                seen.append(self.next(timeout))
        except Closed:
            return seen

    def nothing(self, seconds=0.3):
        """Nothing comes for that long, and the connection is alive."""
        try:
            p = self.next(seconds)
        except TimeoutError:
            self.ping()
            return
        raise AssertionError(f"unexpected packet {p!r}")

    def ping(self):
        self.send(b"\xc0\0")
        self.get(PINGRESP)

    # ---- CONNECT, SUBSCRIBE, PUBLISH and their answers ----

    def connect(self, client_id, code=0, limit=None, window=None, aliases=None, **kw):
        """CONNACK.  limit, window and aliases: what the properties announce, to be watched."""
        self.limit, self.window, self.aliases = limit, window, aliases or 0
        props = kw.pop("props", b"")
        if aliases is not None:
            props += b"\x22" + struct.pack(">H", aliases)
        if limit:
            props += b"\x27" + struct.pack(">I", limit)
        if window:
            props += b"\x21" + struct.pack(">H", window)
        self.send(connect(client_id, version=self.version, props=props, **kw))
        ack = self.get(CONNACK)
        assert ack.code == code, f"CONNACK {ack!r}"
        return ack

    def sub(self, *filters, options=0, pid=1, props=b""):
        """SUBACK codes.  filters: texts, or (text, options)."""
        self.send(subscribe(pid, *[f if isinstance(f, tuple) else (f, options) for f in filters], version=self.version, props=props))
        ack = self.get(SUBACK)
        assert ack.pid == pid and len(ack.codes) == len(filters)
        return ack.codes

    def unsub(self, *filters, pid=2):
        """UNSUBACK codes."""
        self.send(unsubscribe(pid, *filters, version=self.version))
        ack = self.get(UNSUBACK)
        assert ack.pid == pid and len(ack.codes) == (len(filters) if self.version == 5 else 0)
        return ack.codes

    def pub(self, topic, payload=b"", **kw):
        """PUBLISH, no more."""
        self.send(publish(topic, payload, version=self.version, **kw))

    def put(self, topic, payload=b"", qos=1, pid=1, **kw):
        """PUBLISH and the whole handshake; the reason of its first answer."""
        self.pub(topic, payload, qos=qos, pid=pid, **kw)
        if qos == 0:
            return self.ping()
        ack = self.get(PUBACK if qos == 1 else PUBREC)
        assert ack.pid == pid
        if qos == 2 and ack.code < 0x80:
            self.ack(PUBREL, pid)
            assert self.get(PUBCOMP).pid == pid
        return ack.code

    def ack(self, kind, pid, code=None):
        if (kind == PUBACK or kind == PUBCOMP or code is not None and code >= 0x80) and kind != PUBREL:
            self.unacked.discard(pid)
        self.send(packet(kind << 4 | (2 if kind == PUBREL else 0), struct.pack(">H", pid) + (b"" if code is None else bytes([code]))))

    def take(self, timeout=PATIENCE):
        """The next PUBLISH, acknowledged to the end."""
        p = self.get(PUBLISH, timeout)
        if p.qos == 1:
            self.ack(PUBACK, p.pid)
        elif p.qos == 2:
            self.ack(PUBREC, p.pid)
            while (q := self._fetch()).kind != PUBREL:
                self.early.append(q)
            assert q.pid == p.pid
            self.ack(PUBCOMP, p.pid)
        return p

    def bye(self):
        """DISCONNECT; returns when the server has closed."""
        self.send(b"\xe0\0")
        assert self.ended() == []
