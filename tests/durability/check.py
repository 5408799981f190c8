"""Judges a history: what must have been delivered, what must not, in which order, and whose session it was.

Every rule is written so that it never accuses where two orders of events are possible: something is required only if it was
surely due, and forbidden only if it surely was not.  Times are those of the clients, so what was sent first counts from the moment
of sending and what was answered from the moment at which the answer was read.

    check.py HISTORY [--faults FILE] [--drops FILE] [--json]"""
import argparse
import collections
import json
import sys

import history as h

S = 1_000_000_000
NEVER = 1 << 63
LINGER = 10 * S        # a CONNECT that was sent and not answered has its effect within this time, or none
EXPIRY_MARGIN = 1.5 * S
WILL_EARLY = 0.3 * S   # a client that is back this long before its will is due is back in time
WILL_LATE = 1.5 * S    # a will is said at most this late
SEEN = 0.5 * S         # a broker has noticed the end of a connection after this time

Violation = collections.namedtuple("Violation", "kind ns text")


class Pub:
    """One message: when it was first sent, and when it was surely accepted."""
    __slots__ = ("client", "seq", "topic", "qos", "retain", "size", "sent", "acked", "done", "refused", "again", "will")

    def __init__(self, client, seq, topic, qos, retain, size, sent):
        self.client, self.seq, self.topic, self.qos, self.retain, self.size, self.sent = client, seq, topic, qos, retain, size, sent
        self.acked = self.done = None  # done: the whole handshake
        self.refused = self.again = self.will = False


class Conn:
    __slots__ = ("number", "opened", "clean", "expiry", "acked", "present", "anew", "code", "closed", "how", "bye", "bye_code", "will",
                 "pings", "ponged")

    def __init__(self, number, opened, clean, expiry):
        self.number, self.opened, self.clean, self.expiry = number, opened, clean, expiry
        self.acked = self.closed = self.how = self.bye = self.will = None
        self.present, self.anew, self.code, self.bye_code = False, False, 0, 0
        self.pings, self.ponged = [], 0

    @property
    def ends_session(self):
        return self.clean and self.expiry == 0

    @property
    def surely_by(self):
        """Its CONNECT had its effect by then, or never."""
        if self.acked is not None:
            return self.acked
        return self.closed + LINGER if self.closed is not None else NEVER


class Interval:
    """A subscription: surely there from .start to .leaving, possibly from .asked to .ended."""
    __slots__ = ("client", "filter", "qos", "asked", "start", "leaving", "ended", "lost")

    def __init__(self, client, filter, qos, asked):
        self.client, self.filter, self.qos, self.asked = client, filter, qos, asked
        self.start = self.leaving = self.ended = self.lost = None

    def requires(self, pub):
        """Must that message have been delivered by the end?"""
        return (self.qos > 0 and self.start is not None and self.start <= pub.sent and self.leaving is None
                and (self.lost is None or pub.acked <= self.lost))

    def allows(self, pub, ns):
        end = self.ended if self.ended is not None else self.lost
        return self.asked <= ns and (end is None or pub.sent <= end)


