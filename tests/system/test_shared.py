"""Shared subscriptions of the release build: members on both shards that die, stall and come back; strategies that a reload changes."""
import itertools
import time

import pytest
from picket import Picket
from strict import PUBACK, PUBLISH, Peer

names = itertools.count(1)


@pytest.fixture(scope="module")
def picket(tmp_path_factory):
    with Picket(tmp_path_factory.mktemp("shared")) as p:
        yield p


class Group:
    """Members of one group, and a publisher."""

    def __init__(self, picket):
        self.picket, self.topic, self.pid = picket, f"shared/{next(names)}", 0
        self.publisher = self.client("publisher", expiry=0)

    def client(self, name, expiry, window=None):
        c = Peer(self.picket.socket("open"), 5)
        c.connect(f"{self.topic}:{name}", clean=expiry == 0, window=window, props=b"\x11" + expiry.to_bytes(4, "big"))
        return c

    def member(self, name, expiry=600, window=None, qos=1):
        c = self.client(name, expiry, window)
        if not c.seen[0].present:
            c.sub(f"$share/g/{self.topic}/#", options=qos)
        return c

    def say(self, *payloads, qos=1, topic="x"):
        for p in payloads:
            self.pid += 1
            self.publisher.put(f"{self.topic}/{topic}", str(p), qos, pid=self.pid)


def hear(*members, enough=None, seconds=3, ack=True):
    """What each member got until it was enough in all (or until the time is over)."""
    got, end = [[] for _ in members], time.monotonic() + seconds
    while time.monotonic() < end and (enough is None or sum(map(len, got)) < enough):
        for heard, m in zip(got, members):
            try:
                p = m.get(PUBLISH, 0.05)
            except TimeoutError:
                continue
            if p.qos == 1 and ack:
                m.ack(PUBACK, p.pid)
            heard.append(p.payload.decode())
    return got


def test_a_member_that_dies_hands_on_what_it_has_not_acknowledged(picket):
    g = Group(picket)
    a, b = g.member("a"), g.member("b")
    g.say(*range(10))
    first = hear(a, enough=5, ack=False)[0]
    second = hear(b, enough=5)[0]
    assert sorted(first + second, key=int) == [str(i) for i in range(10)]
    a.close()
    assert sorted(hear(b, enough=5)[0]) == sorted(first)
    a = g.member("a")
    a.nothing(0.5)  # its session goes on, and has nothing left
    g.say("new", "new")
    assert hear(a, b, enough=2) == [["new"], ["new"]]


def test_a_member_that_never_acknowledges_keeps_its_window_and_no_more(picket):
    g = Group(picket)
    a, b = g.member("a", window=3), g.member("b", window=3)
    g.say(*range(60))
    stuck = hear(a, enough=3, ack=False)[0]
    rest = hear(b, enough=57, seconds=20)[0]
    assert len(stuck) == 3 and sorted(stuck + rest, key=int) == [str(i) for i in range(60)]


def test_who_comes_first_gets_what_waited_for_all(picket):
    g = Group(picket)
    for m in (g.member("a"), g.member("b"), g.member("c")):
        m.close()
    g.say(*range(30))
    b = g.member("b")
    assert sorted(hear(b, enough=30, seconds=10)[0], key=int) == [str(i) for i in range(30)]
    for name in "ac":
        g.member(name).nothing()


def test_strategies_follow_a_reload(picket):
    def use(strategy):
        text = [line for line in picket.conf.read_text().splitlines() if not line.startswith("shared_strategy")]
        picket.conf.write_text(f"shared_strategy = {strategy}\n" + "\n".join(text) + "\n")
        picket.cli("config", "reload")

    g = Group(picket)
    members = [g.member(n) for n in "abcd"]
    use("sticky")
    g.say(*range(12))
    assert sorted(map(len, hear(*members, enough=12))) == [0, 0, 0, 12]
    use("hash_topic")
    owners = []
    for topic in range(16):
        g.say("x", "x", "x", topic=topic)
        heard = list(map(len, hear(*members, enough=3)))
        assert sorted(heard) == [0, 0, 0, 3]
        owners.append(heard.index(3))
    assert len(set(owners)) > 1
    use("least_loaded")
    g.say(*range(8))
    assert list(map(len, hear(*members, enough=8))) == [2, 2, 2, 2]
    use("round_robin")
    g.say(*range(8))
    assert list(map(len, hear(*members, enough=8))) == [2, 2, 2, 2]


def test_what_is_too_large_for_one_goes_to_another(picket):
    g = Group(picket)
    small = Peer(picket.socket("open"), 5)
    small.connect(f"{g.topic}:small", limit=200)
    small.sub(f"$share/g/{g.topic}/#", options=1)
    large = g.member("large")
    g.say(*["y" * 500] * 6)
    assert len(hear(large, enough=6)[0]) == 6
    small.nothing()
