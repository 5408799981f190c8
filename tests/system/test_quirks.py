"""Quirks of harmless clients, as operators see them; and what else of MQTT 5 a client can ask for."""
import re

import pytest
from mqtt import ack, connect, packet, text
from picket import ROOT, Picket

POLICY = """
role tester { publish #; subscribe #; limit all none }
role caller { subscribe response/${device}/#; publish ask }
role plain  { subscribe news/# }
"""


@pytest.fixture(scope="module")
def picket(tmp_path_factory):
    with Picket(tmp_path_factory.mktemp("quirks"), policy=POLICY) as p:
        yield p


def quirks(picket, name):
    (row,) = picket.json("client", "show", name)["clients"]
    return row["quirks"]


def test_they_are_counted_and_shown(picket):
    secret = picket.add("sloppy")
    c = picket.login("sloppy", secret, version=3, keep_alive=0)
    assert quirks(picket, "sloppy") == {"protocol_31": {"count": 1, "session": True}, "keep_alive_zero": {"count": 1, "session": True}}
    for _ in range(3):
        c.send(ack(0x40, 77))
    c.send(packet(0xA2, b"\0\1" + text("never")))
    c.expect(11)
    c.ping()
    found = quirks(picket, "sloppy")
    assert found["ack_unknown"] == {"count": 3, "session": True} and found["unsubscribe_unknown"]["count"] == 1
    c.close()
    c = picket.login("sloppy", secret, keep_alive=60)
    found = quirks(picket, "sloppy")
    assert found["no_disconnect"] == {"count": 1, "session": False}
    assert found["ack_unknown"] == {"count": 3, "session": False}
    shown = picket.cli("client", "show", "sloppy")
    assert re.search(r"^ +3  ack_unknown: PUBACK", shown, re.M) and re.search(r"^ +1  no_disconnect: ", shown, re.M)
    c.send(ack(0x40, 78))
    c.ping()
    assert re.search(r"^\* +4  ack_unknown: ", picket.cli("client", "show", "sloppy"), re.M)


def test_a_good_client_has_none(picket):
    c = picket.login("good", picket.add("good"), version=5, keep_alive=60)
    c.subscribe("t", 1)
    c.publish("t", "x", qos=1, pid=1)
    assert {c.read()[0] >> 4 for _ in range(2)} == {3, 4}
    c.ping()
    assert quirks(picket, "good") == {}
    assert "quirks" not in picket.cli("client", "show", "good")


def test_the_manual_has_them_all():
    table = (ROOT / "src/base/quirk.h").read_text()
    manual = (ROOT / "docs/mqtt.md").read_text()
    names = re.findall(r"^\tX\((\w+),[\s\\]*\"", table, re.M)
    assert len(names) > 10 and names == re.findall(r"^\| `(\w+)` \|", manual.split("## Quirks")[1], re.M)


def connack_property(picket, name, secret, wanted):
    c = picket.client(version=5)
    c.send(connect(name, name, secret, version=5, props=b"\x19\1"))
    _, body = c.expect(2)
    assert body[1] == 0
    return wanted in body


def test_response_information_is_what_the_rights_allow(picket):
    told = b"\x1a" + text("response/caller")
    assert connack_property(picket, "caller", picket.add("caller", role="caller"), told)
    assert not connack_property(picket, "plain", picket.add("plain", role="plain"), b"response")
