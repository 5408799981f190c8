#!/usr/bin/env python3
"""Many clients, faults, and a judgement of everything that was acknowledged.

    run.py --broker picket --cycles 1000 --fault kill          a thousand times kill -9, each process in turn
    run.py --broker mosquitto --cycles 20 --fault kill         the same against Debian's Mosquitto
    run.py --seed 7 --cycles 25 --fault kill,stop,storm        one run again

A run is a broker in a new folder, clients, some cycles of load and a fault, and the end: everybody receives what waits.  Then
check.py judges the history.  Runs follow each other until all cycles are done; each prints its seed, which fixes who takes part, what
they do and which fault comes when (not the order in which the machine runs them)."""
import argparse
import collections
import errno
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check  # noqa: E402
from brokers import Mosquitto, PicketBroker  # noqa: E402
from disks import Disk  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("PICKET_BUILD", ROOT / "build"))
LOAD = BUILD / "tests/durability/durability_load"
CYCLES_A_RUN = 25


class Load:
    """The program with the clients."""

    def __init__(self, port, history, seed, scale, rate, login=(), more=()):
        more = [*more, *(["--user", login[0], "--password", login[1]] if login else [])]
        self.process = subprocess.Popen([LOAD, "--port", str(port), "--out", history, "--seed", str(seed), "--scale", str(scale),
                                         "--rate", str(rate), *more], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        assert line == "ready\n", f"the clients ended with {self.process.wait()}: {line}"

    def say(self, word):
        self.process.stdin.write(word + "\n")
        self.process.stdin.flush()

    def drain(self):
        self.say("drain")
        line = self.process.stdout.readline().split()
        assert line[:1] == ["done"] and self.process.wait(10) == 0, f"the clients ended with {self.process.wait()}"

    def kill(self):
        self.process.kill()
        self.process.wait()


# ---- faults: each does its worst to a broker under load and returns when it answers again ----------------------------------------

def fault_kill(b, load, rng, turn):
    """kill -9 of one process; each in turn."""
    b.hurt(b.roles[turn % len(b.roles)], signal.SIGKILL)
    b.recover()


def fault_broker(b, load, rng, turn):
    """kill -9 of the process that holds the messages."""
    b.hurt("broker", signal.SIGKILL)
    b.recover()


def fault_twice(b, load, rng, turn):
    """kill -9, and again while it starts."""
    b.hurt("broker", signal.SIGKILL)
    time.sleep(rng.random() * 0.3)
    b.hurt("broker", signal.SIGKILL)
    b.recover()


def fault_stop(b, load, rng, turn):
    """SIGSTOP of one process for a while, each in turn."""
    role = b.roles[turn % len(b.roles)]
    b.hurt(role, signal.SIGSTOP)
    time.sleep(0.1 + rng.random() * 1.5)
    b.hurt(role, signal.SIGCONT)
    b.recover()


def fault_restart(b, load, rng, turn):
    """An orderly restart."""
    b.restart(signal.SIGTERM)


def fault_slow(b, load, rng, turn):
    """Every sync takes 5 to 50 ms longer for a while."""
    b.disk.set(sync_delay_us=rng.randrange(5000, 50000))
    time.sleep(0.5 + rng.random())
    b.disk.set(sync_delay_us=0)


def fault_clock(b, load, rng, turn):
    """The wall clock jumps by hours, forwards or back."""
    b.disk.set(wall_shift_ns=rng.randrange(-12 * 3600, 12 * 3600) * 10**9)


def failing(b, rng, one_in, **what):
    b.disk.set(one_in=one_in, **what)
    time.sleep(0.1 + rng.random())
    b.disk.set(**{k: 0 for k in what})
    b.recover()


def fault_enospc(b, load, rng, turn):
    """Writes fail with ENOSPC for a while: all, or some."""
    failing(b, rng, rng.choice((1, 3, 10)), write_errno=errno.ENOSPC)


def fault_eio(b, load, rng, turn):
    """Writes fail with EIO for a while: all, or some."""
    failing(b, rng, rng.choice((1, 3, 10)), write_errno=errno.EIO)


def fault_sync(b, load, rng, turn):
    """Syncs fail with EIO for a while: all, or some."""
    failing(b, rng, rng.choice((1, 3)), sync_errno=errno.EIO)


def fault_full(b, load, rng, turn):
    """The file system of the state folder is full for a while (root only: a small one is mounted)."""
    ballast = b.mounted / "ballast"
    f = os.open(ballast, os.O_WRONLY | os.O_CREAT)
    for size in (1 << 20, 4096):
        try:
            while os.write(f, b"\0" * size):
                pass
        except OSError as e:
            assert e.errno == errno.ENOSPC
    os.close(f)
    time.sleep(0.3 + rng.random() * 1.5)
    ballast.unlink()
    b.recover()


def fault_storm(b, load, rng, turn):
    """Every client drops its connection at once and comes back."""
    load.say("storm")


def fault_none(b, load, rng, turn):
    """Nothing."""


FAULTS = {n[6:]: f for n, f in globals().items() if n.startswith("fault_")}
NO_EXCUSE = {"none", "storm", "clock", "slow"}  # the broker is there all the time
NEED_DISK = {"slow", "clock", "enospc", "eio", "sync"}
NEED_BROKER = NEED_DISK | {"full"}
BROKERS = {"picket": PicketBroker, "mosquitto": Mosquitto,
           "mosquitto-1s": lambda folder, **kw: Mosquitto(folder, autosave=1),
           "mosquitto-changes": lambda folder, **kw: Mosquitto(folder, autosave=1, on_changes=True)}


class Run:
    """One broker, one history."""

    def __init__(self, o, seed, cycles, folder):
        self.o, self.seed, self.cycles, self.folder = o, seed, cycles, folder
        self.rng = random.Random(seed)
        self.marks, self.turns = [], collections.Counter()
        self.kinds = o.fault.split(",")

    def cycle(self, broker, load):
        low, high = self.o.every
        time.sleep(low + self.rng.random() * (high - low))
        kind = self.rng.choice(self.kinds)
        began = time.monotonic_ns()
        FAULTS[kind](broker, load, self.rng, self.turns[kind])
        self.turns[kind] += 1
        if kind not in NO_EXCUSE:
            self.marks.append((began, time.monotonic_ns(), kind))

    def broker(self):
        disk = Disk(self.folder) if NEED_DISK & set(self.kinds) else None
        full = self.o.disk_mib if "full" in self.kinds else 0
        return BROKERS[self.o.broker](self.folder / "broker", disk=disk, mount_mib=full, queue=self.o.queue)

    def go(self):
        history = self.folder / "history"
        load = None
        broker = self.broker()
        try:
            broker.start()
            more = ["--expiring", "10"] if self.o.queue else []
            load = Load(broker.port, history, self.seed, self.o.scale, self.o.rate, broker.login, more)
            self.turns.update({k: self.rng.randrange(5) for k in self.kinds})
            for _ in range(self.cycles):
                self.cycle(broker, load)
            time.sleep(self.o.every[0])
            load.drain()
            drops = broker.drops()
        except BaseException:
            if load:
                load.kill()
            raise
        finally:
            broker.stop()
        (self.folder / "faults").write_text(json.dumps(self.marks))
        (self.folder / "drops").write_text(json.dumps(drops))
        return check.check_file(history, self.marks, drops)


def options(argv):
    a = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__,
                                epilog="faults:\n" + "\n".join(f"  {n:8} {f.__doc__}" for n, f in FAULTS.items()))
    a.add_argument("--broker", choices=BROKERS, default="picket")
    a.add_argument("--fault", default="kill", help="one or more, with commas: chosen at random")
    a.add_argument("--cycles", type=int, default=25)
    a.add_argument("--seed", type=int, default=None, help="of the first run; the next has the next one")
    a.add_argument("--per-run", type=int, default=CYCLES_A_RUN, help="cycles before everybody receives what waits")
    a.add_argument("--every", type=float, nargs=2, default=(0.2, 1.2), metavar=("LOW", "HIGH"), help="seconds between faults")
    a.add_argument("--rate", type=float, default=2000, help="messages a second")
    a.add_argument("--scale", type=int, default=1, help="times the number of clients")
    a.add_argument("--disk-mib", type=int, default=64, help="size of the file system for the fault full")
    a.add_argument("--queue", type=int, default=0, help="the most messages that wait for a session (and some expire); 0: no limit")
    a.add_argument("--keep", action="store_true", help="keep all folders, not only those of runs that found something")
    a.add_argument("--go-on", action="store_true", help="do not end at the first run that finds something")
    a.add_argument("--show", type=int, default=10)
    a.add_argument("--json", help="write the sums to this file")
    o = a.parse_args(argv)
    unknown = [f for f in o.fault.split(",") if f not in FAULTS]
    if unknown:
        a.error(f"no such fault: {', '.join(unknown)}")
    if o.broker != "picket" and NEED_BROKER & set(o.fault.split(",")):
        a.error(f"only for picket: {', '.join(sorted(NEED_BROKER))}")
    return o


