"""What was acknowledged survives: real clients across the end of the broker, of everything, in order and out of order; what
happens to a store that is damaged, foreign, sealed with another key; backups; and what operators see of it."""
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import stat
import subprocess
import time

import paho.mqtt.client as paho
import pytest

import mqtt
from picket import BUILD, Picket, Refused


def wait_for(what, timeout=20):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


class Paho:
    """A paho client with a session that outlives it."""

    def __init__(self, p, name, token, will=None):
        self.p, self.got, self.published = p, [], set()
        self.c = paho.Client(client_id=name, clean_session=False)
        self.c.username_pw_set(name, token)
        self.c.on_message = lambda c, u, m: self.got.append((m.topic, m.payload.decode(), m.retain))
        self.c.on_publish = lambda c, u, mid: self.published.add(mid)
        self.c.reconnect_delay_set(1, 1)
        if will:
            self.c.will_set(*will)

    def start(self):
        self.c.connect("127.0.0.1", self.p.plain_port, keepalive=10)
        self.c.loop_start()
        wait_for(self.c.is_connected)
        return self

    def stop(self):
        self.c.disconnect()
        self.c.loop_stop()

    def subscribe(self, topic, qos):
        done = []
        self.c.on_subscribe = lambda *a: done.append(1)
        self.c.subscribe(topic, qos)
        wait_for(lambda: done)

    def publish(self, topic, payload, qos, retain=False):
        mid = self.c.publish(topic, payload, qos, retain).mid
        wait_for(lambda: mid in self.published)

    def wait(self, n):
        wait_for(lambda: len(self.got) >= n)
        return [g[1] for g in self.got]


def kill_broker(p):
    old = p.children()["broker"]
    os.kill(old, signal.SIGKILL)
    wait_for(lambda: p.children().get("broker", old) != old)


def kill_all(p):
    """As when the machine loses its power, but for the page cache."""
    pids = [p.process.pid, *p.children().values()]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    p.process.wait()
    p.log_file.close()
    wait_for(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids))
    p.start()


def restart(p):
    p.process.send_signal(signal.SIGTERM)
    assert p.process.wait(15) == 0
    p.log_file.close()
    p.start()


ENDS = {"broker-killed": kill_broker, "all-killed": kill_all, "restart": restart}
ends = pytest.mark.parametrize("end", ENDS.values(), ids=ENDS.keys())


@ends
def test_queues_retained_and_qos2_survive(make_picket, end):
    p = make_picket()
    sub, pub = p.add("sub"), p.add("pub")
    s = Paho(p, "sub", sub).start()
    s.subscribe("q/#", 2)
    s.stop()
    c = Paho(p, "pub", pub).start()
    for i in range(30):
        c.publish(f"q/{i % 2}", f"m{i}", 1 + i % 2)
    c.publish("q/kept", "still here", 1, retain=True)
    c.stop()
    end(p)
    s = Paho(p, "sub", sub).start()
    s.wait(31)
    time.sleep(0.3)
    for qos in (0, 1):  # paho hands out QoS 2 when it is released; in order all the same
        assert [m for t, m, _ in s.got if t == f"q/{qos}"] == [f"m{i}" for i in range(qos, 30, 2)]
    assert len(s.got) == 31
    s.stop()
    fresh = p.login("pub", pub, "plain", client_id="pub:2")
    fresh.subscribe("q/kept")
    assert fresh.message()[:2] == ("q/kept", b"still here")
    status = p.json("store", "status")
    assert status["persistent"] and status["sessions"] == 2 and status["retained"] == 1 and status["queued"] == 0
    assert status["clean"] == (end is restart)


@ends
def test_qos2_in_the_middle(make_picket, end):
    """The identifiers of both directions mean after the end what they meant before it."""
    p = make_picket()
    a, b = p.add("a"), p.add("b")
    r = p.login("b", b, "plain", clean=False)
    assert r.subscribe("x", 2) == 2
    c = p.login("a", a, "plain", clean=False)
    c.publish("x", "once", qos=2, pid=9)
    c.expect(5)  # PUBREC: it is ours now
    topic, rest, first = receive(r)
    assert (topic, first >> 1 & 3) == ("x", 2)
    r.send(mqtt.ack(0x50, rest))  # PUBREC
    r.expect(6)  # PUBREL: it has been released
    end(p)
    c = p.login("a", a, "plain", clean=False)
    c.publish("x", "once", qos=2, pid=9, dup=True)  # again, as it may
    c.expect(5)
    c.send(mqtt.ack(0x62, 9))
    c.expect(7)
    r = p.login("b", b, "plain", clean=False)
    first, body = r.expect(6)  # PUBREL again, and no second copy of the message
    assert int.from_bytes(body, "big") == rest
    r.send(mqtt.ack(0x70, rest))
    assert r.quiet(0.5)
    c.publish("x", "another", qos=2, pid=9)  # the identifier is free again
    c.expect(5)
    c.send(mqtt.ack(0x62, 9))
    c.expect(7)
    assert receive(r)[0] == "x"


