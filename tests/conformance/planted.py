#!/usr/bin/python3
"""Can the tests fail?  planted.tsv lists faults: rules of the specification that a server breaks, each as a change of picket's
own source.  One build has them all, and an environment variable says which is on (planted.h).  The tests of the statements
that a fault breaks run against it: at least one of each statement's has to fail, and with no fault on all have to pass.

usage: planted.py --check
       planted.py BUILD-FOLDER [--some N] [--everything] [FAULT ...]

--check: does each change still fit into the source? no more.

--some N: so many faults, chosen at random (the seed is printed; CONFORMANCE_SEED chooses it).  Without a choice all run, and
then it is also an error when there is a statement, or a test, that no fault makes fail.

Columns of planted.tsv: fault, file, old, new, breaks.  old stands in the file exactly once (\\n and \\t are written like that).
Lines with one number are one fault (0: what all need), one without a file has its change in another line; breaks, in its first line: what is broken,
a colon, the statements, as 5:3.1.2-3, separated by blanks.
A change that does not fit into the source any more is an error: adapt its line."""
import argparse
import collections
import concurrent.futures
import csv
import os
import pathlib
import random
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]

# Nothing of what goes wrong when a broker does not run at all may count as a failure that was seen.
ALWAYS = ["test_3_MQTT_3_12_4_1__ping", "test_3_MQTT_3_1_0_1__something_else_first", "test_5_MQTT_4_7_3_1__an_empty_filter"]
AT_ONCE = 3


def rows(name):
    with open(HERE / name, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def unescaped(text):
    return text.replace("\\n", "\n").replace("\\t", "\t")


def faults():
    """number -> its statements, in the order of the list."""
    found = {}
    for r in rows("planted.tsv"):
        if r["fault"] == "0":
            continue
        known = found.setdefault(int(r["fault"]), r["breaks"].split(": ")[-1].split())
        assert known or r["breaks"], f"fault {r['fault']} breaks nothing"
    return found


def planted_tree():
    """file -> its text with all faults in it; None, having said why, when a change does not fit."""
    files = [ROOT / "meson.build", ROOT / "meson_options.txt", *(ROOT / "src").rglob("*"), *(ROOT / "packaging").rglob("*")]
    texts = {str(f.relative_to(ROOT)): f.read_bytes() for f in files if f.is_file()}
    changes = [r for r in rows("planted.tsv") if r["file"]]
    wrong = [f"fault {n}: no change asks for it" for n in faults() if not any(f"planted({n})" in r["new"] for r in changes)]
    for r in changes:
        source, old, new = texts[r["file"]].decode(), unescaped(r["old"]), unescaped(r["new"])
        if source.count(old) != 1:
            wrong.append(f"fault {r['fault']}: {source.count(old)} times in {r['file']}: {r['old']}")
        texts[r["file"]] = source.replace(old, new, 1).encode()
    for line in wrong:
        print(line)
    return None if wrong else texts


def write(texts, folder):
    """Only files that changed."""
    for name, text in texts.items():
        path = folder / name
        if not path.exists() or path.read_bytes() != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text)


