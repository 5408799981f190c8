"""Attacks on what an identity may do: at publish, subscribe, delivery, by will, retained message, share, and after revocation."""
import time

import pytest
from mqtt import Closed, ack, publish

POLICY = """
role sensor { publish home/${device}/tele/#; subscribe home/${device}/cmd/# }
role reader { subscribe home/#; deny subscribe home/secret/# }
role writer { publish home/#; subscribe home/# }
role tester { publish #; subscribe #; limit all none }
deny * subscribe exact #
"""

rows = pytest.mark.rows


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    from picket import Picket
    with Picket(tmp_path_factory.mktemp("rights"), policy=POLICY) as p:
        p.secret = {"esp1": p.add("esp1", "sensor"), "esp2": p.add("esp2", "sensor"), "reader": p.add("reader", "reader"),
                    "writer": p.add("writer", "writer")}
        yield p


def enter(broker, name, **kw):
    return broker.login(name, broker.secret[name], to="plain", **kw)


@rows("BIP-TOPICWILD", "AEDES-158", "SHARE-STEAL", "CVE-2023-3028")
def test_device_reads_only_its_own(broker):
    c = enter(broker, "esp1")
    assert c.subscribe("home/esp1/cmd/#", 1) == 1
    for other in ("home/esp2/cmd/#", "home/+/cmd/#", "#", "home/#", "+/esp1/cmd/x", "home/esp1/tele/#", "$SYS/#", "$share/g/home/esp2/cmd/#"):
        assert c.subscribe(other) == 0x80, other
    c5 = enter(broker, "esp1", version=5)
    assert c5.subscribe("home/esp2/cmd/#") == 0x87
    assert c5.subscribe("home/a#") == 0x8F


@rows("SYS-PUB", "AEDES-597", "CVE-2026-33217", "RMQ-DENYDISC")
def test_publish_is_denied_and_told(broker):
    w = enter(broker, "writer")
    w.subscribe("home/#")
    c = enter(broker, "esp1", version=5)
    c.publish("home/esp2/tele/x", "no", qos=1, pid=1)
    assert c.expect(4)[1][2] == 0x87
    c.publish("home/esp1/tele/x", "yes")
    assert w.message()[1] == b"yes"
    for topic in ("$SYS/x", "$share/g/x", "$picket/credential"):
        c.publish(topic, "no", qos=1, pid=3)
        assert c.expect(4)[1][2] in (0x87, 0x90), topic
    assert w.quiet()


@rows("GHSA-7qmq-8cc4-hxwg", "GHSA-wh7g-5m82-pmhr", "GHSA-jx8g-9g95-6322")
def test_deny_inside_a_granted_filter_holds_at_delivery(broker):
    """GHSA-7qmq-8cc4-hxwg and kin: a deny is not bypassed by a wider subscription, a retained message or a share."""
    w = enter(broker, "writer")
    w.publish("home/secret/door", "retained", retain=True)
    w.ping()
    r = enter(broker, "reader")
    assert r.subscribe("home/#") == 0
    w.publish("home/secret/door", "live")
    w.publish("home/open/door", "live")
    assert r.message()[0] == "home/open/door"
    assert r.quiet()
    assert r.subscribe("$share/g/home/#", pid=2) == 0
    w.publish("home/secret/door", "live")
    assert r.quiet()
    assert r.subscribe("home/secret/#", pid=3) == 0x80
    w.publish("home/secret/door", "", retain=True)
    w.ping()


@rows("MOSQ-2023-WILLCTRL", "EMQX-8978", "CVE-2026-95846", "MOCHI-503", "TAC-WILLNOACL")
def test_will_is_judged(broker):
    """BIP-WILL, MOSQ-2023-WILLCTRL: a will outside the rights is refused with the login and never appears."""
    w = enter(broker, "writer")
    w.subscribe("home/#")
    for topic in ("home/esp2/tele/x", "$SYS/x"):
        evil = broker.client("plain")
        assert evil.login("esp1", "esp1", broker.secret["esp1"], will=(topic, b"boo", 0, False))[1] == 5
    good = enter(broker, "esp2", will=("home/esp2/tele/x", b"gone", 0, False))
    good.close()
    assert w.message()[1] == b"gone"
    assert w.quiet()


def test_exact_deny_of_everything(broker):
    secret = broker.add("all", "tester")
    c = broker.login("all", secret, to="plain")
    assert c.subscribe("#") == 0x80
    assert c.subscribe("home/#") == 0


@rows("CVE-2018-12546", "NMQ-1925", "EMQX-10192", "BIP-WILL", "BIP-RETAIN", "BIP-CONNSTATE", "EMQX-10209", "CVE-2025-56558")
def test_revocation_is_immediate_and_complete(broker):
    """Live connection, subscription, session, will and retained message of a revoked device (I11)."""
    secret = broker.add("thief", "sensor")
    w = enter(broker, "writer")
    w.subscribe("home/#")
    c = broker.login("thief", secret, to="plain", version=5, clean=False, props=b"\x11\0\0\x0e\x10",
                     will=("home/thief/tele/will", b"will", 0, False))
    c.publish("home/thief/tele/r", "kept", retain=True)
    assert w.message()[1] == b"kept"
    broker.cli("device", "revoke", "thief", "--reason", "stolen", "--yes")
    seen = c.closed(2)
    assert seen and seen[-1][0] == 0xE0 and seen[-1][1][0] == 0x98
    assert w.quiet(), "the will of a revoked device"
    again = broker.client("plain")
    assert again.login("thief", "thief", secret)[1] == 5
    late = enter(broker, "reader")
    late.subscribe("home/thief/#")
    assert late.quiet(), "a retained message whose author may no longer publish"


@rows("BIP-SUBSTATE", "CVE-2026-67420", "BE-CACHE")
def test_losing_a_role_holds_when_the_command_returns(broker):
    secret = broker.add("worker", "writer")
    c = broker.login("worker", secret, to="plain")
    c.subscribe("home/#")
    w = enter(broker, "writer")
    w.publish("home/x", "1")
    assert c.message()[1] == b"1"
    broker.cli("device", "roles", "worker", "--role", "sensor", "--yes")
    w.publish("home/x", "2")
    w.ping()
    assert c.quiet(), "a subscription outlived the right to it"


@rows("MOSQ-2021-QOS2ACL")
def test_policy_change_releases_a_qos2_message_under_new_rights(broker):
    """MOSQ-2021-QOS2ACL: rights are judged when the message takes effect."""
    secret = broker.add("q2", "writer")
    c = broker.login("q2", secret, to="plain", version=5)
    c.publish("home/q2", "late", qos=2, pid=7)
    assert c.expect(5)[1][:2] == b"\0\7"
    w = enter(broker, "writer")
    w.subscribe("home/q2")
    broker.cli("device", "roles", "q2", "--role", "sensor", "--yes")
    try:
        c.send(ack(0x62, 7))
        c.read(1)
    except (Closed, OSError):
        pass
    # Either the message took effect at PUBLISH (before the change) or never: not after it.
    assert w.quiet()
