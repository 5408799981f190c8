#!/usr/bin/env python3
"""Cuts the power at every write and every sync of a real run, without cutting any power.

    cuts.py --commits 10000 --subsets 10000

picketd runs under load with a recorder in its process (disk.c): every write and sync of the store and every byte of every client,
in one order.  timeline.py turns the bytes into promises; durability_cuts replays the writes onto copies of the store: up to every
single one, and any subset of those since the last sync; and looks whether the promises are kept."""
import argparse
import collections
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
import disks  # noqa: E402
import run  # noqa: E402
import timeline  # noqa: E402
from brokers import PicketBroker  # noqa: E402

CUTS = run.BUILD / "tests/durability/durability_cuts"
DRIVE = run.BUILD / "tests/durability/durability_drive"
MEMORY = pathlib.Path("/dev/shm")


def record(o, seed, folder):
    """A run of picketd under load until its store has made so many syncs; then kill -9."""
    disk = disks.Disk(folder, o.log_mib << 20)
    broker = PicketBroker(folder / "broker", disk=disk)
    load = None
    try:
        broker.start()
        load = run.Load(broker.port, folder / "history", seed, 1, o.rate, broker.login, more=["--bytes", "200"])
        end = time.monotonic() + o.seconds
        while disk.get("syncs") < o.commits and time.monotonic() < end:
            time.sleep(0.05)
        broker.hurt("broker", signal.SIGKILL)
    finally:
        if load:
            load.kill()
        broker.stop()
    return disk.log


def drive(o, seed, folder):
    """A store alone, without a broker: durability_drive makes so many commits and promises."""
    disk = disks.Disk(folder, o.log_mib << 20)
    (folder / "store").mkdir(mode=0o700)
    subprocess.run([DRIVE, folder / "store", folder / "timeline", str(o.commits), str(seed), "-R", "broker"], check=True,
                   env={**os.environ, **disk.env})
    return disk.log


def store_file(log):
    """The number of the file that was written most."""
    count = collections.Counter(who for _, kind, _, who, _, _ in disks.entries(log) if kind == disks.WRITE)
    assert count, "the broker wrote nothing"
    return count.most_common(1)[0][0]


def without_syncs(log, to):
    """A copy of the log, as of a broker that never syncs."""
    shutil.copyfile(log, to)
    with open(to, "r+b") as f:
        for place, kind, *_ in disks.entries(log):
            if kind in (disks.SYNC, disks.WRITTEN):
                f.seek(place)
                f.write(disks.ENTRY.pack(disks.NONE, 0, 0, 0, 0, 0)[:4])
    return to


def promises(folder, log, hasty=False):
    """Write the timeline of a log; the names of its keys."""
    t = timeline.Timeline(hasty).read(log)
    t.write(folder / "timeline")
    return t.names


def replay(o, seed, folder, log, names):
    """What durability_cuts found; it says the names of what it misses."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir(mode=0o700)
    r = subprocess.run([CUTS, log, folder / "timeline", str(store_file(log)), copy, str(o.subsets), str(seed)], stdout=subprocess.PIPE,
                       text=True)
    lines = r.stdout.splitlines()
    assert r.returncode in (0, 1) and lines, f"durability_cuts ended with {r.returncode}; kept in {folder}\n{r.stdout}"
    for line in lines if lines[-1].startswith("violation died") else lines[:-1]:
        name = next((names[int(w, 16)] for w in line.split() if len(w) == 16 and int(w, 16) in names), "")
        print(f"  {line}  {name}")
    return {"violations": 1} if lines[-1].startswith("violation died") else json.loads(lines[-1])


def memory_folder():
    """In memory, where there is a file system for that: every cut writes a whole store."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="durability-", dir=MEMORY if MEMORY.is_dir() else None))
    folder.chmod(0o755)
    return folder


def one(o, seed):
    folder = memory_folder()
    if o.alone:
        log, names = drive(o, seed, folder), {}
    else:
        log = record(o, seed, folder)
        names = promises(folder, log)
    found = replay(o, seed, folder, log, names)
    print(f"seed {seed}: {json.dumps(found)}", flush=True)
    if o.keep or found["violations"]:
        print(f"  kept in {folder}")
    else:
        shutil.rmtree(folder)
    return found


def options(argv=None):
    a = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    a.add_argument("--commits", type=int, default=10000, help="syncs to record, in runs of at most --per-run")
    a.add_argument("--per-run", type=int, default=2000)
    a.add_argument("--subsets", type=int, default=10000, help="in all")
    a.add_argument("--seed", type=int)
    a.add_argument("--rate", type=float, default=1000)
    a.add_argument("--seconds", type=float, default=60, help="the most that a run may take")
    a.add_argument("--log-mib", type=int, default=2048, help="room for the log of a run")
    a.add_argument("--alone", action="store_true", help="no broker: a store that is given a hard life")
    a.add_argument("--keep", action="store_true")
    a.add_argument("--json")
    return a.parse_args(argv)


def run_all(o):
    seed = o.seed if o.seed is not None else random.SystemRandom().randrange(1 << 31)
    total, runs = {}, -(-o.commits // o.per_run)
    each = argparse.Namespace(**{**vars(o), "commits": min(o.commits, o.per_run), "subsets": -(-o.subsets // runs)})
    while total.get("syncs", 0) < o.commits:
        run.add(total, {**one(each, seed), "runs": 1})
        seed += 1
        if total["violations"]:
            break
    return total


def main():
    o = options()
    total = run_all(o)
    print(json.dumps(total, indent=1))
    if o.json:
        pathlib.Path(o.json).write_text(json.dumps(total, indent=1) + "\n")
    return 1 if total["violations"] else 0


if __name__ == "__main__":
    sys.exit(main())
