"""What is kept, as operators see it and end it: picket session and picket retained."""
import json
import os
import subprocess
import time

import pytest

import mqtt
from mqtt import Closed
from picket import BUILD, Picket, Refused

MANY = 700  # more than fit a page, and more than a table is laid out for at once


@pytest.fixture(scope="module")
def p(tmp_path_factory):
    with Picket(tmp_path_factory.mktemp("kept"), limits="connections_identity = 100000\n") as p:
        p.tokens = {n: p.add(n, kind=k) for n, k in (("fleet", "service"), ("esp01", "device"), ("esp02", "device"), ("anna", "service"))}
        for i in range(MANY):
            keep(p, f"truck-{i:04d}", "fleet")
        yield p


def keep(p, client_id, name, *filters):
    c = p.client("plain")
    assert c.login(client_id, name, p.tokens[name], clean=False)[1] == 0
    for f in filters:
        c.subscribe(f, 1)
    c.send(mqtt.DISCONNECT)
    c.close()


def retain(p, name, topic, payload=b"x", qos=1, version=4, props=b""):
    c = p.login(name, p.tokens[name], "plain", version=version, client_id=name)
    c.publish(topic, payload, qos=qos, pid=1, retain=True, props=props)
    c.expect(4)
    c.close()


def sessions(p, *args):
    return p.json("session", "list", *args)["sessions"]


def test_sessions_are_listed_page_by_page(p):
    rows = sessions(p, "--identity", "fleet")
    assert sorted(r["client_id"] for r in rows) == [f"truck-{i:04d}" for i in range(MANY)]
    assert all(r["durable"] and not r["online"] and r["queued"] == 0 and r["ends_in_s"] > 0 for r in rows)
    text = p.cli("session", "list", "--identity", "fleet").splitlines()
    assert sum("truck-" in line for line in text) == MANY
    assert sum(line.startswith("IDENTITY") for line in text) == 2
    assert "away, " in text[1] and "  disk" in text[1]
    assert sessions(p, "--identity", "nobody") == []


def test_a_reader_that_goes_away(p):
    """It leaves nothing behind, and the next one gets all."""
    for _ in range(5):
        r = subprocess.Popen([BUILD / "picket", "--run", p.run_dir, "session", "list"], stdout=subprocess.PIPE)
        r.stdout.read(10)
        r.stdout.close()
        r.kill()
        r.wait()
    assert len(sessions(p, "--identity", "fleet")) == MANY


def test_show_says_what_waits(p):
    keep(p, "esp01", "esp01", "in/#")
    c = p.login("anna", p.tokens["anna"], "plain")
    for i in range(5):
        c.publish("in/x", "12345", qos=1, pid=i + 1)
        c.expect(4)
    c.close()
    row = p.json("session", "show", "esp01")["sessions"][0]
    assert (row["queued"], row["subscriptions"], row["online"]) == (5, 1, False) and row["queued_bytes"] >= 5 * (4 + 5)
    assert row["on_disk"] == 5 and row["dropped"]["quota"] == 0
    out = p.cli("session", "show", "esp01")
    assert "queued            5\n" in out and "quota 0" in out
    with pytest.raises(Refused, match="E2012"):
        p.cli("session", "show", "nobody")
    c = p.login("esp01", p.tokens["esp01"], "plain", clean=False)
    row = p.json("session", "show", "esp01", "--client-id", "esp01")["sessions"][0]
    assert row["online"] and row["ends_in_s"] is None and row["addr"].startswith("127.0.0.1:")
    c.close()


def test_drop(p):
    keep(p, "esp02", "esp02", "in/#")
    keep(p, "esp02:b", "esp02", "in/#")
    c = p.login("anna", p.tokens["anna"], "plain")
    c.publish("in/x", "waits", qos=1, pid=1)
    c.expect(4)
    c.close()
    here = p.login("esp02", p.tokens["esp02"], "plain", clean=False)
    before = p.json("store", "status")["sessions"]
    would = p.json("session", "drop", "esp02", "--dry-run")
    assert (would["sessions"], would["connections"], would["subscriptions"], would["queued"]) == (2, 1, 2, 1)  # the other was delivered
    assert "would    2 sessions ended" in p.cli("session", "drop", "esp02", "--dry-run")
    assert p.json("store", "status")["sessions"] == before
    with pytest.raises(Refused, match="E3010"):
        p.cli("session", "drop", "esp02")
    one = p.json("session", "drop", "esp02", "--client-id", "esp02:b", "--yes")
    assert one["sessions"] == 1 and one["connections"] == 0
    out = p.cli("session", "drop", "esp02", "--yes")
    assert "changed  1 session ended: 1 subscriptions" in out and "undo     cannot be undone" in out
    with pytest.raises(Closed):
        while True:
            here.read()
    with pytest.raises(Refused, match="E2012"):
        p.cli("session", "drop", "esp02", "--yes")
    end = time.monotonic() + 5
    while p.json("store", "status")["sessions"] != before - 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    c = p.client("plain")
    assert c.login("esp02", "esp02", p.tokens["esp02"], clean=False) == b"\0\0"  # no session present
    assert c.quiet()
    assert "op=session.drop to=\"esp02\" uid=" in p.log()


