"""Attacks around the login: nothing happens before it is allowed, refusals look alike, sessions belong to identities."""
import time

import pytest
from mqtt import Client, Closed, connect, publish, subscribe

rows = pytest.mark.rows


@pytest.fixture(scope="module")
def secrets(picket):
    return {name: picket.add(name) for name in ("victim", "mallory", "watcher")}


def refusal(picket, *args, version=4, **kw):
    """All bytes that the broker sends for a CONNECT, until it closes."""
    c = picket.client("plain", version)
    c.send(connect(*args, version=version, **kw))
    return c.closed()


@rows("CVE-2021-46434", "BIP-CIDENUM", "REASON-REFLECT", "WOLF-SINGLECRED", "NMQ-AUTHIGN", "BF-CLIENTID")
@pytest.mark.parametrize("version", [3, 4, 5])
def test_refusals_are_byte_identical(picket, secrets, version):
    revoked = picket.add(f"gone{version}")
    picket.cli("device", "revoke", f"gone{version}", "--yes")
    anonymous = refusal(picket, "x", version=version)
    assert len(anonymous) == 1 and anonymous[0][0] == 0x20
    assert refusal(picket, "victim", "victim", "wrong", version=version) == anonymous
    assert refusal(picket, "nobody", "nobody", "wrong", version=version) == anonymous
    assert refusal(picket, f"gone{version}", f"gone{version}", revoked, version=version) == anonymous
    assert refusal(picket, "other", "victim", secrets["victim"], version=version) == anonymous, "foreign client id"
    assert refusal(picket, "victim", "victim", "", version=version) == anonymous
    assert refusal(picket, "victim", "", secrets["victim"], version=version) == anonymous


@rows("NMQ-2333", "EMQX-1230", "NMQ-2330", "CVE-2018-3778")
def test_refused_connect_changes_nothing(picket, secrets):
    """NMQ-2333 and kin: a bad password with the victim's client id, Clean Start and a will: no take over, no wipe, no will."""
    watcher = picket.login("watcher", secrets["watcher"])
    watcher.subscribe("#")
    victim = picket.login("victim", secrets["victim"], clean=False)
    victim.subscribe("to/victim", 1)
    refusal(picket, "victim", "victim", "wrong", will=("evil/will", b"boo", 0, True))
    victim.ping()
    victim.send(b"\xe0\0")
    time.sleep(0.2)
    refusal(picket, "victim", "victim", "wrong")
    watcher.publish("to/victim", "kept", qos=1, pid=9)
    topics = [watcher.message()[0]]
    assert topics == ["to/victim"], "no will of a refused connection"
    again = picket.client()
    assert again.login("victim", "victim", secrets["victim"], clean=False) == b"\x01\x00", "the session was wiped"
    assert again.message()[:2] == ("to/victim", b"kept")


@rows("CONNECT-PIPELINE", "GHSA-38x3-76xf-cq45")
def test_pipelined_packets_wait_for_the_verdict(picket, secrets):
    """CONNECT-PIPELINE: what comes with a refused CONNECT is never acted on."""
    watcher = picket.login("watcher", secrets["watcher"])
    watcher.subscribe("pipe/#")
    c = picket.client("plain")
    c.send(connect("victim", "victim", "wrong") + subscribe(1, ("#", 0)) + publish("pipe/x", "boo"))
    assert len(c.closed()) == 1
    assert watcher.quiet()


@rows("MOSQ-2026-3553", "MOSQ-2026-3551", "BIP-CIDHIJACK", "BIP-CIDDOS", "CVE-2026-33215", "MOCHI-504", "CVE-2024-46549", "WILL-TAKEOVER", "DISC-INJECT")
def test_session_is_not_another_identitys(picket, secrets):
    """MOSQ-2026-3553 and kin: the same client id under another identity is another session (I10)."""
    services = {n: picket.add(n, kind="service") for n in ("svc-a", "svc-b")}
    a = picket.login("svc-a", services["svc-a"], client_id="shared-id", clean=False)
    a.subscribe("for/a", 1)
    b = picket.client()
    assert b.login("shared-id", "svc-b", services["svc-b"], clean=False) == b"\x00\x00", "saw the other's session"
    a.ping()  # not taken over
    b.publish("for/a", "hello", qos=1, pid=3)
    assert a.message()[0] == "for/a"


def test_same_client_takes_over(picket, secrets):
    first = picket.login("victim", secrets["victim"], version=5)
    second = picket.login("victim", secrets["victim"], version=5)
    seen = first.closed()
    assert seen and seen[-1][0] == 0xE0 and seen[-1][1][0] == 0x8E
    second.ping()


@rows("CVE-2017-7650", "EMQX-17596", "NMQ-2344", "CVE-2026-85724")
@pytest.mark.parametrize("name", ["#", "+", "a/b", "a+b", "", "x" * 300, "a\x1b[2J", "a\nb", "$SYS"])
def test_hostile_identity_names_cannot_exist(picket, name):
    """CVE-2017-7650: an identity that is a wildcard would open every pattern."""
    from picket import Refused
    with pytest.raises(Refused) as e:
        picket.cli("device", "add", name, "--role", "sensor", "--auth", "token", "--print")
    assert e.value.code in (1, 2) and "\x1b" not in e.value.err


@rows("LOG-CRLF", "LOG-ANSI", "RMQ-CIDSAN", "CVE-2020-13932")
def test_hostile_bytes_stay_out_of_the_log(picket, secrets):
    """LOG-CRLF, LOG-ANSI: whatever a stranger calls himself, a line stays a line."""
    for evil in ("a\r\n2026 event=login identity=root", "\x1b[31mred", "%s%n%x", "é" * 20):
        refusal(picket, evil, evil, "x")
        refusal(picket, evil[:4], evil, "x", version=5)
    time.sleep(0.3)
    log = picket.log()
    assert "\x1b" not in log and "\r" not in log
    assert not any(l.startswith("2026 event=login") for l in log.splitlines())


@rows("LOG-SECRET", "EMQX-17653")
def test_secrets_never_appear(picket, secrets):
    """I20: a canary secret is in no log, no listing, no argument list."""
    canary = "canary-7f3a-secret-password"
    refusal(picket, "victim", "victim", canary)
    refusal(picket, "victim", "victim", canary, version=5)
    outputs = [picket.log(), picket.cli("status", "--json"), picket.cli("device", "list", "--json"),
               picket.cli("device", "show", "victim", "--json"), picket.cli("policy", "export"), picket.cli("client", "list", "--json")]
    for text in outputs:
        assert canary not in text and secrets["victim"] not in text and secrets["mallory"] not in text


@rows("CVE-2026-76816", "BE-NUL")
def test_control_bytes_in_connect_are_refused(picket):
    """CVE-2026-76816: U+0000 inside an identifier."""
    c = picket.client("plain")
    c.send(connect("ad\0min", "ad\0min", "x"))
    assert c.closed() == []
