"""Floods and hoards by one valid device and by strangers: each is bounded for the identity, whatever client ids it uses; memory
stays where it was, and somebody else is served all the while."""
import functools
import resource
import shutil
import socket
import subprocess
import threading
import time

import pytest
from mqtt import Closed, ack, connect, packet, publish, subscribe, text, unsubscribe

rows = pytest.mark.rows
POLICY = """
role t { publish t/${device}/#; subscribe t/${device}/#; limit publish 100000/s burst 100000 }
role w { publish #; subscribe # }
role tester { publish #; subscribe # }
"""
SAN = 8  # a sanitizer keeps what was freed


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from picket import Picket, sanitized
    with Picket(tmp_path_factory.mktemp("hoard"), policy=POLICY, limits="output_stall = 1s\n connections_source = 5000\n") as p:
        p.secret = {n: p.add(n, "t") for n in ("hoarder", "flooder", "racer", "q2", "slow", "churn", "acks", "wills", "ret")}
        p.secret["bystander"] = p.add("bystander", "w")
        p.secret["service"] = p.add("service", "w", kind="service")
        p.factor = SAN if sanitized() else 1
        yield p


@pytest.fixture(scope="module")
def bystander(broker):
    c = broker.login("bystander", broker.secret["bystander"])
    yield c
    c.close()


@pytest.fixture(autouse=True)
def served(broker, bystander):
    before = broker.children()
    yield
    bystander.ping()
    assert broker.children() == before


def rss(p):
    """KiB that the broker process holds."""
    line = next(l for l in open(f"/proc/{p.children()['broker']}/status") if l.startswith("VmRSS"))
    return int(line.split()[1])


def enter(broker, name, **kw):
    return broker.login(name, broker.secret[name], to="plain", **kw)


def drain(c):
    """All packets that are there, until the answer to a ping."""
    c.send(b"\xc0\0")
    seen = []
    while True:
        got = c.read()
        if got[0] == 0xD0:
            return seen
        seen.append(got)


@rows("SESS-HOARD", "WILLDELAY-ABUSE", "CVE-2025-62723", "FLOOD-CONNECT", "BIFRO-CLEANSTART", "HIVE-WILLLEAK")
def test_sessions_of_all_client_ids_count_together(broker):
    """name:1 … name:60, each persistent with a will that waits for ever: sixteen stay, the rest end with their connection."""
    kept = []
    for i in range(60):
        c = broker.client("plain", 5)
        body = c.login(f"hoarder:{i}", "hoarder", broker.secret["hoarder"], props=b"\x11\xff\xff\xff\xff",
                       will=("t/hoarder/will", b"x" * 8000, 0, False), will_props=b"\x18\xff\xff\xff\xff")
        assert body[1] == 0
        c.subscribe(f"t/hoarder/{i}", 1)
        c.close()
        c = broker.client("plain", 5)  # the old one has gone when this one is in
        kept.append(c.login(f"hoarder:{i}", "hoarder", broker.secret["hoarder"], clean=False, props=b"\x11\xff\xff\xff\xff")[0])
        c.close()
    assert kept[0] == 1 and sum(kept) == 16, kept


@rows("SESS-HOARD")
def test_connections_of_all_client_ids_count_together(broker):
    held, codes = [], []
    for i in range(8):
        c = broker.client("plain", 5)
        codes.append(c.login(f"flooder:{i}", "flooder", broker.secret["flooder"])[1])
        held.append(c)
    assert codes == [0] * 4 + [0x97] * 4
    for c in held:
        c.close()


@rows("RET-FLOOD", "RMQ-RETAINLIM", "MOSQ-87", "RET-BIG")
def test_retained_of_all_client_ids_count_together(broker):
    full = 0
    for i in range(4):
        c = enter(broker, "ret", version=5, client_id=f"ret:{i}")
        for k in range(40):
            c.publish(f"t/ret/{i}/{k}", "x", qos=1, pid=k + 1, retain=True)
            full += (c.expect(4)[1] + b"\0")[2] == 0x97
        c.close()
    assert full == 160 - 100