class Check:
    """faults: [(from ns, to ns, word)], the time from a fault to the broker being back.  drops: client id -> messages that the
    broker's own record of the session counts as dropped; "": what no member of a shared subscription had room for."""

    def __init__(self, header, records, faults=(), drops=None):
        self.header, self.faults, self.drops = header, sorted(faults), drops or {}
        self.topics, self.clients = header["topics"], header["clients"]
        self.filters = [h.shared(f) for f in header["filters"]]
        self.matching = [{i for i, t in enumerate(self.topics) if h.matches(f, t)} for _, f in self.filters]
        self.pubs, self.conns = {}, collections.defaultdict(dict)
        self.asked = collections.defaultdict(list)      # client -> what happened to its session, in order
        self.received = collections.defaultdict(list)
        self.subs = collections.defaultdict(list)       # client -> its first SUBs: (ns, filter)
        self.violations, self.phases = [], []
        self.count = collections.Counter()
        self.dropped = 0
        self._read(records)

    def bad(self, kind, ns, text):
        self.violations.append(Violation(kind, ns, text))

    def name(self, client):
        return self.clients[client]["id"]

    def what(self, pub):
        return f"message {self.name(pub.client)}#{pub.seq} (QoS {pub.qos}) on {self.topics[pub.topic]}"

    # ---- reading ---------------------------------------------------------------------------------------------------------

    def _read(self, records):
        by_number = {v: getattr(self, "_on_" + k.lower()) for k, v in h.EVENTS.items()}
        last = 0
        for ns, client, kind, flags, conn, a, b, c, d in records:
            assert ns >= last, "the history goes back in time"
            last = ns
            self.count[kind] += 1
            by_number[kind](ns, client, conn, flags, a, b, c, d)
        self.end = last

    def _on_open(self, ns, client, conn, flags, a, *_):
        c = self.conns[client][conn] = Conn(conn, ns, bool(flags & 1), a)
        self.asked[client].append(("open", ns, c))

    def _on_connack(self, ns, client, conn, flags, a, *_):
        c = self.conns[client][conn]
        c.code, c.present, c.anew = a, bool(flags & 1), bool(flags & 2)
        if a == 0:
            c.acked = ns
            self.asked[client].append(("connack", ns, c))

    def _on_closed(self, ns, client, conn, flags, a, *_):
        c = self.conns[client][conn]
        c.closed, c.how = ns, a
        self.asked[client].append(("closed", ns, c))

    def _on_bye(self, ns, client, conn, flags, a, *_):
        c = self.conns[client][conn]
        c.bye, c.bye_code = ns, a
        self.asked[client].append(("closed", ns, c))

    def _on_sub(self, ns, client, conn, flags, a, *_):
        self.asked[client].append(("sub", ns, a, flags & 3))
        self.subs[client].append((ns, a))

    def _on_suback(self, ns, client, conn, flags, a, b, *_):
        self.asked[client].append(("suback", ns, a, b))

    def _on_unsub(self, ns, client, conn, flags, a, *_):
        self.asked[client].append(("unsub", ns, a))

    def _on_unsuback(self, ns, client, conn, flags, a, b, *_):
        self.asked[client].append(("unsuback", ns, a, b))

    def _on_pub(self, ns, client, conn, flags, a, b, c, d):
        if (client, a) in self.pubs:
            self.pubs[client, a].again = True
        else:
            self.pubs[client, a] = Pub(client, a, b, flags & 3, bool(flags & h.RETAIN), d, ns)

    def _on_puback(self, ns, client, conn, flags, a, b, *_):
        p = self.pubs[client, a]
        if b >= 0x80:
            p.refused = True
        else:
            p.acked = p.done = ns

    def _on_pubrec(self, ns, client, conn, flags, a, b, *_):
        p = self.pubs[client, a]
        if b >= 0x80:
            p.refused = True
        elif p.acked is None:
            p.acked = ns

    def _on_pubcomp(self, ns, client, conn, flags, a, b, *_):
        self.pubs[client, a].done = ns

    def _on_recv(self, ns, client, conn, flags, a, b, c, d):
        self.received[client].append((ns, conn, flags, (c >> 16, a), b, c & 0xFFFF, d))

    def _on_ping(self, ns, client, conn, *_):
        self.conns[client][conn].pings.append(ns)

    def _on_pong(self, ns, client, conn, *_):
        self.conns[client][conn].ponged += 1

    def _on_odd(self, ns, client, conn, flags, a, b, *_):
        self.bad("odd", ns, f"{self.name(client)} got a packet of type {a} for identifier {b} that answers nothing")

    def _on_kicked(self, ns, client, conn, flags, a, *_):
        if a in (0x81, 0x82, 0x93, 0x94, 0x95, 0x99, 0x9A):
            self.bad("odd", ns, f"the broker accused {self.name(client)} of {a:#x}")

    def _on_will(self, ns, client, conn, flags, a, b, c, *_):
        self.conns[client][conn].will = (Pub(client, a, b, flags & 3, False, 40, ns), c * 1_000_000)
        self.pubs[client, a] = self.conns[client][conn].will[0]
        self.pubs[client, a].will = True  # said when it is due: wills have no order

    def _on_phase(self, ns, client, conn, flags, a, b, *_):
        self.phases.append((ns, a, b))

    def _on_released(self, *_):
        pass

    # ---- the whole -------------------------------------------------------------------------------------------------------

    def run(self):
        self.intervals = collections.defaultdict(list)  # (client, topic) -> intervals
        self.epochs = {c: [(-1, 0)] for c in range(len(self.clients))}  # client -> [(ns, number of its session)]
        for client in list(self.asked):
            self._session(client)
            self._forks(client)
        self._finished()
        self._deliveries()
        self._required()
        self._shared()
        self._retained()
        self._wills()
        self.violations.sort(key=lambda v: v.ns)
        return self

    def _finished(self):
        if not self.phases or self.phases[-1][1] != len(h.PHASES) - 1:
            self.bad("stuck", self.end, "the run has no end")
        for ns, phase, left in self.phases:
            if left:
                self.bad("stuck", ns, f"{left} are not through with: {h.PHASES[phase - 1]}")

    def faulty(self, a, b):
        """Was something done to the broker between a and b?"""
        return any(f[0] <= b and a <= f[1] for f in self.faults)

    # ---- sessions --------------------------------------------------------------------------------------------------------

    def _session(self, client):
        """The intervals of a client's subscriptions, and whether its session was there when it had to be."""
        now = {}
        last_live = None
        for event, ns, *x in self.asked[client]:
            if event == "open" and x[0].clean:
                for i in now.values():
                    i.leaving = min(i.leaving or NEVER, ns)
            elif event == "closed" and x[0].ends_session and x[0].acked is not None:
                for i in now.values():
                    i.leaving = min(i.leaving or NEVER, ns)
            elif event == "closed" and x[0].acked is not None:
                last_live = x[0]
            elif event == "connack":
                self._connack(client, ns, x[0], now, last_live)
            elif event == "sub" and x[0] not in now:
                now[x[0]] = i = Interval(client, x[0], x[1], ns)
                for t in self.matching[x[0]]:
                    self.intervals[client, t].append(i)
            elif event == "suback":
                self._suback(ns, now, *x)
            elif event == "unsub" and x[0] in now:
                now[x[0]].leaving = min(now[x[0]].leaving or NEVER, ns)
            elif event == "unsuback" and x[1] < 0x80 and x[0] in now:
                now.pop(x[0]).ended = ns

    def _suback(self, ns, now, filter, code):
        if filter not in now:
            return
        if code >= 0x80:
            i = now.pop(filter)
            i.leaving = i.asked
            i.ended = ns
        elif now[filter].start is None:
            now[filter].start = ns

    def _connack(self, client, ns, c, now, last_live):
        present = self._may_be_present(client, c), self._must_be_present(client, c, last_live)
        who = f"{self.name(client)} connection {c.number}"
        if c.present and not present[0]:
            self.bad("session present", ns, f"{who}: session present, but there can be none")
        if not c.present and present[1]:
            self.bad("session lost", ns, f"{who}: the session that was acknowledged is gone")
        if c.present and not c.clean and not c.anew:
            return
        for i in now.values():
            if c.anew:  # the old session or a new one: what was subscribed may be there
                i.leaving = i.asked
            elif i.leaving is None and present[1]:
                i.lost = ns
            else:
                i.leaving, i.ended = min(i.leaving or NEVER, c.opened), ns
        now.clear()
        self.epochs[client].append((ns, len(self.epochs[client])))

    def _may_be_present(self, client, c):
        """Could there be a session for c to go on with?"""
        if c.clean:
            return False
        conns = self.conns[client].values()
        made = [j for j in conns if j is not c and not j.ends_session and j.opened < c.acked]
        enders = [i for i in conns if i.ends_session and i.acked is not None and i.acked < c.opened]
        if not any(all(j.surely_by >= i.opened for i in enders) for j in made):
            return False
        before = [j for j in conns if j.acked is not None and j.acked < c.opened]
        last = max(before, key=lambda j: j.acked, default=None)
        if last is None or last.ends_session or last.closed is None or len(made) > len(before):
            return True
        away_from = max([last.closed] + [f[1] for f in self.faults if f[0] <= c.opened])
        return c.opened - away_from < last.expiry * S + EXPIRY_MARGIN

    def _must_be_present(self, client, c, last_live):
        """Is there surely one?"""
        if c.clean:
            return False
        conns = self.conns[client].values()
        surely = [j for j in conns if j is not c and not j.ends_session and j.acked is not None and j.acked < c.opened]
        if not surely:
            return False
        newest = max(j.opened for j in surely)
        if any(i.ends_session and i.opened < c.acked and i.surely_by > newest for i in conns):
            return False
        expiry = min(j.expiry for j in surely)
        away_from = last_live.bye or last_live.closed if last_live is not None else c.acked
        if last_live is not None and last_live.bye is None and last_live.how == h.CLOSED_BY_BROKER:
            away_from = min([away_from] + [f[0] for f in self.faults if f[0] <= away_from <= f[1]])
        return c.acked - away_from < expiry * S - EXPIRY_MARGIN

    def _forks(self, client):
        """Two connections of one client id that both live, or an old one that outlives a newer."""
        alive = [c for c in self.conns[client].values() if c.acked is not None and c.ponged]
        for c in alive:
            last = c.pings[c.ponged - 1]  # it answered this one
            for o in self.conns[client].values():
                if o is c or o.acked is None or max(o.acked, c.acked) > last:
                    continue
                both = o.ponged and o.pings[o.ponged - 1] > max(o.acked, c.acked)
                if c.acked < o.opened or (both and o.number > c.number):
                    self.bad("fork", last, f"{self.name(client)}: connection {c.number} lives beside {o.number}")

    # ---- what arrived ----------------------------------------------------------------------------------------------------

    def epoch(self, client, ns):
        e = self.epochs[client]
        i = len(e) - 1
        while e[i][0] > ns:
            i -= 1
        return e[i][1]

    def _deliveries(self):
        self.delivered = set()                       # (client, message)
        self.shared_copies = collections.Counter()   # (group, message), QoS 2
        self.reads = []
        for client, items in self.received.items():
            copies, order = collections.Counter(), {}
            for item in items:
                self._delivery(client, item, copies, order)

    def _delivery(self, client, item, copies, order):
        ns, conn, flags, key, topic, pid, size = item
        who = f"{self.name(client)} connection {conn}"
        if flags & h.BAD:
            return self.bad("corrupt", ns, f"{who} got {size} bytes that nobody sent")
        if flags & h.CLASH:
            return self.bad("clash", ns, f"{who}: identifier {pid} was not released and came with another message")
        if flags & h.EMPTY:
            return None
        pub = self.pubs.get(key)
        if pub is None or pub.topic != topic or (pub.size != size):
            return self.bad("unknown", ns, f"{who} got message {key[0]}#{key[1]} on {self.topics[topic]}, which nobody sent")
        if flags & h.AGAIN:
            return None
        return self._judge_delivery(client, ns, flags, pub, who, copies, order)

    def _judge_delivery(self, client, ns, flags, pub, who, copies, order):
        qos, key = flags & 3, (pub.client, pub.seq)
        mine = [i for i in self.intervals.get((client, pub.topic), ()) if i.asked <= ns]
        if flags & h.RETAIN:
            if not pub.retain or not mine:
                self.bad("stranger", ns, f"{who} got {self.what(pub)} as retained")
            self.reads.append((ns, client, pub))
            return
        allowing = [i for i in mine if i.allows(pub, ns)]
        if not allowing:
            self.bad("stranger", ns, f"{who} got {self.what(pub)} without a subscription")
            return
        if all(qos != min(i.qos, pub.qos) for i in allowing):
            self.bad("qos", ns, f"{who} got {self.what(pub)} at QoS {qos}")
        first = (client, key) not in self.delivered
        self.delivered.add((client, key))
        e = self.epoch(client, ns)
        copies[e, key] += 1
        group = self.filters[allowing[0].filter][0]
        if qos == 2 and group:
            self.shared_copies[group, key] += 1
        # What came at QoS 1 may have been sent twice by its publisher, whatever the subscription asks for.
        if qos != 1 and qos == pub.qos and copies[e, key] > len({i.filter for i in allowing}):
            self.bad("duplicate", ns, f"{who} got {self.what(pub)} at QoS {qos} for the {copies[e, key]}th time")
        if first and not group and not pub.will:
            line = (e, pub.topic, pub.client, pub.qos)
            if order.get(line, 0) > pub.seq and not self._may_be_late(client, pub, allowing):
                self.bad("order", ns, f"{who} got {self.what(pub)} after #{order[line]}")
            order[line] = max(order.get(line, 0), pub.seq)

    def _may_be_late(self, client, pub, allowing):
        """One that was sent again comes late for who had not subscribed when it was sent first, or had no room for it then."""
        subscribed = any(i.start is not None and i.start <= pub.sent for i in allowing)
        return pub.again and (not subscribed or self.drops.get(self.name(client), 0) > 0)

    # ---- what had to arrive ----------------------------------------------------------------------------------------------

    def _required(self):
        by_topic = collections.defaultdict(list)
        for (client, topic), intervals in self.intervals.items():
            by_topic[topic] += [i for i in intervals if self.filters[i.filter][0] is None and i.start is not None
                                and i.leaving is None and i.qos > 0]
        missing = collections.defaultdict(dict)
        self.acked = self.due = 0
        for key, pub in self.pubs.items():
            if pub.acked is None:
                continue
            self.acked += 1
            for i in by_topic[pub.topic] if pub.size else ():
                if i.requires(pub):
                    self.due += 1
                    if (i.client, key) not in self.delivered:
                        missing[i.client][key] = pub
        for client, pubs in missing.items():
            self._excuse(client, list(pubs.values()))

    def _excuse(self, client, pubs):
        """What the session's own record counts as dropped may be missing, no more."""
        counted = self.drops.get(self.name(client), 0)
        self.dropped += min(counted, len(pubs))
        if len(pubs) <= counted:
            return
        for p in pubs:
            self.bad("lost", p.acked, f"{self.what(p)} was acknowledged and never reached {self.name(client)}"
                     + (f" ({counted} of {len(pubs)} are counted as dropped)" if counted else ""))

    def _shared(self):
        groups = collections.defaultdict(lambda: collections.defaultdict(list))
        for (client, topic), intervals in self.intervals.items():
            for i in intervals:
                if self.filters[i.filter][0]:
                    groups[self.filters[i.filter][0]][topic].append(i)
        for group, topics in groups.items():
            missing = []
            for key, pub in self.pubs.items():
                if pub.acked is None or not pub.size or not any(i.requires(pub) for i in topics.get(pub.topic, ())):
                    continue
                self.due += 1
                if not any((i.client, key) in self.delivered for i in topics[pub.topic]):
                    missing.append(pub)
            members = {i.client for intervals in topics.values() for i in intervals}
            counted = sum(self.drops.get(self.name(m), 0) for m in members) + self.drops.get("", 0)
            self.dropped += min(counted, len(missing))
            for pub in missing if len(missing) > counted else ():
                self.bad("shared lost", pub.acked, f"{self.what(pub)} reached nobody of {group}")
        for (group, key), n in self.shared_copies.items():
            if n > 1:
                pub = self.pubs[key]
                self.bad("shared duplicate", pub.sent, f"{self.what(pub)} reached {group} {n} times at QoS 2")

    # ---- what is retained ------------------------------------------------------------------------------------------------

    def _retained(self):
        """Each topic is a register: what is read was written, and not surely overwritten before the reading began."""
        writes = collections.defaultdict(list)
        for p in self.pubs.values():
            if p.retain:
                writes[p.topic].append(p)
        reader = next((i for i, c in enumerate(self.clients) if c["role"] == "reader"), None)
        final = {}
        for ns, client, pub in self.reads:
            begun = min(n for n, f in self.subs[client] if pub.topic in self.matching[f])
            if client == reader:
                if pub.topic in final:
                    self.bad("retained", ns, f"two retained messages on {self.topics[pub.topic]}")
                final[pub.topic] = pub
            self._not_stale(writes[pub.topic], pub, begun, ns)
        asked = [n for n, f in self.subs.get(reader, ())]
        for topic, ws in writes.items() if asked else ():
            if topic not in final:
                self._not_missing(topic, ws, asked[0])

    def _not_stale(self, writes, pub, begun, ns):
        if pub.done is None:
            return
        for w in writes:
            if w.sent > pub.done and w.done is not None and w.done < begun:
                return self.bad("retained stale", ns, f"{self.what(pub)} is retained, {self.what(w)} was acknowledged later")

    def _not_missing(self, topic, writes, begun):
        """Nothing is retained: right if nothing was, or if an end may have been the last word."""
        empties = [w for w in writes if w.size == 0] + [Pub(0, 0, topic, 0, True, 0, -1)]
        empties[-1].done = -1
        done = [w for w in writes if w.size and w.done is not None and w.done < begun]
        for e in empties:
            if e.done is None or not any(w.sent > e.done for w in done):
                return
        last = max(done, key=lambda w: w.done)
        self.bad("retained lost", begun, f"nothing is retained on {self.topics[topic]}; {self.what(last)} was acknowledged")

    # ---- wills -----------------------------------------------------------------------------------------------------------

    def _wills(self):
        watchers = [i for i, c in enumerate(self.clients) if c["role"] == "watch"]
        drained = self.phases[0][0] if self.phases else self.end
        self.wills = collections.Counter()
        for client, conns in self.conns.items():
            line = sorted(conns.values(), key=lambda c: c.opened)
            for n, c in enumerate(line):
                if c.will is None or c.acked is None or c.closed is None:
                    continue
                due = self._will_due(c, line[n + 1] if n + 1 < len(line) else None, drained)
                self.wills[due] += 1
                for w in watchers:
                    self._judge_will(w, c, due)

    def _will_due(self, c, back, drained):
        """yes, no, or unclear."""
        delay = c.will[1]
        if c.bye is not None and c.bye_code == 0:
            clear = c.how == h.CLOSED_AFTER_BYE and not self.faulty(c.bye - SEEN, c.closed)
            return "no" if clear else "unclear"
        gone = c.bye or c.closed
        if self.faulty(gone - SEEN, gone + SEEN):
            return "unclear"
        due = gone + delay
        if back is None or back.opened > due + WILL_LATE:
            late = self.faulty(due - SEEN, due + WILL_LATE)
            return "yes" if due + WILL_LATE < drained and not late else "unclear"
        if back.acked is not None and back.acked < due - WILL_EARLY and not back.clean and back.present:
            return "no"
        return "unclear"

    def _judge_will(self, watcher, c, due):
        pub = c.will[0]
        sure = [i for i in self.intervals.get((watcher, pub.topic), ()) if i.start is not None and i.start <= pub.sent
                and i.leaving is None and i.lost is None]
        said = (watcher, (pub.client, pub.seq)) in self.delivered
        if due == "no" and said:
            self.bad("will unwanted", c.closed, f"the will of {self.name(pub.client)} connection {c.number} was said")
        if due == "yes" and pub.qos > 0 and sure and not said:
            self.bad("will missing", c.closed, f"the will of {self.name(pub.client)} connection {c.number} was never said")

    # ---- figures ---------------------------------------------------------------------------------------------------------

    def summary(self):
        kinds = collections.Counter(v.kind for v in self.violations)
        return {"seed": self.header.get("seed"), "published": len(self.pubs), "acknowledged": self.acked, "due": self.due,
                "received": self.count[h.EVENTS["RECV"]], "connections": self.count[h.EVENTS["OPEN"]],
                "wills": dict(self.wills), "retained reads": len(self.reads), "dropped and counted": self.dropped,
                "violations": dict(kinds)}


def check_file(path, faults=(), drops=None):
    header, records = h.load(path)
    return Check(header, records, faults, drops).run()


def main():
    a = argparse.ArgumentParser()
    a.add_argument("history")
    a.add_argument("--faults", help="JSON: [[from ns, to ns, word], …]")
    a.add_argument("--drops", help="JSON: {client id: messages}")
    a.add_argument("--show", type=int, default=20)
    o = a.parse_args()
    read = lambda path, none: json.load(open(path)) if path else none
    c = check_file(o.history, [tuple(f) for f in read(o.faults, [])], read(o.drops, {}))
    print(json.dumps(c.summary(), indent=1))
    for v in c.violations[:o.show]:
        print(f"{v.ns / S:.3f} {v.kind}: {v.text}")
    return 1 if c.violations else 0


if __name__ == "__main__":
    sys.exit(main())
