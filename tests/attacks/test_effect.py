"""Rights at the time of effect: what was queued, willed, aliased or shared before they changed; names and topics that only look alike."""
import pytest
from mqtt import Closed, packet, publish, subscribe, text, unsubscribe

rows = pytest.mark.rows
POLICY = """
role sensor { publish home/${device}/tele/#; subscribe home/${device}/cmd/# }
role shared { subscribe jobs/#; publish jobs/# }
role none { }
role ids { publish own/${clientid}/#; subscribe own/${clientid}/# }
role named { publish user/${username}/#; subscribe user/${username}/# }
role tester { publish user/${username}/#; subscribe user/${username}/# }
role all { publish #; subscribe # }
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from picket import Picket
    with Picket(tmp_path_factory.mktemp("effect"), policy=POLICY) as p:
        p.secret = {"all": p.add("all", "all", kind="service")}
        yield p


def enter(broker, name, role="sensor", kind="device", **kw):
    if name not in broker.secret:
        broker.secret[name] = broker.add(name, role, kind=kind)
    return broker.login(name, broker.secret[name], to="plain", **kw)


def roles(broker, name, role, kind="device"):
    broker.cli(kind, "roles", name, "--role", role, "--yes")


@rows("CVE-2021-34434", "TAC-QOS1REPLAY", "BIP-SUBSTATE")
@pytest.mark.parametrize("when", ["before it comes back", "in flight"])
def test_what_was_queued_before_the_right_was_lost(broker, when):
    name = "q" + when[:2].strip()
    c = enter(broker, name, "shared", clean=False)
    assert c.subscribe("jobs/#", 1) == 1
    w = enter(broker, "all")
    if when == "in flight":
        w.publish("jobs/x", "1", qos=1, pid=1)
        w.expect(4)
        c.expect(3)  # and no PUBACK
    c.sock.close()
    w.publish("jobs/x", "2", qos=1, pid=2)
    w.expect(4)
    roles(broker, name, "sensor")
    again = broker.client("plain")
    assert again.login(name, name, broker.secret[name], clean=False) == b"\1\0"
    assert again.quiet()
    again.close()
    w.close()


@rows("TAC-SHARED")
def test_a_member_without_the_right_gets_no_share(broker):
    a, b = enter(broker, "m1", "shared"), enter(broker, "m2", "shared")
    for c in (a, b):
        assert c.subscribe("$share/g/jobs/#") == 0
    roles(broker, "m1", "sensor")
    w = enter(broker, "all")
    for i in range(6):
        w.publish("jobs/x", str(i))
    assert [b.message()[1] for _ in range(6)] == [str(i).encode() for i in range(6)]
    assert a.quiet()
    for c in (a, b, w):
        c.close()


@rows("TAC-BANKEEP", "BIP-WILL", "HIVE-WILLLEAK")
def test_restored_after_a_revocation_nothing_old_happens(broker):
    """Revoked while offline, with a delayed will and a queue; admitted again: neither comes back."""
    c = enter(broker, "back", "shared", version=5, clean=False, props=b"\x11\0\0\x0e\x10", will=("jobs/will", b"old", 0, False),
              will_props=b"\x18\0\0\0\x02")
    assert c.subscribe("jobs/#", 1) == 1
    w = enter(broker, "all")
    assert w.subscribe("jobs/#") == 0
    c.close()
    broker.cli("device", "revoke", "back", "--yes")
    assert w.quiet(2.5)
    w.publish("jobs/x", "queued", qos=1, pid=1)
    assert {w.read()[0] >> 4 for _ in range(2)} == {3, 4}
    broker.secret["back"] = broker.json("device", "restore", "back", "--print")["token"]
    again = broker.client("plain", 5)
    assert again.login("back", "back", broker.secret["back"], clean=False)[1] == 0
    assert again.quiet() and w.quiet()
    again.close()
    w.close()


@rows("ALIAS-ACL")
def test_alias_of_a_refused_topic(broker):
    """An alias carries no right: set by a refused publish, redefined, used again."""
    c = enter(broker, "alias", version=5)
    w = enter(broker, "all")
    w.subscribe("home/#")
    alias = b"\x23\0\1"
    for topic, reason in (("home/other/tele/x", 0x87), ("", 0x87), ("home/alias/tele/x", 0), ("", 0), ("home/other/tele/x", 0x87), ("", 0x87)):
        c.publish(topic, "x", qos=1, pid=1, props=alias)
        assert (c.expect(4)[1] + b"\0")[2] == reason, topic
    assert [w.message()[0] for _ in range(2)] == ["home/alias/tele/x"] * 2
    assert w.quiet()
    c.close()
    w.close()


@rows("BIP-TOPICSYNTAX", "BIP-TOPICWILD")
def test_topics_that_only_look_alike(broker):
    c = enter(broker, "syn", version=5)
    for topic in ("/home/syn/tele/x", "home//syn/tele/x", "home/syn/tele", "HOME/syn/tele/x", "home/SYN/tele/x", "home/syn%2ftele/x",
                  "home/syn/TELE/x", "home/syn /tele/x", "home/other/../syn/tele/x", "*", "home/*/tele/x", "home/syn/tele\u200b/x"):
        c.publish(topic, "x", qos=1, pid=1)
        expected = (0x87,) if topic != "home/syn/tele" else (0x10,)  # '#' is the parent, too
        assert (c.expect(4)[1] + b"\0")[2] in expected, topic
    for filter in ("home/syn/cmd", "home/syn/+/x", "home/+/cmd/x", "/home/syn/cmd/#", "+/syn/cmd/x", "home/syn/cmd/../#", "#", "/#", "+/+"):
        assert (c.subscribe(filter) < 0x80) == filter.startswith("home/syn/cmd"), filter
    c.close()


@rows("CVE-2026-44838", "CVE-2026-67407", "GHSA-2hjf-7455-w946", "CVE-2017-7650")
@pytest.mark.parametrize("client_id", [".*", "a-z", "[a-z]", "a|b", "+", "#", "+/x", "a/b", "a/#", "$SYS", "${device}", "x" * 256, "x" * 300])
def test_a_client_id_in_a_rule_is_one_literal_level(broker, client_id):
    if "ids" not in broker.secret:
        broker.secret["ids"] = broker.add("ids", "ids", kind="service")
    c = broker.client("plain", 5)
    try:
        if c.login(client_id, "ids", broker.secret["ids"])[1] != 0:
            return
    except Closed:
        return
    for other in ("victim", "ab", "a", "b", "SYS"):
        assert c.subscribe(f"own/{other}/#") == 0x87
        c.publish(f"own/{other}/x", "x", qos=1, pid=1)
        assert c.expect(4)[1][2] == 0x87
    assert c.subscribe("own/#") == 0x87
    assert (c.subscribe(f"own/{client_id}/#") == 0) == (not set(client_id) & set("+#/")), client_id
    c.close()


@rows("MOQ-963", "WOLF-SINGLECRED", "ANON-WRITE")
def test_a_user_name_that_nobody_has_matches_nothing(broker):
    """Anonymous, under a rule with ${username}: no level at all, not an empty one."""
    c = broker.client("open", 5)
    assert c.login("x")[1] == 0
    for level in ("", "x", "null", "tester"):
        assert c.subscribe(f"user/{level}/#") == 0x87
        c.publish(f"user/{level}/x", "x", qos=1, pid=1)
        assert c.expect(4)[1][2] == 0x87
    c.close()


@rows("BE-UNICODE", "EMQX-PWCASE")
@pytest.mark.parametrize("name", ["Victim", "VICTIM", "victim ", " victim", "vi\u0441tim", "victim\u200b", "\uff56ictim", "victim\u0301", "victim:x"])
def test_names_are_compared_byte_by_byte(broker, name):
    enter(broker, "victim").close()
    c = broker.client("plain", 5)
    try:
        assert c.login("victim", name, broker.secret["victim"])[1] >= 0x80
    except Closed:
        pass


@rows("EMQX-PWCASE", "MOSQ-2020-PASSWDB", "CVE-2016-9877", "BE-LDAPNULLBIND", "DEF-CRED")
def test_passwords_are_compared_exactly(broker):
    good = "four unrelated words tokyo"
    broker.cli("user", "add", "anna", "--role", "none", "--password-stdin", stdin=good + "\n")
    for bad in (good.upper(), good + " ", good[:-1], good + "\0", "anna", "", "admin", "public", "password"):
        c = broker.client("plain")
        try:
            assert c.login("a", "anna", bad)[1] == 5
        except Closed:
            assert "\0" in bad or not bad
    for user in ("admin", "root", "guest", "anonymous", "picket"):
        assert broker.client("plain").login("a", user, user)[1] == 5
    without = broker.client("plain", 5)
    assert without.login("a", "anna")[1] >= 0x80
    c = broker.client("plain")
    assert c.login("a", "anna", good)[1] == 0
    c.close()


@rows("CVE-2018-12550")
def test_an_empty_role_allows_nothing(broker):
    c = enter(broker, "empty", "none", version=5)
    for topic in ("a", "home/empty/tele/x", "$SYS/x"):
        assert c.subscribe(topic) == 0x87
        c.publish(topic, "x", qos=1, pid=1)
        assert c.expect(4)[1][2] == 0x87
    c.close()


@rows("CVE-2018-20145", "CVE-2023-3028", "CVE-2026-7415", "ANON-WRITE", "MOSQ-2021-DEFLISTEN")
@pytest.mark.parametrize("to", ["tls", "plain"])
def test_every_listener_has_the_same_rights_and_no_strangers(broker, to):
    c = broker.client(to)
    assert c.login("stranger")[1] == 5
    enter(broker, "both").close()
    c = broker.login("both", broker.secret["both"], to=to, version=5)
    assert c.subscribe("#") == 0x87 and c.subscribe("home/both/cmd/#") == 0
    c.close()


@rows("WOLF-10335", "MOSQ-2026-WILLACLORDER", "CVE-2018-3778", "TAC-WILLNOACL")
def test_a_refused_will_takes_nothing_over(broker):
    """The will is judged before the session is touched."""
    c = enter(broker, "keeps", version=5)
    again = broker.client("plain", 5)
    assert again.login("keeps", "keeps", broker.secret["keeps"], will=("home/other/tele/x", b"x", 0, False))[1] >= 0x80
    big = broker.client("plain", 5)
    try:
        assert big.login("keeps", "keeps", broker.secret["keeps"], will=("home/keeps/tele/x", b"x" * 60000, 0, False))[1] >= 0x80
    except (Closed, OSError):
        pass
    c.ping()
    c.close()


@rows("SYS-WILDROOT", "GHSA-4g68-3pwx-5vfj", "CVE-2018-12543", "SYS-PUB", "DELAY-PUB")
def test_dollar_topics(broker):
    """'#' and '+' at the root never show them; our own are nobody's to write; the rest are names like others."""
    w, r = enter(broker, "all", version=5), enter(broker, "all2", "all", version=5)
    for filter in ("#", "+/x", "+/#", "$share/g/#", "$share/g/+/x"):
        assert r.subscribe(filter) == 0
    for topic in ("$SYS/x", "$SYS/broker/x", "$share/g/x"):
        w.publish(topic, "x", qos=1, pid=1, retain=True)
        assert w.expect(4)[1][2] >= 0x80, topic
    for topic in ("$delayed/5/x", "$queue/x", "$MQTT/x", "$internal/x", "$test/test", "$CONTROL/x"):
        w.publish(topic, "x", qos=1, pid=1)
        w.expect(4)
    assert r.quiet()
    w.close()
    r.close()


