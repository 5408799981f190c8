#!/usr/bin/env python3
"""Do refused logins tell why by their timing?  Interleaves classes of refusals and compares the time to the answer.

    tests/perf/refusals.py --each 10000 [--group secrets|passwords]

Welch's t between every pair of classes of a group must stay below 4.5, medians within 1 ms, and all answers be the same
bytes.  The groups are what a client knows of itself: whether it sent something in the shape of a generated secret
(never hashed, for whatever name) or of a chosen password (one hash each, for whatever name).  Of the second no more may run
in parallel than the machine can hash, or the answer is "busy".
"""
import argparse
import asyncio
import itertools
import math
import pathlib
import random
import statistics
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from mqtt import connect  # noqa: E402
from picket import Picket  # noqa: E402


async def refusal(port, hello):
    """Milliseconds from CONNECT to the first byte of the answer, and all bytes until the broker closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    began = time.perf_counter()
    writer.write(hello)
    first = await reader.read(64)
    took = (time.perf_counter() - began) * 1000
    rest = await reader.read()
    writer.close()
    return took, first + rest


async def measure(port, classes, each, parallel):
    times, answers = {c: [] for c in classes}, set()
    jobs = [c for c in classes for _ in range(each)]
    random.Random(1).shuffle(jobs)
    queue = iter(jobs)

    async def worker():
        for name in queue:
            took, answer = await refusal(port, classes[name])
            times[name].append(took)
            answers.add(answer)

    await asyncio.gather(*(worker() for _ in range(parallel)))
    return times, answers


def welch(a, b):
    va, vb = statistics.variance(a) / len(a), statistics.variance(b) / len(b)
    return (statistics.fmean(a) - statistics.fmean(b)) / math.sqrt(va + vb)


def compare(times):
    """(largest |t|, largest distance of medians) over all pairs of classes."""
    pairs = list(itertools.combinations(times, 2))
    return (max(abs(welch(times[a], times[b])) for a, b in pairs),
            max(abs(statistics.median(times[a]) - statistics.median(times[b])) for a, b in pairs))


def classes_of(picket, prefix=""):
    """group -> class -> CONNECT; makes the identities that it needs."""
    known, person, revoked = prefix + "known", prefix + "anna", prefix + "gone"
    picket.add(known)
    gone = picket.add(revoked)
    picket.cli("device", "revoke", revoked, "--yes")
    picket.cli("user", "add", person, "--role", "dashboard", "--password-stdin", stdin="correct horse battery staple 42\n")
    wrong = "pk_" + "a" * 26
    return {
        "secrets": {
            "anonymous": connect("x"),
            "wrong": connect(known, known, wrong),
            "unknown": connect("nobody", "nobody", wrong),
            "revoked": connect(revoked, revoked, gone),
        },
        "passwords": {
            "wrong": connect(person, person, "not the password of anna"),
            "unknown": connect("nobody", "nobody", "not the password of nobody"),
            "no password": connect(known, known, "not the password of known"),
            "revoked": connect(revoked, revoked, "not the password of gone"),
        },
    }


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--each", type=int, default=10000)
    p.add_argument("--group", choices=["secrets", "passwords"], default="secrets")
    p.add_argument("--parallel", type=int, help="64 for secrets, 12 for passwords")
    a = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="picket-refusals-"))
    folder.chmod(0o755)
    with Picket(folder) as picket:
        classes = classes_of(picket)[a.group]
        parallel = a.parallel or {"secrets": 64, "passwords": 12}[a.group]
        times, answers = asyncio.run(measure(picket.plain_port, classes, a.each, parallel))
    for name, v in times.items():
        print(f"{name:16} n {len(v):6}  median {statistics.median(v):8.3f} ms  mean {statistics.fmean(v):8.3f}  sd {statistics.stdev(v):7.3f}")
    t, distance = compare(times)
    print(f"largest |t| {t:.2f}  largest distance of medians {distance:.3f} ms  different answers {len(answers)}")
    sys.exit(0 if t < 4.5 and distance < 1 and len(answers) == 1 else 1)


if __name__ == "__main__":
    main()
