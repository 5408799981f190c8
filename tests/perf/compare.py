#!/usr/bin/env python3
"""CPU per delivered message and memory per idle client: picket beside Debian's Mosquitto and, where given, the floor.

All brokers run in one go and take turns in every round, so that a noisy machine is noisy for all.  Prints a table
(and writes it with --out).  The floor is any command that listens on the port it is given:
    tests/perf/compare.py --floor "path/to/nullbroker"
"""
import argparse
import json
import pathlib
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/lib"))
from picket import BUILD, Picket, free_port  # noqa: E402

BENCH_LISTENERS = """
listener bench {{ bind = "127.0.0.1:{plain}" tls = off anonymous_role = bench accept_risk = "benchmark on loopback" limits {{ all = none }} }}
listener benchs {{ bind = "127.0.0.1:{tls}" tls = on anonymous_role = bench accept_risk = "benchmark on loopback" limits {{ all = none }} }}
"""
SCENARIOS = [  # name, options of the generator, messages
    ("1 → 1", ["--pairs", "1"], 60000),
    ("1 → 100", ["--publishers", "1", "--subscribers", "100", "--window", "16"], 3000),
    ("100 → 1", ["--publishers", "100", "--subscribers", "1", "--window", "4"], 60000),
]


class Mosquitto:
    """Debian's Mosquitto in its best plain configuration; TLS with a certificate of picket's CA kind (P-256)."""

    def __init__(self, folder):
        self.folder, self.port, self.tls_port = folder, free_port(), free_port()
        run = lambda *a: subprocess.run(a, check=True, capture_output=True, cwd=folder)
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "m.key",
            "-out", "m.crt", "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
        (folder / "m.key").chmod(0o644)
        (folder / "m.conf").write_text(
            f"allow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 0\nset_tcp_nodelay true\n"
            f"listener {self.port} 127.0.0.1\n"
            f"listener {self.tls_port} 127.0.0.1\ncertfile {folder}/m.crt\nkeyfile {folder}/m.key\n")
        self.ca = folder / "m.crt"
        exe = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([exe, "-c", folder / "m.conf"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def stop(self):
        self.process.terminate()


class Floor:
    """A command that listens on a port; plain only."""

    def __init__(self, command):
        self.port, self.tls_port, self.ca = free_port(), None, None
        self.process = subprocess.Popen([*shlex.split(command), str(self.port)])

    def stop(self):
        self.process.terminate()


class Ours:
    """picket with everything on: rights are checked, every limit but the listener's own is in force."""

    def __init__(self, folder):
        plain, tls = free_port(), free_port()
        self.port, self.tls_port = plain, tls
        self.picket = Picket(folder, config=BENCH_LISTENERS.format(plain=plain, tls=tls),
                             policy="role bench { publish #; subscribe #; limit all none }\n").start()
        self.ca, self.process = self.picket.ca, self.picket.process

    def stop(self):
        self.picket.stop()


def measure(broker, tls, options):
    port = broker.tls_port if tls else broker.port
    more = ["--tls", "--ca", str(broker.ca)] if tls else []
    r = subprocess.run([BUILD / "picket", "bench", "--host", "127.0.0.1", "--port", str(port), "--pid", str(broker.process.pid),
                        "--json", *more, *options], capture_output=True, text=True, timeout=600)
    if r.returncode != 0:
        print(f"  incomplete: {r.stdout.strip()} {r.stderr.strip()}", file=sys.stderr)
    return json.loads(r.stdout) if r.stdout.strip() else None


def messages(brokers, rounds, out):
    out.append("| scenario | transport | QoS | " + " | ".join(brokers) + " | picket / mosquitto |")
    out.append("|---|---|--:|" + "--:|" * (len(brokers) + 1))
    for tls in (False, True):
        for name, options, count in SCENARIOS:
            for qos in (0, 1):
                got = {b: [] for b in brokers}
                for n in range(rounds):
                    for b, broker in brokers.items():
                        if tls and broker.tls_port is None:
                            continue
                        topic = f"b{int(tls)}{qos}{n}{count}"  # the floor never forgets a subscription
                        r = measure(broker, tls, [*options, "--qos", str(qos), "--messages", str(count), "--topic", topic])
                        if r and r["delivered"] == r["wanted"]:
                            got[b].append(r["broker_us_per_message"])
                mid = {b: statistics.median(v) if v else None for b, v in got.items()}
                cells = [f"{mid[b]:.2f}" if mid[b] is not None else "–" for b in brokers]
                ratio = f"{mid['picket'] / mid['mosquitto']:.2f}" if mid.get("picket") and mid.get("mosquitto") else "–"
                out.append(f"| {name} | {'TLS' if tls else 'plain'} | {qos} | " + " | ".join(cells) + f" | {ratio} |")
                print(out[-1], flush=True)


def idle(brokers, count, out):
    out.append("")
    out.append("| idle clients | " + " | ".join(brokers) + " |")
    out.append("|---|" + "--:|" * len(brokers))
    for tls in (False, True):
        cells = []
        for broker in brokers.values():
            r = None if tls and broker.tls_port is None else measure(broker, tls, ["--idle", str(count if not tls else count // 2)])
            cells.append(f"{r['bytes_per_connection']:.0f}" if r else "–")
        out.append(f"| bytes (PSS) each, {'TLS' if tls else 'plain'} | " + " | ".join(cells) + " |")
        print(out[-1], flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--idle", type=int, default=2000)
    p.add_argument("--floor", help="command of the floor; the port is appended")
    p.add_argument("--out", help="write the table here as Markdown")
    a = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="picket-perf-"))
    folder.chmod(0o755)
    brokers = {"picket": Ours(folder / "ours"), "mosquitto": Mosquitto(folder)}
    if a.floor:
        brokers["floor"] = Floor(a.floor)
    time.sleep(1)
    out = []
    try:
        messages(brokers, a.rounds, out)
        idle(brokers, a.idle, out)
    finally:
        for b in brokers.values():
            b.stop()
        shutil.rmtree(folder, ignore_errors=True)
    if a.out:
        pathlib.Path(a.out).write_text("\n".join(out) + "\n")


if __name__ == "__main__":
    main()
