"""picketd and the picket command, as the tests use them: real processes, real sockets, folders of their own."""
import json
import os
import pathlib
import random
import signal
import socket
import ssl
import subprocess
import time

from mqtt import Client

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PICKET_BUILD", ROOT / "build"))


def sanitized():
    """A build with sanitizers, whose sandbox is open: what proves the sandbox runs on the release build."""
    return b"__asan_init" in (BUILD / "picketd").read_bytes()


ROLES = """
role sensor {
  publish   home/${device}/tele/#
  subscribe home/${device}/cmd/#
}
role dashboard {
  subscribe home/+/tele/#
  publish   home/+/cmd/#
}
role tester { publish #; subscribe #; limit all none }
"""


def free_port():
    """Below the range from which connections take theirs: while a broker is away, one of its clients must not get its port."""
    while True:
        port = random.randrange(15000, 32000)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass


class Refused(Exception):
    """The picket command ended with something other than 0 or 3."""

    def __init__(self, code, out, err):
        super().__init__(f"exit {code}\n{out}\n{err}")
        self.code, self.out, self.err = code, out, err


class Picket:
    """One picketd.  Use as a context manager, or start() and stop()."""

    def __init__(self, folder, config="", policy=ROLES, limits="", plain=True, listener="", every="", env=None):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.state, self.run_dir = self.folder / "state", self.folder / "run"
        self.port, self.plain_port, self.open_port = free_port(), free_port(), free_port()
        self.conf = self.folder / "picket.conf"
        self.policy = self.folder / "first.policy"
        self.policy.write_text(policy)
        self.log_path = self.folder / "log"
        text = f'bootstrap = "{self.policy}"\nshards = 2\n'
        text += f'listener mqtts {{ bind = "127.0.0.1:{self.port}" tls = on authenticators = {{token, password}} {listener} {every} }}\n'
        if plain:
            text += (f'listener plain {{ bind = "127.0.0.1:{self.plain_port}" tls = off authenticators = {{token, password}}'
                     f' accept_risk = "tests on loopback" {every} }}\n')
            text += (f'listener open {{ bind = "127.0.0.1:{self.open_port}" tls = off anonymous_role = tester'
                     f' accept_risk = "tests on loopback" {every} }}\n')
        text += f"limits {{\n connection_rate = 100000\n connection_rate_source = 100000\n connection_burst_source = 100000\n connections_waiting_source = 100000\n failed_logins = 1000000\n{limits}\n}}\n{config}\n"
        self.conf.write_text(text)
        self.process = None
        self.env = env  # more of an environment for picketd, or None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    def start(self, expect_ready=True):
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [BUILD / "picketd", "--config", self.conf, "--state", self.state, "--run", self.run_dir, "--foreground"],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file, env={**os.environ, **(self.env or {})})
        if expect_ready:
            self.wait_ready()
        return self

    def wait_ready(self, timeout=20):
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise AssertionError(f"picketd ended with {self.process.returncode}:\n{self.log()}")
            try:
                if self.status().get("ready", True):
                    socket.create_connection(("127.0.0.1", self.port), 1).close()
                    return
            except (Refused, OSError, json.JSONDecodeError):
                pass
            time.sleep(0.05)
        raise AssertionError(f"picketd was not ready in {timeout} s:\n{self.log()}")

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log_file.close()
        self.process = None

    def log(self):
        return self.log_path.read_text(errors="replace")

    def cli(self, *args, stdin=None, check=True):
        """Run the picket command; returns its standard output.  Exit 1 or 2 raises Refused."""
        r = subprocess.run([BUILD / "picket", "--run", self.run_dir, *map(str, args)], input=stdin, text=True,
                           stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True, timeout=60)
        if check and r.returncode not in (0, 3):
            raise Refused(r.returncode, r.stdout, r.stderr)
        return r.stdout

    def json(self, *args, **kw):
        return json.loads(self.cli(*args, "--json", **kw))

    def status(self):
        return self.json("status")

    def add(self, name, role="tester", kind="device"):
        """Make an identity with a generated secret; returns the secret."""
        out = self.json(kind, "add", name, "--role", role, "--auth", "token", "--print")
        return out["identities"][0]["token"]

    @property
    def ca(self):
        path = self.folder / "ca.crt"
        if not path.exists():
            path.write_text(self.cli("ca", "show"))
        return path

    def tls(self):
        return ssl.create_default_context(cafile=str(self.ca))

    def socket(self, to="tls", timeout=5):
        """A connected socket to a listener: "tls" (verified), "plain" (with logins) or "open" (anonymous)."""
        port = {"tls": self.port, "plain": self.plain_port, "open": self.open_port}[to]
        s = socket.create_connection(("127.0.0.1", port), timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls().wrap_socket(s, server_hostname="localhost") if to == "tls" else s

    def client(self, to="tls", version=4):
        return Client(self.socket(to), version)

    def login(self, name, secret, to="tls", version=4, client_id=None, **kw):
        """A client that is logged in as that identity; asserts that it was let in."""
        c = self.client(to, version)
        body = c.login(name if client_id is None else client_id, name, secret, **kw)
        assert body[1] == 0, f"refused with {body.hex()}"
        return c

    def children(self):
        """role -> pid of the processes that the supervisor started."""
        found = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                stat = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                argv = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if int(stat[1]) == self.process.pid and b"-R" in argv:
                found[argv[argv.index(b"-R") + 1].decode()] = int(entry.name)
        return found
