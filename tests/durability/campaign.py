#!/usr/bin/env python3
"""All long runs of the durability tests, one after the other, and docs/durability.md from what they found.

    campaign.py                    all rows (hours); each keeps its figures in BUILD/durability
    campaign.py --only NAME …      some of them
    campaign.py --part 100         each with the hundredth part of its cycles
    campaign.py --write            only the page, from the figures that are there"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cuts  # noqa: E402
import run  # noqa: E402

RESULTS = run.BUILD / "durability"
PAGE = run.ROOT / "docs/durability.md"
PROCESSES = "kill -9 of every process in turn"
# name, broker, faults, cycles, what is done
ROWS = [
    ("kill", "picket", "kill", 1000, PROCESSES),
    ("twice", "picket", "twice", 50, "kill -9 of `broker`, and again while it starts"),
    ("stop", "picket", "stop", 50, "SIGSTOP of every process in turn, up to 1.6 s"),
    ("restart", "picket", "restart", 50, "`picketd` stopped and started again"),
    ("storm", "picket", "storm", 50, "every client reconnects at once"),
    ("full", "picket", "full", 50, "the file system is full for a while"),
    ("enospc", "picket", "enospc", 50, "writes fail with ENOSPC for a while: all, or some"),
    ("eio", "picket", "eio", 50, "writes fail with EIO for a while: all, or some"),
    ("sync", "picket", "sync", 50, "syncs fail with EIO for a while: all, or some"),
    ("slow", "picket", "slow", 50, "every sync takes 5 to 50 ms longer for a while"),
    ("clock", "picket", "clock", 50, "the wall clock jumps by up to 12 hours, both ways"),
    ("limits", "picket", "kill,storm --queue 20", 100, "kill -9 and reconnecting; at most 20 messages may wait for a session, some expire"),
    ("mixed", "picket", "kill,twice,stop,restart,storm,enospc,eio,sync,slow,clock", 200, "all of these, at random"),
    ("mosquitto", "mosquitto", "kill", 25, "kill -9"),
    ("mosquitto-1s", "mosquitto-1s", "kill", 25, "kill -9"),
    ("mosquitto-changes", "mosquitto-changes", "kill", 25, "kill -9"),
    ("mosquitto-restart", "mosquitto", "restart", 25, "stopped with SIGTERM and started again"),
    ("mosquitto-storm", "mosquitto", "storm", 25, "every client reconnects at once"),
]
CUTS = {"cuts": [], "alone": ["--alone", "--per-run", "1000"]}
SETTINGS = {"mosquitto": "`persistence true`", "mosquitto-1s": "`persistence true`, `autosave_interval 1`",
            "mosquitto-changes": "`persistence true`, `autosave_on_changes true`, `autosave_interval 1`"}
FOUND = ["lost", "shared lost", "duplicate", "shared duplicate", "order", "session lost", "retained lost", "retained stale",
         "will missing", "will unwanted"]


def go(row, part):
    name, broker, faults, cycles, _ = row
    argv = ["--broker", broker, "--fault", *faults.split(), "--cycles", str(max(cycles // part, 2)), "--seed", "1"]
    if broker != "picket":
        argv += ["--go-on", "--show", "0"]
    o = run.options(argv)
    began = time.monotonic()
    total = run.run_all(o)
    total.update(command="tests/durability/run.py " + " ".join(argv), seconds=round(time.monotonic() - began))
    return total


def go_cuts(name, part):
    argv = [*CUTS[name], "--commits", str(max(10000 // part, 200)), "--subsets", str(max(10000 // part, 200)), "--seed", "1"]
    began = time.monotonic()
    total = cuts.run_all(cuts.options(argv))
    total.update(command="tests/durability/cuts.py " + " ".join(argv), seconds=round(time.monotonic() - began))
    return total


def number(n):
    return f"{n:,}"


def found(total):
    """The violations in words."""
    v = dict(total.get("violations", {}))
    words = [f"{number(v.pop(k))} {k}" for k in FOUND if k in v] + [f"{number(n)} {k}" for k, n in v.items()]
    return ", ".join(words) or "**none**"


def table(rows, figures):
    lines = ["| what is done | cycles | connections | acknowledged | deliveries due | violations |", "|---|--:|--:|--:|--:|---|"]
    for name, broker, faults, cycles, text in rows:
        f = figures.get(name)
        if f is None:
            continue
        where = f"{text}; {SETTINGS[broker]}" if broker in SETTINGS else text
        lines.append(f"| {where} | {number(f['cycles'])} | {number(f['connections'])} | {number(f['acknowledged'])} | "
                     f"{number(f['due'])} | {found(f)} |")
    return "\n".join(lines)


def commands(rows, figures):
    return "\n".join(figures[r[0]]["command"] for r in rows if r[0] in figures)


def machine():
    model = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), "?")
    return f"{os.cpu_count()} cores of {model}, Linux {os.uname().release.split('-')[0]}"


def version():
    text = subprocess.run(["/usr/sbin/mosquitto", "-h"], capture_output=True, text=True).stdout
    return text.split()[2] if text else "?"


def page(figures):
    text = pathlib.Path(__file__).with_name("page.md").read_text()
    ours = [r for r in ROWS if r[1] == "picket"]
    theirs = [r for r in ROWS if r[1] != "picket"]
    c = [figures.get(name, {}) for name in CUTS]
    fields = {"OURS": table(ours, figures), "THEIRS": table(theirs, figures), "OUR_COMMANDS": commands(ours, figures),
              "THEIR_COMMANDS": commands(theirs, figures), "MACHINE": machine(), "MOSQUITTO": version(),
              "CUTS_COMMAND": "\n".join(f["command"] for f in c if f)}
    lines = [("commits (syncs) recorded", "syncs"), ("writes recorded", "writes"), ("cuts after each write and sync", "prefixes"),
             ("cuts with a random subset of the writes since the last sync", "subsets"),
             ("promises made and ended", "promises"), ("records looked for", "looked at"), ("violations", "violations")]
    fields["CUTS"] = "\n".join(["| | a broker under load | a store alone |", "|---|--:|--:|"]
                               + [f"| {t} | " + " | ".join(number(f[k]) if k in f else "–" for f in c) + " |" for t, k in lines])
    for name, value in fields.items():
        text = text.replace("{{" + name + "}}", value)
    return text


def main():
    a = argparse.ArgumentParser(formatter_class=argparse.RawDescriptionHelpFormatter, description=__doc__)
    a.add_argument("--only", nargs="+", default=[])
    a.add_argument("--part", type=int, default=1)
    a.add_argument("--write", action="store_true")
    o = a.parse_args()
    RESULTS.mkdir(exist_ok=True)
    for row in [] if o.write else [*ROWS, *((name,) for name in CUTS)]:
        if o.only and row[0] not in o.only:
            continue
        print(f"== {row[0]}", flush=True)
        total = go_cuts(row[0], o.part) if row[0] in CUTS else go(row, o.part)
        (RESULTS / f"{row[0]}.json").write_text(json.dumps(total, indent=1) + "\n")
    figures = {f.stem: json.loads(f.read_text()) for f in RESULTS.glob("*.json")}
    PAGE.write_text(page(figures))
    bad = [n for n, f in figures.items() if not n.startswith("mosquitto") and f.get("violations")]
    print(f"{PAGE.relative_to(run.ROOT)} written; " + (f"violations in: {', '.join(bad)}" if bad else "picket: no violations"))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