@rows("TAKEOVER-RACE", "CVE-2026-22040", "CVE-2026-32134", "TAKEOVER-FLAP")
@pytest.mark.parametrize("clean", [True, False])
def test_a_hundred_at_once_one_wins(broker, clean):
    clients = [broker.client("plain", 5) for _ in range(100)]
    start, codes = threading.Barrier(len(clients)), []

    def go(c):
        start.wait()
        try:
            codes.append(c.login("racer", "racer", broker.secret["racer"], clean=clean, props=b"\x11\0\0\x0e\x10")[1])
        except Closed:
            codes.append(None)

    threads = [threading.Thread(target=go, args=(c,)) for c in clients]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    # Who is taken over before its session is on disk hears nothing at all: there is no session to speak of yet.
    assert 0 in codes and set(codes) <= {0, None}
    alive = []
    for c in clients:
        try:
            c.ping()
            alive.append(c)
        except (Closed, OSError, AssertionError):
            pass  # told 0x8e, or reset
    assert len(alive) == 1
    for c in clients:
        c.close()


@rows("CVE-2023-28366", "QOS2-EXHAUST", "EMQX-10055", "MOSQ-2026-RXMAX")
@pytest.mark.parametrize("version,most", [(5, 64), (4, 1024)])
def test_qos2_that_is_never_released(broker, version, most):
    """Distinct identifiers, never a PUBREL, nothing read: closed at the window; a reconnect does not make it larger."""
    for _ in range(2):
        c = enter(broker, "q2", version=version, clean=False, **({"props": b"\x11\0\0\0\x3c"} if version == 5 else {}))
        try:
            for pid in range(1, most + 400):
                c.publish("t/q2/x", "x" * 300, qos=2, pid=pid)
        except OSError:
            pass
        seen = c.closed(60)
        assert sum(f >> 4 == 5 for f, _ in seen) <= most
        if version == 5:
            assert seen[-1] == (0xE0, b"\x93") or seen[-1][1][:1] == b"\x93"
    c = enter(broker, "q2", version=version)  # clean: all is given back
    c.publish("t/q2/x", "x", qos=2, pid=7)
    c.expect(5)
    c.close()


@rows("QOS-NOACK", "MOCHI-PKTID", "CVE-2026-95845", "SHARE-BLACKHOLE", "CVE-2024-42644")
def test_messages_that_are_never_acknowledged(broker, bystander):
    """A window of 64 whatever the receiver maximum claims; the queue behind it has its limit."""
    before = rss(broker)
    c = enter(broker, "slow", version=5, props=b"\x21\xff\xff")
    assert c.subscribe("t/slow/#", 2) == 2
    s = broker.login("service", broker.secret["service"], to="plain")
    for i in range(3000):
        s.publish("t/slow/x", "y" * 1000, qos=1, pid=i % 60000 + 1)
        if i % 50 == 49:
            drain(s)
    assert len([1 for f, _ in drain(c) if f >> 4 == 3]) == 64
    assert rss(broker) - before < 8192 * broker.factor
    c.close()
    s.close()


@rows("SLOW-READ", "CVE-2024-48077", "CVE-2026-95842", "WOLF-10338")
def test_a_reader_that_reads_nothing_is_closed(broker, bystander):
    """QoS 0 to a stalled socket: dropped beyond the output buffer, closed after output_stall; others get everything."""
    c = enter(broker, "slow")
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert c.subscribe("t/slow/#") == 0
    assert bystander.subscribe("t/slow/#", 1) in (0, 1)
    before = rss(broker)
    s = broker.login("service", broker.secret["service"], to="plain")
    for i in range(300):
        s.publish("t/slow/x", b"z" * 50000)
        bystander.message()
    s.ping()
    assert rss(broker) - before < 16384 * broker.factor
    bystander.send(unsubscribe(5, "t/slow/#"))
    bystander.expect(11)
    with pytest.raises((Closed, TimeoutError, OSError)):
        for _ in range(100):
            time.sleep(0.1)  # until it is closed: the log says so
            if 'client="slow"' in broker.log() and "event=disconnect" in broker.log().rsplit('client="slow"', 1)[0].splitlines()[-1]:
                raise Closed
    s.close()
    c.close()


@rows("SUB-FLOOD", "SHARE-FLOOD", "MOSQ-412", "SUB-BIGPKT", "CVE-2025-59946")
def test_subscribe_churn_leaves_nothing(broker):
    c = enter(broker, "churn", version=5)
    got = []
    for i in range(150):
        got.append(c.subscribe(f"$share/g{i}/t/churn/{i}" if i % 2 else f"t/churn/{i}"))
    assert got == [0] * 100 + [0x97] * 50
    many = packet(0x82, b"\0\1\0" + b"".join(text(f"t/churn/{i}") + b"\0" for i in range(200)))
    c.send(many)
    codes = c.expect(9)[1][3:]
    assert len(codes) == 200 and sum(x < 0x80 for x in codes) <= 20
    for i in range(150):
        c.send(unsubscribe(1, f"$share/g{i}/t/churn/{i}" if i % 2 else f"t/churn/{i}", version=5))
        c.expect(11)
    c.send(packet(0xA2, b"\0\1\0" + text("a") * 300))
    assert c.closed()[-1][1][:1] == b"\x97", "more filters than there can be"
    c = enter(broker, "churn", version=5)
    before = rss(broker)
    for round in range(20):
        for i in range(90):
            c.send(subscribe(1, (f"t/churn/{round}/{i}", 0), version=5) + unsubscribe(2, f"t/churn/{round}/{i}", version=5))
        for i in range(180):
            c.read()
    assert rss(broker) - before < 2048 * broker.factor
    c.close()


