#!/usr/bin/python3
"""Run the conformance tests against Debian's mosquitto and say what it is lax about: each test that fails is a line of
mosquitto.tsv, which says why; a line whose test does not fail, or a test without a line, is an error.

usage: laxities.py [--write]     --write: the table in docs/conformance.md, too

kind: lax (a statement is broken), or choice (the specification leaves it open, and the test does not)."""
import collections
import os
import subprocess
import sys

os.environ |= {"CONFORMANCE_BROKER": "mosquitto", "CONFORMANCE_WAYS": "tcp"}
from report import HERE, rows, run  # noqa: E402

PAGE = HERE.parents[1] / "docs" / "conformance.md"
BEGIN, END = "<!-- laxities.py writes from here -->\n", "<!-- to here -->\n"


def table(failed, remarks):
    """Statements by remark, those of both versions together."""
    lines = collections.defaultdict(set)
    for (v, number), tests in failed.items():
        for test in tests:
            if remarks[test]["kind"] == "lax":
                lines[remarks[test]["what"]].add(f"{'3.1.1' if v == '3' else '5.0'} {number}")
    yield "| statements | what mosquitto does |\n|---|---|\n"
    for what, statements in sorted(lines.items(), key=lambda x: sorted(x[1])):
        yield f"| {', '.join(sorted(statements))} | {what} |\n"
    yield "\nFailing tests that show no fault, since the specification leaves it open: "
    yield "; ".join(sorted({f"{r['what']}" for t, r in remarks.items() if r["kind"] == "choice"})) + ".\n"


def main():
    version = subprocess.run(["mosquitto", "-h"], stdout=subprocess.PIPE, text=True, check=False).stdout.split("\n", 1)[0].removeprefix("mosquitto version ")
    _, found, said = run([], quiet=True)
    remarks = {r["test"]: r for r in rows("mosquitto.tsv")}
    failed = {k: [t for t, ways in tests.items() if ways] for k, tests in found.items()}
    seen = {t for tests in failed.values() for t in tests}
    for t in sorted(seen - set(remarks)):
        print(f"{t} fails, and mosquitto.tsv does not say why")
    for t in sorted(set(remarks) - seen):
        print(f"{t} does not fail any more")
    if seen != set(remarks) or not found:
        print(said[-2000:])
        return 1
    passed = sum(not tests for tests in failed.values())
    text = "".join([f"Mosquitto {version}: {passed} of {len(failed)} statements pass. What it is lax about:\n\n", *table(failed, remarks)])
    print(text)
    if "--write" in sys.argv:
        page = PAGE.read_text(encoding="utf-8")
        head, rest = page.split(BEGIN)
        PAGE.write_text(head + BEGIN + text + END + rest.split(END)[1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