def receive(c):
    """(topic, packet identifier, first byte) of a QoS 1 or 2 PUBLISH; acknowledges nothing."""
    first, body = c.expect(3)
    n = int.from_bytes(body[:2], "big")
    return body[2:2 + n].decode(), int.from_bytes(body[2 + n:4 + n], "big"), first


@ends
def test_wills_fall_due(make_picket, end):
    """Who was connected when all ended has lost his connection."""
    p = make_picket()
    w, s = p.add("w"), p.add("s")
    watcher = p.login("s", s, "plain", clean=False)
    watcher.subscribe("last/#", 1)
    watcher.close()
    c = p.login("w", w, "plain", clean=False, will=("last/words", "gone", 1, False))
    c.ping()
    end(p)
    watcher = p.login("s", s, "plain", clean=False)
    assert watcher.message(10)[:2] == ("last/words", b"gone")


def test_nothing_is_stored_for_who_wants_nothing(make_picket):
    p = make_picket()
    t = p.add("t")
    before = p.json("store", "status")["operations"]
    c = p.login("t", t, "plain")
    c.subscribe("x", 1)
    for i in range(20):
        c.publish("x", "y", qos=1, pid=i + 1)
    got = [c.read()[0] >> 4 for _ in range(40)]
    assert got.count(4) == 20 and got.count(3) == 20
    c.close()
    assert p.json("store", "status")["operations"] == before


def test_persistence_off(make_picket):
    p = make_picket(config="persistence = off\n")
    t = p.add("t")
    c = p.login("t", t, "plain", clean=False)
    c.subscribe("x", 1)
    c.close()
    assert not (p.state / "store").exists()
    assert p.json("store", "status")["persistent"] is False
    for verb in (["check"], ["backup", p.folder / "b"], ["restore", p.conf, "--yes"]):
        with pytest.raises(Refused):
            p.cli("store", *verb)
    assert not (p.folder / "b").exists()
    c = p.login("t", t, "plain", clean=False)  # sessions live in memory, as long as picketd
    kill_broker(p)
    c = p.client("plain")
    assert c.login("t", "t", t, clean=False)[0] == 0


# ---- identities that have gone meanwhile ---------------------------------------------------------------------------------

def stored_session(p, name, token):
    c = p.login(name, token, "plain", clean=False)
    c.subscribe("x", 1)
    c.close()


def present(p, name, token):
    """Does the session of before exist?"""
    c = p.client("plain")
    body = c.login(name, name, token, clean=False)
    assert body[1] == 0
    c.send(mqtt.DISCONNECT)
    c.close()
    return bool(body[0])


def test_sessions_of_the_revoked_are_gone(make_picket):
    p = make_picket()
    tokens = {n: p.add(n) for n in ("stays", "revoked", "removed")}
    for name, token in tokens.items():
        stored_session(p, name, token)
    c = p.login("removed", tokens["removed"], "plain")
    c.publish("kept", "of one who is removed", qos=1, pid=1, retain=True)
    c.expect(4)
    c.close()
    p.cli("device", "revoke", "revoked", "--yes")
    p.cli("device", "remove", "removed", "--yes")
    kill_all(p)
    assert p.json("store", "status")["sessions"] == 1 and p.json("store", "status")["retained"] == 0
    assert present(p, "stays", tokens["stays"])


def test_a_number_that_means_another_now(make_picket):
    """auth was begun anew, the store was not: the first identity is another one, and gets nothing of the old one's."""
    p = make_picket()
    stored_session(p, "old", p.add("old"))
    p.stop()
    shutil.rmtree(p.state / "auth")
    p.start()
    token = p.add("new")
    assert p.json("store", "status")["sessions"] == 0
    assert not present(p, "new", token)
    assert "1 whose owner or time had gone" in p.log()