def build(folder):
    out = folder / "build"
    if not (out / "build.ninja").exists():
        subprocess.run(["meson", "setup", out, folder / "source", "--buildtype=debugoptimized", "-Dwerror=false", "-Dtests=false",
                        f"-Dc_args=-w -include {HERE / 'planted.h'}"], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", out, "--quiet", "picketd", "picket"], check=True, stdout=subprocess.DEVNULL)
    return out


def collect():
    """statement -> its tests, as pytest names them."""
    lines = subprocess.run(["/usr/bin/python3", "-m", "pytest", "-q", "--collect-only", str(HERE)], stdout=subprocess.PIPE, text=True, cwd=ROOT,
                           env={**os.environ, "CONFORMANCE_WAYS": "tcp"}, check=True).stdout.splitlines()
    found = collections.defaultdict(list)
    for line in lines:
        if "::" in line:
            found[statement_of(line)].append(line)
    return found


def statement_of(test):
    m = re.search(r"::test_(\d)_MQTT_(\d+_\d+_\d+)_(\d+)__", test)
    return f"{m[1]}:{m[2].replace('_', '.')}-{m[3]}"


class Run:
    """The tests of some statements with one fault on (0: none)."""

    def __init__(self, out, number, tests):
        from report import run  # wants pytest, which a check does without
        green, found, said = run(tests, quiet=True, env={"PICKET_BUILD": str(out), "PICKET_PLANTED": str(number), "CONFORMANCE_WAYS": "tcp",
                                                         "CONFORMANCE_PATIENCE": "1.5" if number else "5"})
        self.number, self.green, self.said = number, green, said
        self.failed = {(f"{v}:{i.removeprefix('MQTT-')}", what) for (v, i), proofs in found.items() for what, ways in proofs.items() if ways}
        self.passed = {(f"{v}:{i.removeprefix('MQTT-')}", what) for (v, i), proofs in found.items() for what, ways in proofs.items() if not ways}

    def complaints(self, statements):
        if not self.passed:
            why = [line for line in self.said.splitlines() if line.startswith("E  ")]
            yield "nothing works any more, which proves nothing: " + (why[0] if why else self.said[-300:])
        if "DIED" in self.said:
            yield "a process of the broker died: " + next(line for line in self.said.splitlines() if "DIED " in line and "deaths" not in line)
        for s in statements:
            if s not in {f[0] for f in self.failed}:
                yield f"no test of {s} failed"


def main():
    options = argparse.ArgumentParser()
    options.add_argument("folder", type=pathlib.Path, nargs="?")
    options.add_argument("--check", action="store_true")
    options.add_argument("--some", type=int)
    options.add_argument("--everything", action="store_true", help="run all tests under each fault, and say which statements fail")
    options.add_argument("faults", nargs="*", type=int)
    options = options.parse_args()
    texts = planted_tree()
    if texts is None or options.check:
        return 0 if texts else 1
    write(texts, options.folder.resolve() / "source")
    out = build(options.folder.resolve())
    every, known = faults(), collect()
    wrong = [f"fault {n}: no such statement: {s}" for n, statements in every.items() for s in statements if s not in known]
    chosen = {n: every[n] for n in options.faults} or every
    if options.some:
        seed = int(os.environ.get("CONFORMANCE_SEED", random.randrange(10**6)))
        print(f"{options.some} of {len(every)} faults, seed {seed}")
        chosen = {n: every[n] for n in sorted(random.Random(seed).sample(list(every), options.some))}
    needed = [t for s in {s for statements in chosen.values() for s in statements} for t in known.get(s, [])]
    whole = Run(out, 0, sorted(set(needed)) if len(chosen) < len(every) else [])
    if not whole.green:
        print(whole.said)
        wrong.append("tests fail with no fault on")
    always = [t for tests in known.values() for t in tests if any(a in t for a in ALWAYS)]
    seen = set()

    def one(n):
        tests = [] if options.everything else sorted({t for s in chosen[n] for t in known.get(s, [])} | set(always))
        r = Run(out, n, tests)
        return r if r.passed else Run(out, n, tests)  # the broker may not have come up

    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for r in pool.map(one, chosen):
            complaints = list(r.complaints(chosen[r.number]))
            seen |= r.failed
            print(f"fault {r.number:<4} {len(r.failed):>4} tests fail, {len(r.passed):>4} pass{''.join('; ' + c for c in complaints)}", flush=True)
            if options.everything:
                print("    ", " ".join(sorted({s for s, _ in r.failed})))
            wrong += [f"fault {r.number}: {c}" for c in complaints]
    if len(chosen) == len(every):
        wrong += [f"no fault makes a test of {s} fail" for s in known if s not in {s for s, _ in seen}]
        bodies = {(s[0], t.split("__")[-1].split("[")[0]) for s, tests in known.items() for t in tests}
        wrong += [f"no fault makes {what} of {v} fail" for v, what in sorted(bodies - {(s[0], what) for s, what in seen})]
    print(f"{len(chosen)} faults, {len({s for s, _ in seen})} statements of {len(known)} failed under one")
    for line in wrong:
        print(line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
