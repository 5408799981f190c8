"""Where a listener listens: every address of both families, addresses and interfaces that come later.  The latter in a
network of its own (network namespaces), with a peer in another one."""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time

import pytest
from mqtt import Client
from picket import BUILD, Picket, free_port

LIB = pathlib.Path(__file__).resolve().parents[1] / "lib"


def test_both_families(make_picket):
    """"*" is every address, of IPv6 and of IPv4, on one port."""
    port = free_port()
    p = make_picket(plain=False, config=f'listener all {{ bind = "*:{port}" }}')
    secret = p.add("lamp")
    for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"):
        try:
            s = socket.create_connection((address, port), 5)
        except OSError:
            assert ":" in address and not pathlib.Path("/proc/net/if_inet6").exists()
            continue
        with p.tls().wrap_socket(s, server_hostname="localhost") as t:
            assert Client(t).login("lamp", "lamp", secret)[1] == 0
    addresses = [line.split("addr=")[1].split()[0] for line in p.log().splitlines() if "listener=all" in line and "event=connect" in line]
    assert sum(a.startswith("127.0.0.1:") for a in addresses) >= 2  # mapped ones are IPv4


def namespaces():
    """Can this machine make networks of its own?"""
    try:
        r = subprocess.run(["unshare", "-n", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], capture_output=True, timeout=20)
        return r.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture
def net():
    """Two networks, joined by nothing yet; run() in ours, far() in the other one."""
    if shutil.which("unshare") is None or shutil.which("ip") is None or not namespaces():
        pytest.skip("no network namespaces with veth here (they want root)")
    keep = [subprocess.Popen(["unshare", "-n", "sleep", "300"]) for _ in range(2)]

    class Net:
        near, other = keep[0].pid, keep[1].pid

        @staticmethod
        def enter(pid, *args, **kw):
            return ["nsenter", f"--net=/proc/{pid}/ns/net", *map(str, args)]

        def run(self, *args):
            return subprocess.run(self.enter(self.near, *args), check=True, capture_output=True, text=True, timeout=20).stdout

        def far(self, *args):
            return subprocess.run(self.enter(self.other, *args), check=True, capture_output=True, text=True, timeout=20).stdout

        def link(self, name):
            """An interface here with 10.77.0.1, its other end there with 10.77.0.2."""
            self.run("ip", "link", "add", name, "type", "veth", "peer", "name", "peer0", "netns", self.other)
            self.run("ip", "addr", "add", "10.77.0.1/24", "dev", name)
            self.run("ip", "link", "set", name, "up")
            self.far("ip", "addr", "add", "10.77.0.2/24", "dev", "peer0")
            self.far("ip", "link", "set", "peer0", "up")

        def connects(self, pid, address, port):
            """Does a CONNECT without credentials from there get its refusal?"""
            code = ("import socket, sys; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 2); "
                    "s.sendall(bytes.fromhex('101000044d5154540402003c000474657374')); print(s.recv(4).hex())")
            r = subprocess.run(self.enter(pid, sys.executable, "-c", code, address, port), capture_output=True, text=True, timeout=20)
            return r.stdout.strip() == "20020005"

    end = time.monotonic() + 10
    mine = os.readlink("/proc/self/ns/net")
    while any(os.readlink(f"/proc/{k.pid}/ns/net") == mine for k in keep) and time.monotonic() < end:
        time.sleep(0.01)
    n = Net()
    n.run("ip", "link", "set", "lo", "up")
    n.far("ip", "link", "set", "lo", "up")
    yield n
    for k in keep:
        k.kill()
        k.wait()


class There(Picket):
    """A picketd in a network of its own."""

    def __init__(self, net, folder, **kw):
        super().__init__(folder, plain=False, **kw)
        self.net = net

    def start(self, expect_ready=True):
        self.log_file = open(self.log_path, "ab")
        args = [BUILD / "picketd", "--config", self.conf, "--state", self.state, "--run", self.run_dir, "--foreground"]
        self.process = subprocess.Popen(self.net.enter(self.net.near, *args), stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)
        self.until(lambda: "event=ready" in self.log())
        return self

    def until(self, what, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self.process.poll() is None, self.log()
            if what():
                return
            time.sleep(0.1)
        raise AssertionError(f"did not happen:\n{self.log()}")


@pytest.fixture
def there(net, tmp_path):
    running = []

    def make(listener):
        p = There(net, tmp_path / "p", config=f"listener far {{ {listener} tls = off accept_risk = \"a test\" networks = {{0.0.0.0/0, ::/0}} }}")
        running.append(p)
        return p.start()

    yield make
    for p in running:
        p.stop()


def test_an_address_that_comes_later(net, there):
    p = there('bind = "10.77.0.1:1883"')
    assert "far waits for address 10.77.0.1" in p.log() and p.status()["ready"]
    net.link("v0")
    p.until(lambda: net.connects(net.other, "10.77.0.1", 1883))
    assert "event=refused client=\"test\" addr=10.77.0.2" in p.log()


def test_an_interface_that_comes_and_goes(net, there):
    """Bound by name: found when it comes, also when it goes and another of its name comes; deaf to every other one."""
    p = there('bind = "*:1883" interface = "wg0"')
    assert "far waits for interface wg0" in p.log() and p.status()["ready"]
    assert "not tried, not to be reached from here: far" in p.status()["canary"]["text"]
    for _ in range(2):
        before = len(p.log())
        net.link("wg0")
        p.until(lambda: "far on *:1883 by wg0" in p.log()[before:])
        p.until(lambda: net.connects(net.other, "10.77.0.1", 1883))
        assert not net.connects(net.near, "127.0.0.1", 1883)
        net.run("ip", "link", "del", "wg0")
        p.until(lambda: "interface wg0, which has gone" in p.log()[before:])
    net.link("wg1")
    time.sleep(2.5)  # one look at least
    assert not net.connects(net.other, "10.77.0.1", 1883)
    assert json.loads(p.cli("config", "reload", "--json")) is not None  # a reload finds it as it is
    net.run("ip", "link", "set", "wg1", "down")
    net.run("ip", "link", "set", "wg1", "name", "wg0")
    net.run("ip", "link", "set", "wg0", "up")
    net.run("ip", "addr", "replace", "10.77.0.1/24", "dev", "wg0")
    p.until(lambda: net.connects(net.other, "10.77.0.1", 1883))


def test_live_connections_outlast_a_look(net, there):
    net.link("wg0")
    p = there('bind = "*:1883" interface = "wg0"')
    secret = p.add("lamp")
    code = ("import sys; sys.path.insert(0, sys.argv[1]); import socket, time; from mqtt import Client;"
            "c = Client(socket.create_connection(('10.77.0.1', 1883), 5)); assert c.login('lamp', 'lamp', sys.argv[2])[1] == 0;"
            "[(time.sleep(1), c.ping()) for _ in range(5)]; print('alive')")
    r = subprocess.run(net.enter(net.other, sys.executable, "-c", code, LIB, secret), capture_output=True, text=True, timeout=30)
    assert r.stdout == "alive\n", r.stderr
