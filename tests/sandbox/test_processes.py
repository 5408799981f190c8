"""The processes of the release build as the kernel sees them, and what happens when one dies."""
import os
import pathlib
import signal
import stat
import subprocess
import threading
import time

import pytest

from mqtt import Closed
from picket import BUILD, sanitized

ROLES = ["broker", "auth", "keys", "admin"]


def proc(pid, field):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return line.split(":", 1)[1].split()
    raise KeyError(field)


def test_every_process_is_closed_in(picket):
    children = picket.children()
    assert sorted(children) == sorted(ROLES)
    for role, pid in children.items():
        assert proc(pid, "Seccomp") == ["2"], role
        assert proc(pid, "NoNewPrivs") == ["1"], role
        assert int(proc(pid, "CapEff")[0], 16) == 0 and int(proc(pid, "CapPrm")[0], 16) == 0, role
        if os.getuid() == 0:
            assert int(proc(pid, "CapBnd")[0], 16) == 0, role
            assert proc(pid, "Groups") == [], role
        limits = pathlib.Path(f"/proc/{pid}/limits").read_text()
        assert [l for l in limits.splitlines() if l.startswith("Max core file size")][0].split()[4:6] == ["0", "0"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give them users of their own")
def test_every_process_has_its_own_user(picket):
    uids = {role: proc(pid, "Uid") for role, pid in picket.children().items()}
    assert len({u[0] for u in uids.values()}) == len(ROLES)
    for role, ids in uids.items():
        assert len(set(ids)) == 1 and ids[0] != "0", role


@pytest.mark.skipif(os.getuid() != 0, reason="capabilities are root's")
def test_the_supervisor_keeps_only_what_it_needs(picket):
    keep = {0, 1, 3, 5, 6, 7, 8, 10, 12}  # chown dac fowner kill setgid setuid setpcap bind net_admin
    have = int(proc(picket.process.pid, "CapPrm")[0], 16)
    assert {bit for bit in range(64) if have >> bit & 1} <= keep
    assert proc(picket.process.pid, "NoNewPrivs") == ["1"]
    assert sanitized() or proc(picket.process.pid, "Seccomp") == ["2"]


def test_each_has_an_address_layout_of_its_own(picket):
    def base(pid):
        maps = pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()
        return [line for line in maps if line.endswith("picketd")][0].split("-", 1)[0]

    assert len({base(pid) for pid in picket.children().values()}) == len(ROLES)


def test_none_knows_the_environment(picket):
    for role, pid in picket.children().items():
        names = {v.split(b"=")[0] for v in pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if v}
        assert names <= {b"TZ", b"ASAN_OPTIONS", b"UBSAN_OPTIONS", b"TSAN_OPTIONS", b"LSAN_OPTIONS"}, role


def test_state_is_private(picket):
    for folder, _, files in os.walk(picket.state):
        mode = stat.S_IMODE(os.stat(folder).st_mode)
        assert mode & 0o066 == 0, f"{folder} {mode:o}"
        for name in files:
            mode = stat.S_IMODE(os.stat(os.path.join(folder, name)).st_mode)
            assert mode & 0o077 == 0, f"{folder}/{name} {mode:o}"


@pytest.mark.skipif(os.getuid() != 0, reason="as a plain user it is that user's alone")
def test_people_reach_the_admin_socket(picket):
    """Group picket-admin needs to get to it; the socket itself says who may."""
    assert stat.S_IMODE(os.stat(picket.run_dir).st_mode) == 0o755
    assert stat.S_IMODE(os.stat(picket.run_dir / "admin.sock").st_mode) in (0o600, 0o660)


def test_no_process_holds_a_key_file(picket):
    """Descriptors of broker, auth and admin: none leads to a file of keys."""
    for role in ("broker", "auth", "admin"):
        for fd in pathlib.Path(f"/proc/{picket.children()[role]}/fd").iterdir():
            try:
                assert "/keys/" not in os.readlink(fd), role
            except FileNotFoundError:
                pass


class Load:
    """A client that publishes to itself over TLS and comes back whenever it is cut off."""

    def __init__(self, picket, token):
        self.picket, self.token = picket, token
        self.received = self.logins = 0
        self.running = True
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        while self.running:
            try:
                c = self.picket.login("load", self.token)
                self.logins += 1
                c.subscribe("load/#")
                while self.running:
                    c.publish("load/x", b"x" * 100)
                    c.message()
                    self.received += 1
            except (OSError, Closed, AssertionError, ValueError):
                time.sleep(0.02)

    def wait(self, what, timeout=20):
        end = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < end, self.picket.log()[-3000:]
            time.sleep(0.002)

    def stop(self):
        self.running = False
        self.thread.join()


def test_kill_each_in_turn_under_load(picket, record_property):
    token = picket.add("load")
    load = Load(picket, token)
    try:
        load.wait(lambda: load.received > 10)
        for role in ROLES:
            before = picket.children()
            received = load.received
            began = time.monotonic()
            os.kill(before[role], signal.SIGKILL)
            load.wait(lambda: picket.children().get(role, before[role]) != before[role])
            record_property(f"{role}_running_again_s", round(time.monotonic() - began, 3))
            load.wait(lambda: load.received > received + 10)
            load.wait(lambda: role_up(picket, role))
            record_property(f"{role}_serving_again_s", round(time.monotonic() - began, 3))
            print(f"{role}: serving again after {time.monotonic() - began:.3f} s")
            after = picket.children()
            assert {r: p for r, p in after.items() if r != role} == {r: p for r, p in before.items() if r != role}
        # and who was away may log in again: all three of the links of a login work
        c = picket.login("load", token, client_id="load:again")
        c.ping()
        c.close()
    finally:
        load.stop()
    assert "was ended by signal 9" in picket.log()


def role_up(picket, role):
    try:
        return {p["name"]: p for p in picket.status()["processes"]}[role]["up"]
    except Exception:
        return False


def test_two_on_one_state_folder(picket, tmp_path):
    conf = tmp_path / "c.conf"
    conf.write_text('listener a { bind = "127.0.0.1:1" }')
    r = subprocess.run([BUILD / "picketd", "--config", conf, "--state", picket.state, "--run", tmp_path, "--foreground"],
                       capture_output=True, text=True, timeout=20)
    assert r.returncode == 1
    assert f"another picketd (process {picket.process.pid}) uses" in r.stderr
    assert picket.status()["processes"]
