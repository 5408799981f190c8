"""Slow and hoarding attackers: every phase has an absolute deadline, every hoard a limit; others notice nothing (I04, I17)."""
import socket
import time

import pytest
from mqtt import Closed, connect, publish

rows = pytest.mark.rows


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from picket import Picket
    limits = ("connect_deadline = 1s\n tls_handshake_deadline = 1s\n packet_deadline = 1s\n connections_waiting = 50\n"
              "queue_messages = 10\n offline_messages = 10\n subscriptions = 5\n retained_identity = 3\n")
    with Picket(tmp_path_factory.mktemp("slow"), limits=limits,
                policy="role t { publish #; subscribe # }\nrole tester { publish #; subscribe # }\n") as p:
        p.secret = p.add("dev", "t")
        yield p


def closes_within(sock, seconds):
    sock.settimeout(seconds)
    try:
        while sock.recv(4096):
            pass
    except ConnectionError:
        pass
    except (socket.timeout, TimeoutError):
        return False
    return True


def drip(sock, data, pause=0.3):
    """One byte at a time, slower than any idle timeout would notice; ends when the peer closes."""
    try:
        for i in range(len(data)):
            sock.sendall(data[i:i + 1])
            time.sleep(pause)
    except OSError:
        pass


@pytest.mark.parametrize("to", ["plain", "tls"])
def test_silence_before_connect(broker, to):
    assert closes_within(broker.socket(to), 4)


@rows("TLS-SLOWHS")
def test_silence_before_the_handshake(broker):
    assert closes_within(socket.create_connection(("127.0.0.1", broker.port)), 4)


def test_dripping_connect(broker):
    s = broker.socket("plain")
    drip(s, connect("dev", "dev", broker.secret)[:12])
    assert closes_within(s, 4)


@rows("TLS-SLOWHS")
def test_dripping_handshake(broker):
    s = socket.create_connection(("127.0.0.1", broker.port))
    drip(s, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00")
    assert closes_within(s, 4)


@rows("SLOWITE-1")
def test_dripping_packet_after_login(broker):
    c = broker.login("dev", broker.secret, to="plain")
    drip(c.sock, publish("a", "x" * 100)[:20])
    assert closes_within(c.sock, 4)


@rows("SLOWITE-1")
def test_waiting_connections_are_bounded_and_others_enter(broker):
    """SLOWITE-1: holders of the waiting places are refused beyond the limit and out after the deadline."""
    held = []
    for _ in range(120):
        try:
            held.append(socket.create_connection(("127.0.0.1", broker.plain_port), 2))
        except OSError:
            break
    time.sleep(1.8)
    c = broker.login("dev", broker.secret, to="plain")
    c.ping()
    for s in held:
        s.close()


@rows("KA-ZERO")
def test_keep_alive_is_enforced(broker):
    c = broker.login("dev", broker.secret, to="plain", keep_alive=1)
    assert closes_within(c.sock, 5)


def test_subscriptions_are_bounded(broker):
    c = broker.login("dev", broker.secret, to="plain", version=5)
    got = [c.subscribe(f"s/{i}", pid=i + 1) for i in range(8)]
    assert got == [0] * 5 + [0x97] * 3


def test_retained_messages_are_bounded(broker):
    c = broker.login("dev", broker.secret, to="plain", version=5)
    codes = []
    for i in range(5):
        c.publish(f"r/{i}", "x", qos=1, pid=i + 1, retain=True)
        codes.append((c.expect(4)[1] + b"\0")[2])
    assert [x for x in codes if x == 0x97] == [0x97, 0x97]


@rows("SESS-QUEUE")
def test_offline_queue_is_bounded(broker):
    c = broker.login("dev", broker.secret, to="plain", clean=False)
    c.subscribe("q", 1)
    c.send(b"\xe0\0")
    time.sleep(0.2)
    w = broker.client("open")
    assert w.login("w")[1] == 0
    for i in range(50):
        w.publish("q", str(i), qos=1, pid=i + 1)
        w.expect(4)
    c = broker.client("plain")
    assert c.login("dev", "dev", broker.secret, clean=False) == b"\x01\x00"
    got = []
    try:
        while True:
            got.append(c.message(1)[1])
    except (socket.timeout, TimeoutError):
        pass
    assert got == [str(i).encode() for i in range(10)], "oldest kept, newest refused"