def test_broker_waits_for_auth(make_picket):
    """Without the rights of those who own sessions nobody is served; who comes early waits."""
    p = make_picket()
    token = p.add("t")
    stored_session(p, "t", token)
    os.kill(p.children()["auth"], signal.SIGSTOP)
    try:
        kill_broker(p)
        c = p.client("plain")  # the listening socket is the supervisor's
        c.send(mqtt.connect("t", "t", token, clean=False))
        assert c.quiet(1)
    finally:
        os.kill(p.children()["auth"], signal.SIGCONT)
    assert c.expect(2, 10)[1] == b"\1\0"
    # auth dies in the middle: the new one is asked again
    os.kill(p.children()["auth"], signal.SIGSTOP)
    kill_broker(p)
    time.sleep(0.3)
    os.kill(p.children()["auth"], signal.SIGKILL)
    wait_for(lambda: p.log().count("event=stored") >= 3)
    assert present(p, "t", token)


# ---- damage ------------------------------------------------------------------------------------------------------------------

def data(p):
    return p.state / "store" / "data.mdb"


def filled(make_picket, **options):
    p = make_picket(**options)
    p.tokens = {n: p.add(n) for n in ("pub", *[f"d{i}" for i in range(8)])}
    for name, token in p.tokens.items():
        if name != "pub":
            stored_session(p, name, token)
    c = p.login("pub", p.tokens["pub"], "plain")
    for i in range(100):
        c.publish("x", f"message {i}", qos=1, pid=i + 1)
        c.expect(4)
        c.publish(f"kept/{i}", "value", qos=1, pid=i + 1, retain=True)
        c.expect(4)
    return p


def asides(p):
    return sorted(f.name for f in p.state.glob("store.bad-*"))


def test_damage_is_survived(make_picket):
    """Bytes are changed at random; whatever it is, picketd starts, says what was lost, keeps the old one, and serves."""
    p = filled(make_picket)
    p.stop()
    good = data(p).read_bytes()
    rng = random.Random(20261124)
    for turn in range(8):
        bad = bytearray(good)
        for _ in range(2 ** turn):
            bad[rng.randrange(len(bad))] ^= 1 << rng.randrange(8)
        data(p).write_bytes(bad)
        before = asides(p)
        p.start()
        c = p.login("d1", p.tokens["d1"], "plain", clean=False)
        c.ping()
        new = [a for a in asides(p) if a not in before]
        if new:  # a byte that means nothing may have changed
            assert (p.state / new[0] / "data.mdb").read_bytes() == bytes(bad)
            assert "the store of sessions" in p.json("store", "status")["trouble"]
            assert "ALARM" in p.cli("status")
        p.stop()
        for f in (p.state / "store").iterdir():
            f.unlink()


def test_what_is_whole_is_saved(make_picket):
    p = filled(make_picket)
    whole = p.json("store", "status")
    p.stop()
    b = bytearray(data(p).read_bytes())
    at = b.find(b"message 57")
    while at >= 0:  # wherever it stands, also in pages that are free by now
        b[at] ^= 1
        at = b.find(b"message 57", at + 1)
    data(p).write_bytes(b)
    p.start()
    now = p.json("store", "status")
    assert now["sessions"] == whole["sessions"] == 8 and now["retained"] == 100
    assert now["queued"] == whole["queued"] - 8
    c = p.login("d1", p.tokens["d1"], "plain", clean=False)
    got = [c.message()[1].decode() for _ in range(99)]
    assert got == [f"message {i}" for i in range(100) if i != 57]