@rows("SUB-WILDAMP", "SUB-EXPMATCH", "CVE-2025-59947", "CVE-2024-8376")
def test_overlapping_subscriptions_are_one_copy(broker, bystander):
    """Every combination of level and '+', and a share of the same: one copy for the session, one for the share."""
    c = enter(broker, "churn", version=5)
    assert c.subscribe("t/churn/#") == 0
    for k in range(64):
        levels = ["+" if k >> i & 1 else "a" for i in range(6)]
        assert c.subscribe("t/churn/" + "/".join(levels)) == 0
    assert c.subscribe("$share/g/t/churn/#") == 0
    c.publish("t/churn/" + "a/" * 5 + "a", "x")
    assert len([1 for f, _ in drain(c) if f >> 4 == 3]) == 2
    c.send(unsubscribe(3, "$share/g/t/churn/#", version=5) + unsubscribe(4, "$share/g/t/churn/#", version=5))
    assert c.expect(11)[1][-1] == 0 and c.expect(11)[1][-1] == 0x11
    c.publish("t/churn/" + "a/" * 5 + "a", "x")
    assert len([1 for f, _ in drain(c) if f >> 4 == 3]) == 1
    c.close()


@rows("RET-STORM", "RET-DELRACE", "MOCHI-46", "CVE-2024-42645", "CVE-2026-42209")
def test_retained_replay_again_and_again(broker):
    before = None
    c = enter(broker, "ret", version=5)
    for round in range(30):
        c.send(b"".join(subscribe(1, ("t/ret/#", 1), version=5) + publish("t/ret/gone", str(round), retain=True, version=5) +
                        publish("t/ret/gone", "", retain=True, version=5) + unsubscribe(1, "t/ret/#", version=5) for _ in range(10)))
        for f, body in drain(c):
            if f >> 4 == 3 and f & 6:
                n = int.from_bytes(body[:2], "big")
                c.send(ack(0x40, int.from_bytes(body[2 + n:4 + n], "big")))
        before = before or rss(broker)
    assert rss(broker) - before < 8192 * broker.factor
    c.close()


@rows("CVE-2017-7654", "CVE-2023-33656", "CVE-2024-42649", "CVE-2021-34431", "MOSQ-2025-SUBLEAK", "RMQ-UNAUTHHEAP", "GHSA-r72h-j7qq-v6qg",
      "CVE-2019-0222", "FLOOD-CONN")
def test_malformed_floods_leave_nothing(broker):
    """Broken CONNECTs with wills, second CONNECTs, half a SUBSCRIBE: memory and descriptors return to where they were."""
    import os
    pid = broker.children()["broker"]
    will = connect("a", "u", "p", will=("w", "x" * 500, 0, False))
    bad = [packet(0x10, will[3:-3]), packet(0x10, will[3:] + b"\0"), will[:-5], b"\x10\xff\xff\xff\x7f" + will[2:],
           packet(0x10, will[3:400])]
    live = [connect("x"), packet(0x82, b"\0\1" + text("a") + b"\0" + text("b#") + b"\7"), packet(0x30, text("a#"))]

    def round():
        for data in bad:
            for _ in range(20):
                s = broker.socket("plain")
                try:
                    s.sendall(data)
                except OSError:
                    pass
                s.close()
        for data in live:
            for _ in range(10):
                c = broker.client("open")
                c.login("")
                c.send(data)
                c.closed()
                c.close()

    for _ in range(2):
        round()
    before = rss(broker)
    for _ in range(5):
        round()
    assert rss(broker) - before < 1024 * broker.factor
    broker.cli("status")
    for _ in range(100):
        if len(os.listdir(f"/proc/{pid}/fd")) < 80:
            break
        time.sleep(0.05)
    assert len(os.listdir(f"/proc/{pid}/fd")) < 80


