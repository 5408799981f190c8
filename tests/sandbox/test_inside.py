"""What a taken-over process cannot do: every attempt is made from inside a live process of the release build."""
import errno
import os
import subprocess
import time

import pytest

from inject import AT_FDCWD, KILLED, O_CLOEXEC, O_CREAT, O_RDONLY, O_RDWR, call, can_inject
from picket import BUILD, Picket, sanitized

pytestmark = [can_inject, pytest.mark.skipif(sanitized(), reason="a build with sanitizers has an open sandbox")]


class Held(Picket):
    """A broker whose children hold Landlock to an older version."""

    abi = 0
    kills = 0

    def start(self, expect_ready=True):
        self.log_file = open(self.log_path, "ab")
        self.process = subprocess.Popen(
            [BUILD / "picketd", "--config", self.conf, "--state", self.state, "--run", self.run_dir, "--foreground",
             "--landlock-abi", str(self.abi)],
            stdin=subprocess.DEVNULL, stdout=self.log_file, stderr=self.log_file)
        if expect_ready:
            self.wait_ready()
        return self


@pytest.fixture(scope="module", params=[0, 2], ids=["landlock", "landlock2"])
def running(request, tmp_path_factory):
    p = Held(tmp_path_factory.mktemp("inside"))
    p.abi = request.param
    with p:
        yield p


def attempt(p, role, name, *args):
    pid = p.children()[role]
    result = call(pid, name, *args)
    if result == KILLED:
        wait_back(p, role, pid)
        p.kills += 1
        if p.kills % 5 == 0:  # restarts in a row come slower and slower; a new picketd has forgotten them
            p.stop()
            p.start()
    return result


def wait_back(p, role, old):
    end = time.monotonic() + 20
    while time.monotonic() < end:
        now = {x["name"]: x for x in p.status()["processes"]}[role] if p.children().get("admin") else {}
        if now.get("up") and now.get("pid") != old:
            return
        time.sleep(0.05)
    raise AssertionError(f"{role} did not come back:\n{p.log()[-2000:]}")


def test_the_tool_works(running):
    """A call that is allowed returns what it should: otherwise every refusal below would prove nothing."""
    assert attempt(running, "broker", "getppid") == running.process.pid


BROKER = [
    ("read the server's private key", "openat", (AT_FDCWD, "{state}/keys/server.key", O_RDONLY)),
    ("the same as glibc would", "openat", (AT_FDCWD, "{state}/keys/server.key", O_RDONLY | O_CLOEXEC)),
    ("the same the old way", "open", ("{state}/keys/ca.key", O_RDONLY)),
    ("read the identities", "openat", (AT_FDCWD, "{state}/auth/picket.db", O_RDWR)),
    ("read what anyone may read", "openat", (AT_FDCWD, "/etc/passwd", O_RDONLY)),
    ("make a file", "openat", (AT_FDCWD, "/tmp/picket-was-here", O_RDWR | O_CREAT, 0o600)),
    ("open its own store once more", "openat", (AT_FDCWD, "{state}/store/data.mdb", O_RDWR)),
    ("read its own store once more", "openat", (AT_FDCWD, "{state}/store/data.mdb", O_RDONLY | O_CLOEXEC)),
    ("make a file beside its store", "openat", (AT_FDCWD, "{state}/store/x", O_RDWR | O_CREAT, 0o600)),
    ("remove its store", "unlinkat", (AT_FDCWD, "{state}/store/data.mdb", 0)),
    ("truncate a file", "truncate", ("{state}/lock", 0)),
    ("remove a file", "unlinkat", (AT_FDCWD, "{state}/lock", 0)),
    ("run a program", "execve", ("/bin/true", 0, 0)),
    ("run a program from memory", "execveat", (0, "", 0, 0, 0x1000)),
    ("make a process", "fork", ()),
    ("make a process with clone", "clone", (17, 0, 0, 0, 0)),
    ("connect out: a TCP socket", "socket", (2, 1, 0)),
    ("connect out: an IPv6 socket", "socket", (10, 1, 0)),
    ("connect out: a unix socket", "socket", (1, 1, 0)),
    ("look at the network", "socket", (16, 3, 0)),
    ("connect an open socket", "connect", (3, 0, 0)),
    ("bind an open socket", "bind", (3, 0, 0)),
    ("make memory executable", "mprotect", (0x10000, 4096, 7)),
    ("map executable memory", "mmap", (0, 4096, 7, 0x22, -1, 0)),
    ("look into keys", "process_vm_readv", ("{keys}", 0, 0, 0, 0, 0)),
    ("trace keys", "ptrace", (16, "{keys}", 0, 0)),
    ("kill the supervisor", "kill", ("{sup}", 9)),
    ("kill a thread of the supervisor", "tgkill", ("{sup}", "{sup}", 9)),
    ("become root", "setuid", (0,)),
    ("mount", "mount", (0, 0, 0, 0, 0)),
    ("load a program into the kernel", "bpf", (0, 0, 0)),
    ("go around the filter", "io_uring_setup", (1, 0)),
]


NAMED = {"read the server's private key", "the same as glibc would", "read what anyone may read", "make a file", "run a program",
         "connect out: a TCP socket"}


def fill(p, args):
    pids = {"{keys}": p.children()["keys"], "{sup}": p.process.pid}
    return [pids.get(a, a.replace("{state}", str(p.state))) if isinstance(a, str) else a for a in args]


@pytest.mark.parametrize("what,name,args", BROKER, ids=[b[0].replace(" ", "-") for b in BROKER])
def test_broker_cannot(running, what, name, args):
    if running.abi and what not in NAMED:
        pytest.skip("Landlock's version plays no part in it")
    result = attempt(running, "broker", name, *fill(running, args))
    assert result == KILLED or result in (-errno.EACCES, -errno.ENOSYS, -errno.EPERM), f"{what}: {result}"
    assert not os.path.exists("/tmp/picket-was-here")
    assert running.process.poll() is None


@pytest.mark.parametrize("role", ["keys", "admin"])
@pytest.mark.parametrize("name,args", [("socket", (2, 1, 0)), ("execve", ("/bin/true", 0, 0)),
                                       ("openat", (AT_FDCWD, "/etc/passwd", O_RDONLY))])
def test_keys_and_admin_cannot(running, role, name, args):
    assert attempt(running, role, name, *args) == KILLED


def test_auth_has_its_folder_and_no_other(running):
    """auth may open files; where, Landlock says.  /etc/passwd is open to everyone else on this machine."""
    assert attempt(running, "auth", "openat", AT_FDCWD, "/etc/passwd", O_RDONLY) == -errno.EACCES
    assert attempt(running, "auth", "openat", AT_FDCWD, "/tmp/picket-was-here", O_RDWR | O_CREAT, 0o600) == -errno.EACCES
    assert attempt(running, "auth", "openat", AT_FDCWD, f"{running.state}/keys/ca.key", O_RDONLY) == -errno.EACCES
    assert attempt(running, "auth", "socket", 2, 1, 0) == KILLED
    assert attempt(running, "auth", "execve", "/bin/true", 0, 0) == KILLED


def test_who_closes_its_link_to_the_supervisor_is_ended(running):
    """It could neither be reloaded nor be told to stop."""
    pid = running.children()["auth"]
    assert attempt(running, "auth", "close", 3) == 0
    wait_back(running, "auth", pid)
    assert "auth has closed its link to the supervisor" in running.log()


def test_status_says_which_landlock(running):
    for process in running.status()["processes"]:
        assert process["seccomp"] == 1
        assert process["landlock_abi"] == 2 if running.abi == 2 else process["landlock_abi"] >= 1
