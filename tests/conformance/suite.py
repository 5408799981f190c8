"""How the tests of this folder are written: one function proves one or more numbered statements, of one version or of both.

    suite = Suite(globals())

    @suite.proves("3:3.1.2-4", "5:3.1.2-5")
    def a_session_is_resumed(net): ...

becomes test_3_MQTT_3_1_2_4__a_session_is_resumed and test_5_MQTT_3_1_2_5__a_session_is_resumed.  A function runs once a
version and a way, however many statements it proves, and all run side by side: most of their time is waiting.

A way is a transport, and whether packets are sent whole or a byte at a time: tcp, tcp-split, tls, ...  CONFORMANCE_WAYS names
those that are taken, or "all"; by default each transport is taken once."""
import concurrent.futures
import itertools
import os
import re

import pytest

from strict import CONNACK, DISCONNECT, Peer

TRANSPORTS = ("tcp", "tls", "ws", "wss")
ALL_WAYS = [t + s for s in ("", "-split") for t in TRANSPORTS]
WAYS = os.environ.get("CONFORMANCE_WAYS", "tcp tls-split ws-split wss").replace("all", " ".join(ALL_WAYS)).split()
AT_ONCE = 24  # most of the time of a test is waiting
LEVEL = {3: 4, 5: 5}
TEST_NAME = re.compile(r"test_(?P<v>[35])_MQTT_(?P<n>\d+_\d+_\d+)_(?P<k>\d+)__(?P<what>\w+)\[(?P<way>[\w-]+)\]")
numbers = itertools.count(1)


class Net:
    """What one test sees: brokers, connections of its own, topics and client ids that no other test uses."""

    def __init__(self, brokers, v, way):
        self.brokers, self.v, self.five, self.peers = brokers, v, v == 5, []
        self.transport, _, split = way.partition("-")
        self.split = 1 if split else 0
        self.unique = f"n{next(numbers)}"

    def topic(self, name):
        return f"{self.unique}/{name}"

    def id(self, name):
        return f"{self.unique}{name}"

    def raw(self, broker="usual", login=False):
        """A connection on which nothing has been said; to a listener that wants credentials, or to one that wants none."""
        p = Peer(self.brokers.socket(broker, self.transport, login), LEVEL[self.v], self.split)
        self.peers.append(p)
        return p

    def peer(self, name, broker="usual", login=False, **kw):
        """A client that is let in.  CONNACK is its seen[0]."""
        p = self.raw(broker, login)
        p.connect(self.id(name), **kw)
        return p

    def kept(self, name, expiry=60, **kw):
        """A client whose session outlives its connection."""
        props = kw.pop("props", b"") + (b"\x11" + expiry.to_bytes(4, "big") if self.five else b"")
        return self.peer(name, clean=kw.pop("clean", False), props=props, **kw)

    def named(self, role, name=None, **kw):
        """A client that logs in as the identity of that role, with its rights and limits."""
        secret = self.brokers.secret(role)
        return self.peer(role + ":" + (name or self.unique), self.brokers.home(role), login=True, username=role, password=secret, **kw)

    def close(self):
        for p in self.peers:
            p.close()


class Suite:
    bodies = {}  # (function, version, way) -> its run

    def __init__(self, module):
        self.module = module

    def proves(self, *ids):
        def register(fn):
            for one in ids:
                v, number = one.split(":")
                name = f"test_{v}_MQTT_{re.sub('[.-]', '_', number)}__{fn.__name__}"
                assert TEST_NAME.fullmatch(name + "[tcp]") and name not in self.module, name
                self.module[name] = self._test(fn, int(v))
            return fn
        return register

    @staticmethod
    def _test(fn, v):
        @pytest.mark.parametrize("way", WAYS)
        def test(bodies, way):
            bodies.result(fn, v, way)
        test.body = fn, v
        test.__doc__ = fn.__doc__
        return test

    def refuses(self, ids, what, data, codes=(), state="open"):
        """Bytes that end the connection.  data: bytes, or a function of the net; state: open, or new (the first bytes on a
        connection).  codes: what a CONNACK or DISCONNECT of 5.0 may say."""
        def body(net):
            p = net.raw() if state == "new" else net.peer("x")
            p.send_all(data(net) if callable(data) else data)
            check_refused(net, p, codes)
        body.__name__ = what
        self.proves(*ids)(body)


def check_refused(net, p, codes, quiet=False):
    """Closed, with no more than a fitting CONNACK or DISCONNECT before it."""
    seen = p.ended()
    if not net.five or quiet:
        assert seen == [], f"{seen!r} before closing"
        return
    assert len(seen) <= 1, f"{seen!r} before closing"
    for q in seen:
        assert q.kind == (CONNACK if len(p.seen) == 1 else DISCONNECT), f"{q!r}"
        assert not codes or q.code in codes, f"{q!r} where one of {[hex(c) for c in codes]} fits"


class Bodies:
    """Runs the bodies of the tests that were chosen, side by side, each once."""

    def __init__(self, brokers, items):
        self.brokers = brokers
        self.pool = concurrent.futures.ThreadPoolExecutor(AT_ONCE)
        chosen = dict.fromkeys((*i.function.body, i.callspec.params["way"]) for i in items if hasattr(getattr(i, "function", None), "body"))
        self.runs = {body: self.pool.submit(self._run, *body) for body in chosen}

    def _run(self, fn, v, way):
        net = Net(self.brokers, v, way)
        try:
            fn(net)
        finally:
            net.close()

    def result(self, fn, v, way):
        self.runs[fn, v, way].result()
