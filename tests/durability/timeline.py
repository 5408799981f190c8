"""From a recorded log (disks.py) to what the store has to hold at every moment of it.

The log has what the broker read from clients and sent to them, in one order with its writes and syncs.  An acknowledgement
in it is a promise from there on; what a client answers frees the broker of it.  The result is a list of (place, operation, key): from
that place on the store must hold the key, or need not any more, or must not, or may again.  cuts.c replays the writes and looks.

Keys, as text:  S client                session                    F client filter           subscription
                Q client publisher n    message that waits         R client identifier       QoS 2: PUBREL was sent with it
                D client identifier publisher n                    QoS 2: the message was sent with it, no other may be
                P client identifier     QoS 2 identifier that came in, not released yet
                T topic                 something is retained      V topic publisher n       this is retained"""
import collections
import struct

import disks
import history as h

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK = range(1, 12)
DISCONNECT = 14
MUST, NEED_NOT, MUST_NOT, MAY = range(4)
NEVER = 1 << 63
LONG_S = 600  # sessions that end sooner may have ended at any moment


def key_hash(text):
    """FNV-1a of 64 bits, as in cuts.c."""
    x = 0xCBF29CE484222325
    for b in text.encode():
        x = (x ^ b) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return x


class Stream:
    """Whole packets out of one direction of a connection."""

    def __init__(self):
        self.data = b""

    def packets(self, more):
        self.data += more
        at, found = 0, []
        while True:
            n = shift = 0
            i = at + 1
            while i < len(self.data) and i < at + 5:
                n |= (self.data[i] & 127) << shift
                shift += 7
                i += 1
                if not self.data[i - 1] & 128:
                    break
            else:
                break
            if len(self.data) < i + n:
                break
            found.append((self.data[at], self.data[i:i + n]))
            at = i + n
        self.data = self.data[at:]
        return found


def vbi(body, at):
    n = shift = 0
    while True:
        b = body[at]
        n |= (b & 127) << shift
        shift += 7
        at += 1
        if not b & 128:
            return n, at


def text(body, at):
    n = struct.unpack_from(">H", body, at)[0]
    return body[at + 2:at + 2 + n], at + 2 + n


class Message:
    __slots__ = ("publisher", "seq", "topic", "qos", "retain", "empty", "read", "acked", "done")

    def __init__(self, publisher, seq, topic, qos, retain, empty, read):
        self.publisher, self.seq, self.topic, self.qos, self.retain, self.empty, self.read = publisher, seq, topic, qos, retain, empty, read
        self.acked = self.done = None

    @property
    def name(self):
        return f"{self.publisher} {self.seq}"


class Session:
    """What was promised to one client id."""

    def __init__(self, client):
        self.client = client
        self.durable = False
        self.subs = {}       # filter -> (QoS, place from which it was surely there)
        self.asked = {}      # filter -> QoS, of SUBSCRIBEs under way
        self.owed = set()    # keys that must be there
        self.out = {}        # identifier -> message that was sent
        self.coming = {}     # identifier -> message that came in
        self.had = set()     # messages that the client has said it has


class Peer:
    def __init__(self):
        self.session, self.version, self.clean, self.expiry = None, 4, False, 0
        self.ins, self.outs = Stream(), Stream()
        self.pending = {}    # identifier -> [filters]
        self.foreign = False  # not MQTT in the clear


