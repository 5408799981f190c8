"""The brokers of the conformance tests: the usual one, and some whose configuration a statement asks for.

CONFORMANCE_BROKER=mosquitto runs the same tests against Debian's mosquitto, CONFORMANCE_BROKER=HOST:PORT against whatever is there."""
import getpass
import os
import socket
import subprocess
import threading
import time

import pytest
import ws
from picket import Picket, free_port
from suite import Bodies

POLICY = """
role tester { publish #; subscribe #; publish $t/#; subscribe $t/#; limit all none }
role narrow { publish ok/#; subscribe ok/#; limit packet 2k, inflight 4, publish 100000/s burst 100000 }
"""
# name -> the options of a broker of its own
OPTIONS = {
    "usual": {},
    "lean": dict(every="maximum_qos = 0 wildcard_subscriptions = off shared_subscriptions = off subscription_identifiers = off"),
    "no_retain": dict(limits=" retained_identity = 0\n topic_aliases = 0\n", policy="role tester { publish #; subscribe # }\n"),
}


def connected(port, host="127.0.0.1"):
    s = socket.create_connection((host, port), 5)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def wait_for(port):
    end = time.monotonic() + 10
    while True:
        try:
            return connected(port).close()
        except OSError:
            assert time.monotonic() < end, "the broker does not come up"
            time.sleep(0.05)


def only_tcp(transport):
    if transport != "tcp":
        pytest.skip("over TCP only")


class Brokers:
    """Started when first asked for."""

    def __init__(self, folder):
        self.folder, self.running, self.secrets, self.lock = folder, {}, {}, threading.RLock()

    def get(self, name):
        with self.lock:
            if name not in self.running:
                options = {"policy": POLICY} | OPTIONS[name]
                port = free_port()
                config = f'listener opentls {{ bind = "127.0.0.1:{port}" tls = on anonymous_role = tester accept_risk = "tests" {options.get("every", "")} }}'
                self.running[name] = Picket(self.folder / name, config=config, **options).start(), port
                self.running[name][0].ca
            return self.running[name]

    def socket(self, name, transport, login):
        picket, tls_port = self.get(name)
        if transport in ("tcp", "ws"):
            s = connected(picket.plain_port if login else picket.open_port)
        else:
            s = picket.tls().wrap_socket(connected(picket.port if login else tls_port), server_hostname="localhost")
        return ws.Socket(s) if transport in ("ws", "wss") else s

    def home(self, role):
        """The broker that gives that role its limits."""
        return "usual"

    def secret(self, role):
        """The secret of the identity named like its role."""
        with self.lock:
            if role not in self.secrets:
                self.secrets[role] = self.get("usual")[0].add(role, role, "service")
            return self.secrets[role]

    def deaths(self):
        """What the logs say of processes that ended by themselves."""
        logs = "".join(picket.log() for picket, _ in self.running.values())
        return [line for line in logs.splitlines() if "assertion failed" in line or "child_ended" in line]

    def stop(self):
        for picket, _ in self.running.values():
            picket.stop()


class Mosquitto:
    """Two listeners, one of them with logins, and rights like picket's."""

    SETTINGS = {"usual": "", "lean": "", "no_retain": "retain_available false\n", "narrow": "max_packet_size 2048\nmax_inflight_messages 4\n"}
    OF_LISTENERS = {"no_retain": "max_topic_alias 0\n", "lean": "max_qos 0\n"}

    def __init__(self, folder):
        self.folder, self.running, self.lock = folder, {}, threading.RLock()
        (folder / "passwords").write_text("tester:tester\nnarrow:narrow\n")
        subprocess.run(["mosquitto_passwd", "-U", folder / "passwords"], check=True)
        (folder / "acl").write_text("user tester\ntopic readwrite #\nuser narrow\ntopic readwrite ok/#\n")

    def get(self, name):
        with self.lock:
            if name not in self.running:
                ports, more = {"tcp": free_port(), "login": free_port()}, self.OF_LISTENERS.get(name, "")
                conf = self.folder / f"{name}.conf"
                conf.write_text(f"user {getpass.getuser()}\nper_listener_settings true\npersistence false\nmax_queued_messages 100000\n{self.SETTINGS[name]}"
                                f"listener {ports['tcp']} 127.0.0.1\nallow_anonymous true\n{more}"
                                f"listener {ports['login']} 127.0.0.1\npassword_file {self.folder}/passwords\nacl_file {self.folder}/acl\n{more}")
                self.running[name] = subprocess.Popen(["mosquitto", "-c", conf], stderr=subprocess.DEVNULL), ports
                wait_for(ports["login"])
            return self.running[name]

    def home(self, role):
        """Its limits are of a whole broker."""
        return "narrow" if role == "narrow" else "usual"

    def socket(self, name, transport, login):
        only_tcp(transport)
        return connected(self.get(name)[1]["login" if login else "tcp"])

    def secret(self, role):
        return role

    def deaths(self):
        return [f"mosquitto ended with {p.returncode}" for p, _ in self.running.values() if p.poll() is not None]

    def stop(self):
        for process, _ in self.running.values():
            process.terminate()
            process.wait()


class Outside:
    """Whatever listens at an address and lets in anyone, to whom everything is allowed."""

    def __init__(self, address):
        self.host, _, port = address.rpartition(":")
        self.port = int(port)

    def get(self, name):
        if name != "usual":
            pytest.skip("wants a broker of its own")

    def socket(self, name, transport, login):
        only_tcp(transport)
        self.get("usual" if name == "usual" and not login else "another")
        return connected(self.port, self.host)

    def home(self, role):
        return "usual"

    def secret(self, role):
        pytest.skip("wants an identity")

    def deaths(self):
        return []

    def stop(self):
        pass


@pytest.fixture(scope="session")
def bodies(request, tmp_path_factory):
    kind = os.environ.get("CONFORMANCE_BROKER", "picket")
    folder = tmp_path_factory.mktemp("conformance")
    brokers = Brokers(folder) if kind == "picket" else Mosquitto(folder) if kind == "mosquitto" else Outside(kind)
    brokers.get("usual")
    run = Bodies(brokers, request.session.items)
    yield run
    run.pool.shutdown()
    deaths = brokers.deaths()
    brokers.stop()
    assert not deaths, "DIED " + deaths[0]