def add(total, part):
    for k, v in part.items():
        if isinstance(v, dict):
            add(total.setdefault(k, {}), v)
        elif k != "seed":
            total[k] = total.get(k, 0) + v


def run_all(o):
    """The sums over all runs, and whether something was found."""
    seed = o.seed if o.seed is not None else random.SystemRandom().randrange(1 << 31)
    total, done = {"broker": "", "runs": 0, "cycles": 0}, 0
    while done < o.cycles:
        cycles = min(o.per_run, o.cycles - done)
        folder = pathlib.Path(tempfile.mkdtemp(prefix="durability-"))
        folder.chmod(0o755)
        c = Run(o, seed, cycles, folder).go()
        part = c.summary()
        print(f"seed {seed}: {cycles} cycles, {json.dumps({k: v for k, v in part.items() if k != 'seed'})}", flush=True)
        for v in c.violations[:o.show]:
            print(f"  {v.kind}: {v.text}")
        add(total, {**part, "runs": 1, "cycles": cycles})
        done += cycles
        if c.violations:
            print(f"  kept in {folder}; again with: tests/durability/run.py --broker {o.broker} --fault {o.fault} --cycles {cycles}"
                  f" --seed {seed}", flush=True)
        if o.keep or c.violations:
            print(f"  {folder}")
        else:
            shutil.rmtree(folder)
        if c.violations and not o.go_on:
            break
        seed += 1
    total["broker"] = o.broker
    return total


def main(argv=None):
    o = options(argv)
    total = run_all(o)
    print(json.dumps(total, indent=1))
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps({**total, "fault": o.fault, "rate": o.rate}, indent=1) + "\n")
    return 1 if total.get("violations") else 0


if __name__ == "__main__":
    sys.exit(main())
