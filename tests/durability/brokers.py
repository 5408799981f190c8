"""The brokers that the harness can drive: picket, and Debian's Mosquitto with persistence.  Each is started in a folder of its own,
can be hurt process by process, and is brought back."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "lib"))
from picket import Picket, Refused, free_port  # noqa: E402

POLICY = """
role tester { publish #; subscribe #; limit %s }
service load { role tester; client-id "*"; token-file %s }
"""
TOKEN = "f2a81c9d03b64e75a8d21f6b0c937e54"


def answers(port):
    """Does somebody answer a CONNECT without clean session, of a client that exists for this question alone?"""
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as s:
            s.settimeout(1)
            s.sendall(b"\x10\x11\0\x04MQTT\x04\x02\0\x3c\0\x05probe")
            return len(s.recv(4)) == 4
    except OSError:
        return False


def wait_until(what, seconds, ready, over=lambda: False):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if ready():
            return
        if over():
            break
        time.sleep(0.02)
    raise AssertionError(f"{what}: not in {seconds} s")


class Mosquitto:
    """Debian's, with persistence as its manual describes it; autosave: seconds, None: the default of 1800."""

    roles = ["broker"]
    login = ()

    def __init__(self, folder, autosave=None, on_changes=False, **_):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.state = self.folder / "state"
        self.state.mkdir(exist_ok=True)
        text = (f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence true\npersistence_location {self.state}/\n"
                "max_queued_messages 0\nmax_inflight_messages 100\nmax_connections -1\nset_tcp_nodelay true\nuser root\n")
        if autosave is not None:
            text += f"autosave_interval {autosave}\nautosave_on_changes {'true' if on_changes else 'false'}\n"
        (self.folder / "mosquitto.conf").write_text(text)
        self.process = None

    def start(self):
        self.log = open(self.folder / "log", "ab")
        self.process = subprocess.Popen([shutil.which("mosquitto", path="/usr/sbin:/usr/bin:/usr/local/sbin"), "-c",
                                         self.folder / "mosquitto.conf"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        self.wait_ready()
        return self

    def wait_ready(self):
        wait_until("mosquitto answers", 20, lambda: answers(self.port), lambda: self.process.poll() is not None)

    def pid(self, role):
        return self.process.pid

    def hurt(self, role, sig):
        self.process.send_signal(sig)

    def recover(self):
        """After the end of a process, or of a pause."""
        try:
            self.process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
        if self.process.poll() is not None:
            self.log.close()
            self.start()
        else:
            self.wait_ready()

    def restart(self, sig):
        self.process.send_signal(sig)
        self.process.wait(20)
        self.recover()

    def drops(self):
        return {}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.log.close()


class PicketBroker:
    """picketd with one service identity for all clients, on a plain loopback listener.  disk: a Disk that is preloaded;
    queue: the most messages that wait for a session, 0: no limit."""

    roles = ["broker", "auth", "keys", "admin", "supervisor"]

    def __init__(self, folder, config="", limits="", disk=None, state=None, mount_mib=0, queue=0):
        folder = pathlib.Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.disk, self.mounted, self.bounded = disk, None, queue > 0
        if mount_mib:
            state = self._mount(folder / "small", mount_mib)
        token = folder / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        limit = f"publish none, retained none, subscriptions none, queue {queue}/64k" if queue else "all none"
        limits += "connections_identity = 100000\n"
        self.p = Picket(folder, policy=POLICY % (limit, token), config=config, limits=limits, env=disk and disk.env)
        if state is not None:
            self.p.state = state
        self.login = ("load", TOKEN)
        self.port = self.p.plain_port

    def start(self):
        self.p.start()
        return self

    def _mount(self, folder, mib):
        """A file system of its own for the state folder."""
        folder.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m,mode=755", "tmpfs", folder], check=True)
        self.mounted = folder
        return folder / "state"

    def pid(self, role):
        return self.p.process.pid if role == "supervisor" else self.p.children()[role]

    def hurt(self, role, sig):
        self.old = list(self.p.children().values())
        try:
            os.kill(self.pid(role), sig)
        except (KeyError, ProcessLookupError):
            pass  # it is just being started again

    def recover(self):
        try:
            self.p.process.wait(0.2)
        except subprocess.TimeoutExpired:
            pass
        if self.p.process.poll() is not None:
            self._last_ones_gone()
            self.p.log_file.close()
            self.p.start()
        else:
            self.p.wait_ready(30)
        wait_until("picket answers", 30, lambda: answers(self.p.open_port))

    def _last_ones_gone(self):
        """The kernel ends the children of a killed supervisor; whoever starts picketd again waits for that, as systemd does."""
        wait_until("the old processes are gone", 10, lambda: not any(pathlib.Path(f"/proc/{p}").exists() for p in self.old))

    def restart(self, sig):
        self.old = list(self.p.children().values())
        self.p.process.send_signal(sig)
        self.p.process.wait(30)
        self.recover()

    def drops(self):
        """client id -> messages that the broker counts as dropped for its session; "": those that no member of a shared
        subscription had room for, which no session counts."""
        sessions = self.p.json("session", "list")["sessions"]
        found = {s["client_id"]: sum(s["dropped"].values()) for s in sessions if s["durable"]}
        return {**found, "": 1 << 30} if self.bounded else found

    def stop(self):
        self.p.stop()
        if self.mounted:
            subprocess.run(["umount", self.mounted], check=True)
