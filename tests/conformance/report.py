#!/usr/bin/python3
"""Run the conformance tests and print each statement, the tests that prove it and how they ended; then the share covered.
A test has passed when it did over every way: each transport, with packets whole and a byte at a time.

usage: report.py [pytest's options]

Statements: mqtt-3.1.1.tsv and mqtt-5.0.tsv (rows that bind a server and can be seen from outside).  gaps.tsv names those that
concern what this server does not have.  Ends with 1 when a test fails, or when a statement has neither a test nor a reason."""
import collections
import csv
import os
import pathlib
import subprocess
import sys
import tempfile
import xml.etree.ElementTree

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from suite import TEST_NAME, WAYS  # noqa: E402

LISTS = {"3": "mqtt-3.1.1.tsv", "5": "mqtt-5.0.tsv"}


def rows(name):
    with open(HERE / name, encoding="utf-8", newline="") as f:
        return list(csv.DictReader(f, delimiter="\t", quoting=csv.QUOTE_NONE))


def run(options, quiet=False, env=None):
    """Whether all passed; (version, id) -> test -> the ways in which it failed; and what pytest said, by running the tests.
    options: pytest's; without tests among them all are run."""
    found = collections.defaultdict(lambda: collections.defaultdict(list))
    with tempfile.NamedTemporaryFile(suffix=".xml") as f:
        command = ["/usr/bin/python3", "-m", "pytest", "-q", "--tb=short", f"--junitxml={f.name}", *(options if any("::" in o for o in options) else [str(HERE), *options])]
        code = subprocess.run(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[1], check=False, env={**os.environ, **(env or {})})
        cases = list(xml.etree.ElementTree.parse(f.name).iter("testcase"))
    if code.returncode != 0 and not quiet:
        print(code.stdout)
    for case in cases:
        m = TEST_NAME.fullmatch(case.get("name"))
        if m and case.find("skipped") is None:
            failed = found[m["v"], f"MQTT-{m['n'].replace('_', '.')}-{m['k']}"][m["what"]]
            failed += [m["way"]] * (len(case) != 0)
    return code.returncode == 0, found, code.stdout


def show(version, tests, gaps):
    """Prints the table of a version; (covered, lacking, unexplained)."""
    covered, lacking, unexplained = 0, 0, []
    statements = [r for r in rows(LISTS[version]) if r["actor"] != "client" and r["check"] != "-"]
    print(f"\n{LISTS[version].removesuffix('.tsv')}")
    for r in statements:
        proofs, reason = tests.get((version, r["id"]), {}), gaps.get((version, r["id"]))
        for what, failed in proofs.items():
            print(f"  {r['id']:<16} {'FAIL' if failed else 'pass':<5} {what}{'   over ' * bool(failed)}{' '.join(failed)}")
        if proofs and not any(proofs.values()):
            covered += 1
        if not proofs and reason:
            lacking += 1
            print(f"  {r['id']:<16} none  {reason}")
        if bool(proofs) == bool(reason):
            unexplained.append(r["id"])
            print(f"  {r['id']:<16} {'???   a test and a reason for having none' if proofs else '???   neither test nor reason'}")
    return len(statements), covered, lacking, unexplained


def main():
    green, tests, _ = run(sys.argv[1:])
    gaps = {(g["version"], g["id"]): g["reason"] for g in rows("gaps.tsv")}
    totals = {v: show(v, tests, gaps) for v in LISTS}
    known = {(v, r["id"]) for v in LISTS for r in rows(LISTS[v])}
    strangers = [k for k in [*tests, *gaps] if k not in known]
    print(f"\nover {', '.join(WAYS)}")
    for v, (n, covered, lacking, _) in totals.items():
        print(f"{LISTS[v].removesuffix('.tsv')}: {covered} of {n} statements proved ({100 * covered / n:.1f} %), "
              f"{lacking} of features that are not here, {n - covered - lacking} open")
    for k in strangers:
        print(f"no such statement: {k}")
    return 0 if green and not strangers and not any(t[3] for t in totals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