@rows("MSGEXP-ABUSE", "RET-EXPIRE", "MOQ-959")
def test_message_expiry_at_its_ends(broker):
    """0 and the largest there is: neither overflows."""
    c = enter(broker, "ret", version=5)
    c.subscribe("t/ret/e", 0)
    for value in (b"\xff\xff\xff\xff", b"\0\0\0\1"):
        c.publish("t/ret/e", "x", props=b"\x02" + value)
        assert c.message()[1] == b"x"
    c.close()


@rows("KA-ZERO", "MOSQ-2021-KEEPALIVE311")
def test_keep_alive_zero_is_told_ours(broker):
    for wanted in (0, 65535):
        c = broker.client("plain", 5)
        body = c.login("acks", "acks", broker.secret["acks"], keep_alive=wanted)
        assert b"\x13\x04\xb0" in body, "Server Keep Alive 1,200"
        c.close()


@rows("CVE-2017-7651", "RMQ-CONNSIZE", "TLS-BIGCH")
def test_handshakes_that_claim_much(broker):
    """A ClientHello of 16 MiB claimed, many fragments, 100 at once: bounded, and out at the deadline at the latest."""
    before = rss(broker)
    held = []
    for _ in range(100):
        s = socket.create_connection(("127.0.0.1", broker.port))
        s.sendall(b"\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03" + bytes(200))
        held.append(s)
    for s in held[:20]:
        try:
            s.sendall(bytes(16384 - 207) + (b"\x16\x03\x01\x40\x00" + bytes(16384)) * 8)
        except OSError:
            pass
    grown = rss(broker) - before
    for s in held:
        s.close()
    assert grown < 100 * 64 * broker.factor


@rows("TLS-KEYUPDATE", "TLS-ALERTFLOOD", "TLS-RENEG")
@pytest.mark.skipif(not shutil.which("openssl"), reason="openssl(1) says these things")
@pytest.mark.parametrize("version,letter", [("-tls1_3", b"K"), ("-tls1_2", b"R")])
def test_key_updates_and_renegotiation(broker, version, letter):
    """A flood of KeyUpdate with an answer wanted; renegotiation: refused or ended, and nothing grows."""
    before = rss(broker)
    p = subprocess.Popen(["openssl", "s_client", version, "-connect", f"127.0.0.1:{broker.port}", "-CAfile", broker.ca],
                         stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(150):
            p.stdin.write(letter + b"\n")
            p.stdin.flush()
            time.sleep(0.002)
    except OSError:
        pass
    p.kill()
    p.wait()
    assert rss(broker) - before < 2048 * broker.factor


@rows("FD-EXHAUST", "CVE-2017-7652")
def test_descriptors_run_out(tmp_path, monkeypatch):
    """Strangers take every place; the one who was in is served, a reload keeps what was refused refused, and later everybody enters."""
    import picket
    few = functools.partial(subprocess.Popen, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128)))
    monkeypatch.setattr(picket.subprocess, "Popen", few)
    with picket.Picket(tmp_path / "p", policy=POLICY, limits="connections_waiting = 100000\n connect_deadline = 3s\n") as p:
        monkeypatch.undo()
        pid = p.children()["broker"]
        limits = open(f"/proc/{pid}/limits").read().split("Max open files")[1].split()
        if int(limits[0]) > 128:
            pytest.skip("root may raise the limit here")
        run_out(p, pid)


def run_out(p, pid):
    secret = p.add("inside", "w")
    c = p.login("inside", secret)
    held = [socket.create_connection(("127.0.0.1", p.plain_port)) for _ in range(300)]
    c.ping()
    p.cli("config", "reload")
    c.ping()
    for s in held:
        s.close()
    for _ in range(100):
        try:
            anonymous = p.client("plain")
            anonymous.send(connect("x"))
            assert [f for f, _ in anonymous.closed()] in ([0x20], [])
            p.login("inside", secret, client_id="inside:2").close()
            break
        except (OSError, AssertionError, Closed):
            time.sleep(0.1)
    else:
        raise AssertionError("nobody enters afterwards")
    assert p.children()["broker"] == pid
    c.ping()


@rows("LOG-FLOOD")
def test_log_lines_of_one_source_are_bounded(broker):
    """A thousand refused strangers: a hundred lines and then ten a second, the rest is counted."""
    before = len(broker.log().splitlines())
    for i in range(600):
        c = broker.socket("plain")
        c.sendall(packet(0x10, text("MQTT") + b"\x06\x02\0\x3c" + text("a")))
        c.close()
    lines = broker.log().splitlines()[before:]
    assert sum("event=refused" in l or "event=disconnect" in l for l in lines) < 500