FOREIGN = {
    "text": lambda good: b"this is the diary of another program\n" * 200,
    "zeros": lambda good: bytes(len(good)),
    "cut": lambda good: good[:len(good) // 2],
    "sqlite": lambda good: sqlite_file(),
    "first-page": lambda good: good[:4096],
}


def sqlite_file():
    path = f"/tmp/picket-foreign-{os.getpid()}"
    d = sqlite3.connect(path)
    d.execute("CREATE TABLE mosquitto(x)")
    d.commit()
    d.close()
    b = open(path, "rb").read()
    os.unlink(path)
    return b


@pytest.mark.parametrize("make", FOREIGN.values(), ids=FOREIGN.keys())
def test_foreign_files_are_set_aside(make_picket, make):
    p = filled(make_picket)
    p.stop()
    other = make(data(p).read_bytes())
    data(p).write_bytes(other)
    p.start()
    assert (p.state / asides(p)[0] / "data.mdb").read_bytes() == other
    p.login("d1", p.tokens["d1"], "plain", clean=False).ping()
    restart(p)
    assert present(p, "d1", p.tokens["d1"]) and len(asides(p)) == 1


def test_an_end_in_order_needs_no_look(make_picket):
    p = filled(make_picket)
    restart(p)
    assert "is sound" not in p.log()
    kill_all(p)
    assert "the store is sound" in p.log()
    assert "8 sessions, 8 subscriptions, 100 retained messages in " in p.log()


def end_before_it_serves(p, sig, times):
    """Brokers that wait for auth, which is held, end one after the other."""
    os.kill(p.children()["auth"], signal.SIGSTOP)
    for _ in range(times):
        wait_for(lambda: p.children().get("broker"))
        pid = p.children()["broker"]
        os.kill(pid, sig)
        wait_for(lambda: p.children().get("broker", pid) != pid)
    os.kill(p.children()["auth"], signal.SIGCONT)
    wait_for(lambda: p.status()["ready"] and p.json("store", "status")["persistent"])


def test_a_store_on_which_every_broker_crashes(make_picket):
    """The look finds nothing, and yet they crash: after three it is salvaged.  Who is killed from outside does not count."""
    p = filled(make_picket)
    end_before_it_serves(p, signal.SIGKILL, 6)
    assert not asides(p) and p.json("store", "status")["queued"] == 800
    end_before_it_serves(p, signal.SIGSEGV, 4)  # the first one had served
    assert len(asides(p)) == 1
    s = p.json("store", "status")
    assert (s["sessions"], s["queued"], s["retained"]) == (8, 800, 100) and "saved 8 sessions" in s["trouble"]


# ---- backups -------------------------------------------------------------------------------------------------------------------

def test_backup_and_restore(make_picket):
    p = filled(make_picket)
    backup = p.folder / "picket.backup"
    p.cli("store", "backup", backup)
    assert stat.S_IMODE(backup.stat().st_mode) == 0o600
    piped = subprocess.run([BUILD / "picket", "--run", p.run_dir, "store", "backup", "-"], stdout=subprocess.PIPE, timeout=60)
    assert piped.returncode == 0 and len(piped.stdout) == backup.stat().st_size
    with pytest.raises(Refused, match="E3005"):
        p.cli("store", "backup", backup)
    # everything changes afterwards
    c = p.login("d1", p.tokens["d1"], "plain", clean=False)
    assert [c.message()[1] for _ in range(100)][0] == b"message 0"
    stored_session(p, "pub", p.tokens["pub"])
    wait_for(lambda: p.json("store", "status")["sessions"] == 9)
    with pytest.raises(Refused, match="E3010"):
        p.cli("store", "restore", backup)
    epoch = p.json("store", "status")["epoch"]
    r = p.json("store", "restore", backup, "--yes")
    assert c.closed() is not None
    assert pathlib.Path(r["before"], "data.mdb").exists()
    s = p.json("store", "status")
    assert (s["sessions"], s["retained"], s["queued"]) == (8, 100, 800) and s["epoch"] > epoch
    c = p.login("d1", p.tokens["d1"], "plain", clean=False)
    assert [c.message()[1] for _ in range(100)][-1] == b"message 99"
    assert not (p.state / "store.new").exists()


def test_a_backup_while_it_is_in_use(make_picket):
    """A copy is consistent whatever happens meanwhile: it has all that was acknowledged before it began."""
    p = filled(make_picket)
    c = p.login("pub", p.tokens["pub"], "plain")
    sent = 0
    backup = p.folder / "b"
    run = subprocess.Popen([BUILD / "picket", "--run", p.run_dir, "store", "backup", backup], stdout=subprocess.DEVNULL)
    while run.poll() is None:
        c.publish("x", "meanwhile", qos=1, pid=sent % 60000 + 1)
        c.expect(4)
        sent += 1
    assert run.returncode == 0
    p.cli("store", "restore", backup, "--yes")
    s = p.json("store", "status")
    assert s["sessions"] == 8 and 800 <= s["queued"] <= 800 + 8 * sent
    assert p.json("store", "check")["sound"] is True


def test_bad_backups_change_nothing(make_picket):
    p = filled(make_picket)
    backup = p.folder / "b"
    p.cli("store", "backup", backup)
    good = backup.read_bytes()
    pid = p.children()["broker"]
    for bad in (good[:-4096], b"no backup at all" * 1000, good[:9000] + bytes(4096) + good[9000 + 4096:]):
        backup.write_bytes(bad)
        with pytest.raises(Refused, match="E2009|E2004"):
            p.cli("store", "restore", backup, "--yes")
    assert p.children()["broker"] == pid and p.json("store", "status")["queued"] == 800
    assert not (p.state / "store.new").exists() and not list(p.state.glob("store.before-*"))


def test_a_restore_that_breaks_off(make_picket):
    p = filled(make_picket)
    backup = p.folder / "b"
    p.cli("store", "backup", backup)
    run = subprocess.Popen([BUILD / "picket", "--run", p.run_dir, "store", "restore", "/dev/stdin", "--yes"], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert run.wait(10) != 0  # no file
    os.kill(p.children()["admin"], signal.SIGKILL)
    wait_for(lambda: p.children().get("admin"))
    wait_for(lambda: p.status()["ready"])
    p.cli("store", "restore", backup, "--yes")
    assert p.json("store", "status")["queued"] == 800


# ---- sealed --------------------------------------------------------------------------------------------------------------------

def lines(p, word):
    return [line for line in p.log().splitlines() if word in line]


def test_sealed_with_the_key_of_keys(make_picket):
    p = filled(make_picket, config="store_encryption = on\n")
    assert p.json("store", "status")["sealed"] is True
    kill_all(p)
    assert "looked at from outside" in p.log()
    assert b"message 5" not in data(p).read_bytes() and b"kept/" not in data(p).read_bytes()
    c = p.login("d1", p.tokens["d1"], "plain", clean=False)
    assert c.message()[1] == b"message 0"
    c.close()
    assert p.json("store", "check")["sound"] is True
    kill_broker(p)  # the key is there for the next one, too
    assert present(p, "d2", p.tokens["d2"])
    os.kill(p.children()["keys"], signal.SIGKILL)
    wait_for(lambda: p.children().get("keys"))
    kill_broker(p)
    assert present(p, "d2", p.tokens["d2"])


def test_sealed_with_a_key_file(make_picket):
    key = None
    p = filled(make_picket, config="")
    p.stop()
    shutil.rmtree(p.state / "store")
    key = p.folder / "store.key"
    key.write_text("".join(random.choice("0123456789abcdef") for _ in range(64)) + "\n")
    key.chmod(0o600)
    p.conf.write_text(p.conf.read_text() + f'store_encryption = on\nstore_key = "{key}"\n')
    p.start()
    stored_session(p, "d1", p.tokens["d1"])
    p.stop()
    kept = data(p).read_bytes()
    assert key.read_text().strip() not in p.log()
    # another key: a clear error, and the store is as it was
    mine = key.read_text()
    key.write_text("0" * 64)
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1
    assert "it is sealed with another key" in p.log() and data(p).read_bytes() == kept and not asides(p)
    # one that is no key, one that others may read, none
    key.write_text("short")
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1 and "neither 32 bytes nor 64 hexadecimal digits" in p.log()
    key.write_text(mine)
    key.chmod(0o644)
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1 and "store.key can be read by others; run chmod 600" in p.log()
    key.unlink()
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1 and lines(p, "store_key")
    key.write_bytes(bytes.fromhex(mine.strip()))  # the same as bytes
    key.chmod(0o600)
    p.start()
    assert present(p, "d1", p.tokens["d1"])
    p.stop()
    # sealed, and no key is asked for
    p.conf.write_text(p.conf.read_text().replace("store_encryption = on", "store_encryption = off"))
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1 and "it is sealed and no key is given" in p.log() and not asides(p)


def test_sealed_with_a_credential(make_picket, monkeypatch):
    p = make_picket()
    p.stop()
    shutil.rmtree(p.state / "store")
    folder = p.folder / "credentials"
    folder.mkdir()
    (folder / "picket-store").write_bytes(os.urandom(32))
    (folder / "picket-store").chmod(0o440)  # an access list looks like this
    p.conf.write_text(p.conf.read_text() + 'store_encryption = on\nstore_key = "credential:picket-store"\n')
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1 and "LoadCredential" in p.log()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    p.start()
    assert p.json("store", "status")["sealed"] is True
    for pid in p.children().values():
        assert str(folder).encode() not in pathlib.Path(f"/proc/{pid}/environ").read_bytes()


def test_damage_under_a_seal(make_picket):
    p = filled(make_picket, config="store_encryption = on\n")
    p.stop()
    good = data(p).read_bytes()
    for seed in range(20):
        b = bytearray(good)
        for page in random.Random(seed).sample(range(6, len(b) // 4096), 2):
            b[page * 4096 + 12] ^= 0x55  # where its entries begin
        data(p).write_bytes(b)
        p.start()
        s = p.json("store", "status")
        p.stop()
        if "saved" in s["trouble"]:
            break
    assert s["sealed"] and s["sessions"] > 0 and "saved" in s["trouble"]


# ---- what is on the disk, and who may touch it -----------------------------------------------------------------------------------

def test_names_do_not_reach_the_disk(make_picket):
    """Client ids, user names and topics that would be paths: the folder holds three files, whatever they are."""
    p = make_picket()
    token = p.add("t", kind="service")
    for client_id in ("../../etc/cron.d/x", "/abs", "CON", "a\\b", ".", "..", "x" * 200, "Aa", "aA", "store.bad-1"):
        c = p.client("plain", version=5)
        body = c.login(client_id, "t", token, clean=True, props=b"\x11\xff\xff\xff\xff")
        assert body[1] == 0, client_id
        c.publish("../" + client_id.replace("#", ""), "x", qos=1, pid=1, retain=True)
        c.expect(4)
        c.close()
    wait_for(lambda: p.json("store", "status")["sessions"] == 10)
    assert sorted(f.name for f in (p.state / "store").iterdir()) == ["ballast", "data.mdb", "lock.mdb"]
    for f in (p.state / "store").iterdir():
        assert stat.S_IMODE(f.stat().st_mode) == 0o600
    assert stat.S_IMODE((p.state / "store").stat().st_mode) == 0o700


def test_links_in_the_place_of_the_store(make_picket):
    p = filled(make_picket)
    p.stop()
    elsewhere = p.folder / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "data.mdb").write_bytes(b"precious")
    (elsewhere / "data.mdb").chmod(0o600)
    # the file is a link
    real = data(p).read_bytes()
    data(p).unlink()
    data(p).symlink_to(elsewhere / "data.mdb")
    p.start()
    assert (elsewhere / "data.mdb").read_bytes() == b"precious" and len(asides(p)) == 1
    p.stop()
    # the file has another name elsewhere
    data(p).unlink()
    os.link(elsewhere / "data.mdb", data(p))
    p.start()
    assert (elsewhere / "data.mdb").read_bytes() == b"precious" and len(asides(p)) == 2
    p.stop()
    # it may be read by others
    data(p).write_bytes(real)
    data(p).chmod(0o644)
    p.start()
    assert len(asides(p)) == 3
    p.stop()
    # the folder itself is a link
    shutil.rmtree(p.state / "store")
    (p.state / "store").symlink_to(elsewhere)
    p.start(expect_ready=False)
    assert p.process.wait(20) == 1
    assert sorted(f.name for f in elsewhere.iterdir()) == ["data.mdb"]
    (p.state / "store").unlink()
    p.start()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_others_get_nothing_of_it(make_picket):
    p = filled(make_picket)
    for args in (["status"], ["check"], ["backup", "/tmp/picket-stolen"], ["restore", "/etc/hostname", "--yes"]):
        r = subprocess.run([BUILD / "picket", "--run", p.run_dir, "store", *args], capture_output=True, text=True, timeout=30,
                           user=65534, group=65534, extra_groups=[])
        assert r.returncode == 1 and ("E2005" in r.stderr or "E3001" in r.stderr), (args, r.stderr)
    assert not pathlib.Path("/tmp/picket-stolen").exists()
    r = subprocess.run(["cat", data(p)], capture_output=True, user=65534, group=65534, extra_groups=[])
    assert r.returncode != 0


def test_status_has_a_line_for_it(make_picket):
    p = filled(make_picket)
    out = p.cli("status")
    assert "  8 sessions  800 queued  100 retained" in out
    assert json.loads(p.cli("status", "--json"))["store"]["queued"] == 800
