"""What a recorded log promises: small logs made by hand, and what the store has to hold at each place of them."""
import pathlib
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disks  # noqa: E402
import mqtt  # noqa: E402
import timeline  # noqa: E402

FOREVER = b"\x11\xff\xff\xff\xff"
PAYLOAD = struct.pack(">HI", 7, 1) + b"sum and more"


class Log:
    def __init__(self):
        self.data, self.places = b"", []

    def add(self, kind, who, data=b"", more=0, off=0):
        self.places.append(disks.LOG_HEAD + len(self.data))
        self.data += disks.ENTRY.pack(kind, len(data), more, 0, who, off) + data
        self.data += b"\0" * (-len(self.data) % 8)
        return self

    def comes(self, who, data):
        return self.add(disks.IN, who, data)

    def goes(self, who, data):
        self.add(disks.OUT, who, data)
        return self.add(disks.SENT, who, more=len(data), off=self.places[-1])

    def client(self, who, name, clean=False, present=False, version=4):
        self.add(disks.ACCEPT, who)
        props = FOREVER if version == 5 else b""
        self.comes(who, mqtt.connect(name, version=version, clean=clean, props=props))
        return self.goes(who, b"\x20\x03" + bytes([present, 0, 0]) if version == 5 else b"\x20\x02" + bytes([present, 0]))

    def sub(self, who, filter, qos=2):
        return self.comes(who, mqtt.subscribe(1, (filter, qos))).goes(who, b"\x90\x03\0\1" + bytes([qos]))

    def pub(self, who, topic="a/b", qos=1, pid=5, payload=PAYLOAD, retain=False):
        return self.comes(who, mqtt.publish(topic, payload, qos=qos, pid=pid, retain=retain))

    def holds(self, tmp_path):
        """(what the store must hold in the end, what it must not)."""
        path = tmp_path / "log"
        path.write_bytes(struct.pack("<Q", len(self.data)).ljust(disks.LOG_HEAD, b"\0") + self.data)
        self.t = timeline.Timeline().read(path)
        must, must_not = set(), set()
        for _, key, op in self.t.list:
            name = self.t.names[key]
            if op == timeline.MUST:
                must.add(name)
            elif op == timeline.NEED_NOT:
                must.discard(name)
            elif op == timeline.MUST_NOT:
                must_not.add(name)
            else:
                must_not.discard(name)
        return must, must_not


def ack(first, pid):
    return mqtt.ack(first, pid)


def two():
    return Log().client(1, "A").sub(1, "a/#").client(2, "P")


BASE = {"S A", "F A a/#", "S P"}


def test_sessions_and_subscriptions(tmp_path):
    assert two().holds(tmp_path) == (BASE, set())


def test_nothing_is_promised_before_it_is_said(tmp_path):
    log = Log().add(disks.ACCEPT, 1).comes(1, mqtt.connect("A", clean=False))
    assert log.holds(tmp_path) == (set(), set())
    log.goes(1, b"\x20\x02\0\0").comes(1, mqtt.subscribe(1, ("a/#", 1)))
    assert log.holds(tmp_path) == ({"S A"}, set())


def test_an_output_that_did_not_go_is_no_promise(tmp_path):
    log = Log().add(disks.ACCEPT, 1).comes(1, mqtt.connect("A", clean=False))
    log.add(disks.OUT, 1, b"\x20\x02\0\0").add(disks.SENT, 1, more=2, off=log.places[-1])
    assert log.holds(tmp_path) == (set(), set())
    log.goes(1, b"\0\0")
    assert log.holds(tmp_path) == ({"S A"}, set())


def test_a_clean_session_promises_nothing(tmp_path):
    assert Log().client(1, "A", clean=True).sub(1, "a/#").holds(tmp_path) == (set(), set())
    assert two().client(3, "A", clean=True).holds(tmp_path)[0] == {"S P"}


def test_a_session_of_mqtt_5(tmp_path):
    assert Log().client(1, "A", version=5).holds(tmp_path) == ({"S A"}, set())


def test_an_unsubscription(tmp_path):
    log = two().comes(1, mqtt.unsubscribe(3, "a/#"))
    assert log.holds(tmp_path) == ({"S A", "S P"}, set())
    assert log.goes(1, b"\xb0\x02\0\3").holds(tmp_path) == ({"S A", "S P"}, {"F A a/#"})
    assert log.sub(1, "a/#").holds(tmp_path) == (BASE, set())