def test_retained_are_listed_and_shown(p):
    retain(p, "esp01", "plant/a", b"21.5")
    retain(p, "esp02", "plant/b", bytes(range(256)) * 200)
    retain(p, "esp02", "plant/b/deep", b"\x1b[31mred", version=5, props=b"\x02" + (3600).to_bytes(4, "big"))
    rows = {r["topic"]: r for r in p.json("retained", "list", "plant/#")["retained"]}
    assert set(rows) == {"plant/a", "plant/b", "plant/b/deep"}
    assert rows["plant/a"]["identity"] == "esp01" and rows["plant/b"]["bytes"] == 51200
    assert rows["plant/a"]["expires_in_s"] is None and 3590 <= rows["plant/b/deep"]["expires_in_s"] <= 3600
    assert "payload_base64" not in rows["plant/a"]
    assert [r["topic"] for r in p.json("retained", "list", "plant/+", "--identity", "esp02")["retained"]] == ["plant/b"]
    assert p.json("retained", "list", "plant/#", "--older", "1h")["retained"] == []
    assert len(p.json("retained", "list", "plant/#", "--older", "0s")["retained"]) == 3
    out = p.cli("retained", "list", "plant/#")
    assert "plant/a " in out and "50.0 KiB" in out
    out = p.cli("retained", "show", "plant/b/deep")
    assert "payload           \\x1b[31mred\n" in out and "\x1b" not in out
    assert "bytes more: --raw" in p.cli("retained", "show", "plant/b")
    raw = subprocess.run([BUILD / "picket", "--run", p.run_dir, "retained", "show", "plant/b", "--raw"], capture_output=True, timeout=30)
    assert raw.returncode == 0 and raw.stdout == bytes(range(256)) * 200
    for args in (["show", "plant/none"], ["show", "plant/none", "--raw"]):
        with pytest.raises(Refused, match="E2011"):
            p.cli("retained", *args)
    for args in (["show", "plant/+"], ["list", "a#"], ["list", "$share/g/a"], ["list", "--older", "soon"]):
        with pytest.raises(Refused) as r:
            p.cli("retained", *args)
        assert r.value.code == 2


def test_retained_are_deleted(p):
    for i in range(60):
        retain(p, "anna" if i % 2 else "esp01", f"gone/{i}", b"12345678")
    assert p.json("retained", "delete", "gone/#", "--dry-run")["retained"] == 60
    assert "would    delete 60 retained messages, 480 B of payload" in p.cli("retained", "delete", "gone/#", "--dry-run")
    with pytest.raises(Refused, match="E3010"):
        p.cli("retained", "delete", "gone/#")
    assert p.json("retained", "delete", "gone/#", "--identity", "anna", "--yes")["retained"] == 30
    assert p.json("retained", "delete", "gone/#", "--older", "1d", "--yes")["retained"] == 0
    left = p.json("retained", "list", "gone/#")["retained"]
    assert len(left) == 30 and {r["identity"] for r in left} == {"esp01"}
    assert "changed  deleted 30 retained messages" in p.cli("retained", "delete", "gone/+", "--yes")
    assert p.json("retained", "list", "gone/#")["retained"] == []
    c = p.login("anna", p.tokens["anna"], "plain")
    c.subscribe("gone/#")
    assert c.quiet()
    assert "op=retained.delete to=\"gone/#\" uid=" in p.log()


def test_many_retained(p):
    c = p.login("fleet", p.tokens["fleet"], "plain", client_id="loader")
    for i in range(2000):
        c.publish(f"many/{i % 50}/{i}", "v" * 30, qos=1, pid=i % 60000 + 1, retain=True)
        c.expect(4)
    rows = p.json("retained", "list", "many/#")["retained"]
    assert len(rows) == len({r["topic"] for r in rows}) == 2000
    assert p.json("retained", "delete", "many/#", "--yes")["retained"] == 2000


def test_all_of_it_survives(make_picket):
    """Ages, owners and deletions, across the end of everything."""
    p = make_picket()
    p.tokens = {"a": p.add("a")}
    retain(p, "a", "kept/1")
    retain(p, "a", "kept/2")
    keep(p, "a", "a", "x/#")
    keep(p, "a:2", "a", "x/#")
    time.sleep(1.1)
    p.cli("retained", "delete", "kept/2", "--yes")
    p.cli("session", "drop", "a", "--client-id", "a:2", "--yes")
    for pid in [p.process.pid, *p.children().values()]:
        os.kill(pid, 9)
    p.process.wait()
    p.log_file.close()
    time.sleep(0.2)
    p.start()
    rows = p.json("retained", "list")["retained"]
    assert [(r["topic"], r["identity"]) for r in rows] == [("kept/1", "a")] and rows[0]["age_s"] >= 1
    assert [r["client_id"] for r in sessions(p)] == ["a"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_not_for_others(p):
    for args in (["session", "list"], ["session", "drop", "fleet", "--yes"], ["retained", "list"], ["retained", "show", "plant/a"],
                 ["retained", "delete", "#", "--yes"]):
        r = subprocess.run([BUILD / "picket", "--run", p.run_dir, *args], capture_output=True, text=True, timeout=30, user=65534, group=65534,
                           extra_groups=[])
        assert r.returncode == 1 and ("E2005" in r.stderr or "E3001" in r.stderr), (args, r.stderr)
    assert len(sessions(p, "--identity", "fleet")) == MANY


def test_names_cannot_write_to_the_terminal(p):
    keep(p, "\u202eowned", "anna")
    retain(p, "anna", "odd/\u202etopic")
    for out in (p.cli("session", "list"), p.cli("retained", "list"), p.cli("session", "show", "anna")):
        assert "\u202e" not in out and "\\x" in out
    assert json.loads(p.cli("session", "list", "--json", "--identity", "anna"))