@rows("RR-INFO", "UPROP-SMUGGLE", "CVE-2026-33223")
def test_what_a_client_says_of_itself_is_only_passed_on(broker):
    """Response Information is of the identity that asks, and of one whose rights let it read there; the client id has no part in it.
    User properties arrive as they were, ours are none."""
    enter(broker, "asker").close()
    asker = broker.client("plain", 5)
    assert b"response" not in asker.login("asker", "asker", broker.secret["asker"], props=b"\x19\1")
    asker.close()
    r = broker.client("plain", 5)
    body = r.login("all:/#", "all", enter(broker, "all").close() or broker.secret["all"], props=b"\x19\1")
    assert body[1] == 0 and b"\x1a" + text("response/all") in body and b"#" not in body[2:]
    assert r.subscribe("p") == 0
    w = enter(broker, "all", version=5)
    props = b"".join(b"\x26" + text(k) + text(v) for k, v in (("x-auth-user", "admin"), ("Nats-Request-Info", "x"), ("identity", "root")))
    w.publish("p", "x", props=props)
    first, body = r.expect(3)
    assert body == text("p") + bytes([len(props)]) + props + b"x"
    w.close()
    r.close()


@rows("MOSQ-2022-DYNSECGRP")
def test_the_role_of_strangers_goes_away(make_picket):
    """Refused while a listener needs it, or strangers may nothing from then on; nothing points into the void."""
    from picket import Refused
    p = make_picket(policy="role tester { publish #; subscribe # }\n")
    c = p.client("open", 5)
    assert c.login("x")[1] == 0 and c.subscribe("a") == 0
    try:
        p.cli("role", "remove", "tester", "--yes")
        gone = True
    except Refused as e:
        assert e.code == 1
        gone = False
    for _ in range(3):
        try:
            c.publish("a", "x", qos=1, pid=1)
            got = c.read()
            assert gone == (got[0] >> 4 == 4 and got[1][2] >= 0x80)
        except Closed:
            assert gone
    assert p.status()["ready"]