def test_a_message_waits_from_puback_until_the_client_has_it(tmp_path):
    log = two().pub(2)
    assert log.holds(tmp_path)[0] == BASE
    assert log.goes(2, ack(0x40, 5)).holds(tmp_path)[0] == BASE | {"Q A 7 1"}
    log.goes(1, mqtt.publish("a/b", PAYLOAD, qos=1, pid=9))
    assert log.holds(tmp_path)[0] == BASE | {"Q A 7 1"}
    assert log.comes(1, ack(0x40, 9)).holds(tmp_path)[0] == BASE


def test_a_message_that_the_client_had_before_puback(tmp_path):
    log = two().pub(2).goes(1, mqtt.publish("a/b", PAYLOAD, qos=1, pid=9)).comes(1, ack(0x40, 9)).goes(2, ack(0x40, 5))
    assert log.holds(tmp_path)[0] == BASE


def test_a_message_from_before_the_subscription(tmp_path):
    log = Log().client(1, "A").client(2, "P").pub(2).sub(1, "a/#").goes(2, ack(0x40, 5))
    assert log.holds(tmp_path)[0] == BASE


def test_what_a_hasty_broker_would_promise(tmp_path):
    path = tmp_path / "log"
    two().pub(2).holds(tmp_path)
    t = timeline.Timeline(hasty=True).read(path)
    assert "Q A 7 1" in t.names.values()


def test_a_refused_message(tmp_path):
    log = Log().client(1, "A").sub(1, "a/#").client(2, "P").pub(2).goes(2, b"\x40\x03\0\5\x97")
    assert log.holds(tmp_path)[0] == BASE


def test_qos_2_from_the_publisher(tmp_path):
    log = two().pub(2, qos=2).goes(2, ack(0x50, 5))
    assert log.holds(tmp_path) == (BASE | {"Q A 7 1", "P P 5"}, set())
    log.comes(2, ack(0x62, 5))
    assert log.holds(tmp_path) == (BASE | {"Q A 7 1"}, set())
    log.goes(2, ack(0x70, 5))
    assert log.holds(tmp_path) == (BASE | {"Q A 7 1"}, {"P P 5"})
    log.pub(2, qos=2, payload=struct.pack(">HI", 7, 2) + b"sum and more")
    assert log.holds(tmp_path) == (BASE | {"Q A 7 1"}, set())


def test_qos_2_to_the_subscriber(tmp_path):
    log = two().pub(2, qos=2).goes(2, ack(0x50, 5)).goes(1, mqtt.publish("a/b", PAYLOAD, qos=2, pid=9))
    assert log.holds(tmp_path) == (BASE | {"P P 5", "Q A 7 1", "D A 9 7 1"}, set())
    log.comes(1, ack(0x50, 9))
    assert log.holds(tmp_path) == (BASE | {"P P 5"}, set())
    log.goes(1, ack(0x62, 9))
    assert log.holds(tmp_path) == (BASE | {"P P 5", "R A 9"}, {"Q A 7 1"})
    log.comes(1, ack(0x70, 9))
    assert log.holds(tmp_path) == (BASE | {"P P 5"}, {"Q A 7 1"})


def retain(log, seq, size=10, pid=5):
    payload = struct.pack(">HI", 7, seq) + b"1234" + b"." * size if size else b""
    return log.pub(2, "r", qos=1, pid=pid, payload=payload, retain=True).goes(2, ack(0x40, pid))


def test_what_is_retained(tmp_path):
    log = retain(two(), 1)
    assert log.holds(tmp_path) == (BASE | {"T r"}, set())
    retain(log, 2)
    assert log.holds(tmp_path) == (BASE | {"T r"}, {"V r 7 1"})
    retain(log, 0, size=0)
    assert log.holds(tmp_path) == (BASE, {"V r 7 1", "V r 7 2"})
    retain(log, 3)
    assert log.holds(tmp_path)[0] == BASE | {"T r"}


def test_who_does_not_speak_mqtt_is_left_out(tmp_path):
    log = two().add(disks.ACCEPT, 9).comes(9, b"\x16\3\1\0\x10" + bytes(16)).goes(9, b"\x16\3\3\0\2\0\0")
    assert log.holds(tmp_path) == (BASE, set())


@pytest.mark.parametrize("at", [1, 5, 12])
def test_packets_in_pieces(tmp_path, at):
    whole = mqtt.connect("A", clean=False)
    log = Log().add(disks.ACCEPT, 1).comes(1, whole[:at]).comes(1, whole[at:]).goes(1, b"\x20\x02\0\0")
    assert log.holds(tmp_path)[0] == {"S A"}