class Timeline:
    """hasty: what if messages were acknowledged when they are read?  (To see that the replay finds it.)"""

    def __init__(self, hasty=False):
        self.hasty = hasty
        self.list, self.names = [], {}
        self.sessions, self.peers, self.messages = {}, {}, {}
        self.retained = collections.defaultdict(list)  # topic -> messages
        self.counts = collections.Counter()

    def say(self, place, op, key):
        k = key_hash(key)
        assert self.names.setdefault(k, key) == key, "two keys with one hash"
        self.list.append((place, k, op))

    # ---- reading the log -------------------------------------------------------------------------------------------------

    def read(self, path):
        """Of an output that was cut short only the part that went counts; the rest is in a later one."""
        sent = {off: more for _, kind, more, _, off, _ in disks.entries(path) if kind == disks.SENT}
        for place, kind, more, who, off, data in disks.entries(path):
            self.counts[kind] += 1
            if kind == disks.ACCEPT:
                self.peers[who] = Peer()
            elif kind in (disks.IN, disks.OUT) and self.peers[who].foreign:
                continue
            elif kind == disks.IN:
                for first, body in self.peers[who].ins.packets(data):
                    self._in(place, self.peers[who], first, body)
            elif kind == disks.OUT:
                for first, body in self.peers[who].outs.packets(data[:sent.get(place, len(data))]):
                    self._out(place, self.peers[who], first, body)
            elif kind == disks.CLOSE:
                self.peers.pop(who, None)
        return self

    def _in(self, place, peer, first, body):
        kind = first >> 4
        if kind == CONNECT and body[:6] == b"\0\4MQTT":
            return self._connect(place, peer, body)
        peer.foreign = peer.session is None
        if peer.foreign:
            return None
        by_kind = {PUBLISH: self._in_publish, SUBSCRIBE: self._in_subscribe, UNSUBSCRIBE: self._in_unsubscribe,
                   PUBACK: self._in_puback, PUBREC: self._in_puback, PUBREL: self._in_pubrel, PUBCOMP: self._in_pubcomp,
                   DISCONNECT: self._in_disconnect}
        if kind in by_kind:
            by_kind[kind](place, peer, first, body)
        return None

    def _out(self, place, peer, first, body):
        kind = first >> 4
        by_kind = {CONNACK: self._connack, PUBLISH: self._out_publish, PUBACK: self._out_ack, PUBREC: self._out_ack,
                   PUBCOMP: self._out_ack, PUBREL: self._out_pubrel, SUBACK: self._out_suback, UNSUBACK: self._out_unsuback}
        if kind in by_kind and peer.session is not None:
            by_kind[kind](place, peer, first, body)

    # ---- sessions --------------------------------------------------------------------------------------------------------

    def _connect(self, place, peer, body):
        peer.version, flags = body[6], body[7]
        peer.clean = bool(flags & 2)
        at = 10
        peer.expiry = 0 if peer.version == 4 and peer.clean else 0xFFFFFFFF
        if peer.version == 5:
            peer.expiry = 0
            n, at = vbi(body, at)
            end = at + n
            while at < end:
                if body[at] == 0x11:
                    peer.expiry = struct.unpack_from(">I", body, at + 1)[0]
                at += 5 if body[at] == 0x11 else 3  # 0x21: Receive Maximum
        client = text(body, at)[0].decode()
        peer.session = self.sessions.setdefault(client, Session(client))
        if peer.clean or peer.expiry < LONG_S:
            self._end(place, peer.session)

    def _end(self, place, s):
        """Nothing is promised any more."""
        for key in s.owed:
            self.say(place, NEED_NOT, key)
        s.__init__(s.client)

    def _connack(self, place, peer, first, body):
        if body[1] != 0:
            peer.session = None
            return
        s = peer.session
        if not body[0] & 1 and not peer.clean:
            self._end(place, s)
        s.durable = peer.expiry >= LONG_S
        if s.durable:
            self._owe(place, s, f"S {s.client}")

    def _owe(self, place, s, key):
        if s.durable and key not in s.owed:
            s.owed.add(key)
            self.say(place, MUST, key)

    def _free(self, place, s, key):
        if key in s.owed:
            s.owed.discard(key)
            self.say(place, NEED_NOT, key)

    def _in_disconnect(self, place, peer, first, body):
        if peer.expiry < LONG_S:
            self._end(place, peer.session)

    # ---- subscriptions ---------------------------------------------------------------------------------------------------

    def _in_subscribe(self, place, peer, first, body):
        pid = struct.unpack_from(">H", body)[0]
        at = 3 if peer.version == 5 else 2
        filter, at = text(body, at)
        peer.pending[pid] = filter.decode(), body[at] & 3
        self.say(place, MAY, f"F {peer.session.client} {filter.decode()}")

    def _out_suback(self, place, peer, first, body):
        s = peer.session
        filter, qos = peer.pending.pop(struct.unpack_from(">H", body)[0])
        if body[-1] >= 0x80 or not s.durable:
            return
        s.subs.setdefault(filter, (qos, place))
        self._owe(place, s, f"F {s.client} {filter}")

    def _in_unsubscribe(self, place, peer, first, body):
        s = peer.session
        pid = struct.unpack_from(">H", body)[0]
        filter = text(body, 3 if peer.version == 5 else 2)[0].decode()
        peer.pending[pid] = filter, 0
        s.subs.pop(filter, None)
        self._free(place, s, f"F {s.client} {filter}")

    def _out_unsuback(self, place, peer, first, body):
        filter, _ = peer.pending.pop(struct.unpack_from(">H", body)[0])
        if (peer.version == 4 or body[-1] < 0x80) and peer.session.durable:
            self.say(place, MUST_NOT, f"F {peer.session.client} {filter}")

    def _subscribers(self, message):
        """Durable sessions that surely had a subscription when the message came: (session, how many of its filters match)."""
        for s in self.sessions.values():
            if not s.durable:
                continue
            fit = [q for f, (q, since) in s.subs.items() if since < message.read and not f.startswith("$share")
                   and h.matches(f, message.topic)]
            if fit and max(fit) > 0:
                yield s, len(fit)

    # ---- messages that come in -------------------------------------------------------------------------------------------

    def _payload(self, payload):
        return struct.unpack_from(">HI", payload) if len(payload) >= 10 else (0xFFFF, 0)

    def _in_publish(self, place, peer, first, body):
        qos, s = first >> 1 & 3, peer.session
        topic, at = text(body, 0)
        pid = 0
        if qos:
            pid = struct.unpack_from(">H", body, at)[0]
            at += 2
        if peer.version == 5:
            n, at = vbi(body, at)
            at += n
        publisher, seq = self._payload(body[at:])
        name = (publisher, seq) if at < len(body) else (s.client, pid, place)
        before = s.coming.get(pid)
        if first & 8 and before is not None and (at == len(body) or (before.publisher, before.seq) == name):
            return  # once more
        m = self.messages.setdefault(name, Message(publisher, seq, topic.decode(), qos, bool(first & 1), at == len(body), place))
        if qos:
            s.coming[pid] = m
        if qos == 2:
            self.say(place, MAY, f"P {s.client} {pid}")
        if qos and self.hasty:
            self._accepted(place, m)
        if m.retain and m not in self.retained[m.topic]:
            self.retained[m.topic].append(m)
            if m.empty:
                self.say(place, NEED_NOT, f"T {m.topic}")

    def _out_ack(self, place, peer, first, body):
        kind, s = first >> 4, peer.session
        pid = struct.unpack_from(">H", body)[0]
        m = s.coming.get(pid)
        if m is None or (len(body) > 2 and body[2] >= 0x80):
            return
        if kind == PUBCOMP:
            s.coming.pop(pid)
            self.say(place, MUST_NOT, f"P {s.client} {pid}")
        elif kind == PUBREC:
            self._owe(place, s, f"P {s.client} {pid}")
        else:
            s.coming.pop(pid)
        if kind != PUBCOMP:
            self._accepted(place, m)
        if kind != PUBREC and m.retain:
            self._kept(place, m)

    def _accepted(self, place, m):
        if m.acked is not None:
            return
        m.acked = place
        for s, n in self._subscribers(m) if not m.empty else ():
            key = f"Q {s.client} {m.name}"
            if (m.publisher, m.seq) not in s.had:
                self._owe(place, s, key)

    def _in_pubrel(self, place, peer, first, body):
        self._free(place, peer.session, f"P {peer.session.client} {struct.unpack_from('>H', body)[0]}")

    # ---- what is retained ------------------------------------------------------------------------------------------------

    def _kept(self, place, m):
        if m.done is not None:
            return
        m.done = place
        line = self.retained[m.topic]
        for v in line:
            if v.done is not None and v.done < m.read and not v.empty:
                self.say(place, MUST_NOT, f"V {m.topic} {v.name}")
        if not m.empty and not any(e.empty and (e.done is None or e.done > m.read) for e in line):
            self.say(place, MUST, f"T {m.topic}")
        self.retained[m.topic] = [v for v in line if v.done is None or v.done >= m.read]

    # ---- messages that go out --------------------------------------------------------------------------------------------

    def _out_publish(self, place, peer, first, body):
        qos, s = first >> 1 & 3, peer.session
        if qos == 0:
            return
        topic, at = text(body, 0)
        pid = struct.unpack_from(">H", body, at)[0]
        at += 2
        if peer.version == 5:
            n, at = vbi(body, at)
            at += n
        sent = s.out[pid] = self._payload(body[at:]) + (topic.decode(), bool(first & 1), qos)
        if qos == 2 and not sent[3] and at < len(body):
            self._owe(place, s, f"D {s.client} {pid} {sent[0]} {sent[1]}")

    def _in_puback(self, place, peer, first, body):
        """The client has it: it need not wait any more."""
        s = peer.session
        pid = struct.unpack_from(">H", body)[0]
        sent = s.out.get(pid)
        if sent is None or sent[3]:
            return
        self._free(place, s, f"D {s.client} {pid} {sent[0]} {sent[1]}")
        s.had.add(sent[:2])
        self._free(place, s, f"Q {s.client} {sent[0]} {sent[1]}")

    def _out_pubrel(self, place, peer, first, body):
        s = peer.session
        pid = struct.unpack_from(">H", body)[0]
        sent = s.out.get(pid)
        if sent is None or not s.durable:
            return
        self._owe(place, s, f"R {s.client} {pid}")
        if not sent[3] and sum(h.matches(f, sent[2]) for f in s.subs) == 1:
            self.say(place, MUST_NOT, f"Q {s.client} {sent[0]} {sent[1]}")

    def _in_pubcomp(self, place, peer, first, body):
        s = peer.session
        pid = struct.unpack_from(">H", body)[0]
        self._free(place, s, f"R {s.client} {pid}")
        s.out.pop(pid, None)

    def write(self, path):
        with open(path, "wb") as f:
            for place, key, op in self.list:
                f.write(struct.pack("<QQII", place, key, op, 0))
