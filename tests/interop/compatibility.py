#!/usr/bin/python3
"""docs/compatibility.md from a run of the matrix: compatibility.py RESULTS (PICKET_MATRIX=RESULTS pytest tests/interop/test_matrix.py)."""
import json
import pathlib
import sys

import matrix

NAMES = {3: "3.1", 4: "3.1.1", 5: "5.0"}
HEAD = """# Clients that were tried

Every library below is unmodified and is asked the same questions by `tests/interop/test_matrix.py`, over every kind of connection that it has; `make test` asks them again. This page is made from such a
run: `make compatibility`. Beside these, `tests/interop` uses `mosquitto_pub` and `mosquitto_sub` (3.1, 3.1.1, 5.0), and `tests/browser` MQTT.js in Chromium over wss.

"""


def key(client, version, url):
    return f"{client.name}-{version}-{url}".replace(" ", "")


def cell(results, what, client, version, url):
    if what == "restart":
        if (version, url) != (max(client.versions), "mqtts"):
            return ""
        outcome = results.get(f"test_restart[{client.name}]")
    else:
        outcome = results.get(f"test_{what}[{key(client, version, url)}]")
    return {"passed": "yes", "failed": "**no**"}.get(outcome, "")


def main():
    results = json.load(open(sys.argv[1]))
    out = [HEAD]
    out += [f"- **{what}**: {text}\n" for what, text in matrix.CAPABILITIES.items()]
    out.append("\n| client | MQTT | connection | " + " | ".join(matrix.CAPABILITIES) + " |\n")
    out.append("|---|---|---" + "|---" * len(matrix.CAPABILITIES) + "|\n")
    for c in matrix.CLIENTS:
        for v in c.versions:
            for u in c.urls:
                cells = [cell(results, what, c, v, u) for what in matrix.CAPABILITIES]
                if any(cells):
                    out.append(f"| {c.name} {c.version()} | {NAMES[v]} | {u} | " + " | ".join(cells) + " |\n")
    pathlib.Path(matrix.HERE.parents[1] / "docs" / "compatibility.md").write_text("".join(out))


main()
