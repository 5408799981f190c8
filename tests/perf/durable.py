#!/usr/bin/env python3
"""What durable QoS 1 costs, and what millions of waiting messages do to memory, to a start and to the way out.

    tests/perf/durable.py speed [--rounds 5] [--delay 5]    picket (every acknowledgement after its sync) beside Debian's Mosquitto with
                                                            persistence (no sync per message); --delay: milliseconds added to every sync
    tests/perf/durable.py size [--messages 10000000] [--sessions 10000]

Both brokers run in one go and take turns in every round; the median of the rounds counts.  A run whose messages do not all
arrive, in order, does not count.  `size` writes about 300 bytes a message to --folder and removes them at the end."""
import argparse
import contextlib
import json
import os
import pathlib
import resource
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/lib"), str(ROOT / "tests/durability")]
from brokers import Mosquitto, PicketBroker, TOKEN  # noqa: E402
from disks import Disk  # noqa: E402
from picket import BUILD  # noqa: E402

SCENARIOS = [  # name, options of the generator, messages
    ("1 → 1", ["--durable", "--pairs", "1"], 20000),
    ("10 → 10, in pairs", ["--durable", "--pairs", "10"], 100000),
    ("10 → 10 that are away", ["--queue", "--pairs", "10"], 50000),
    ("the same, drained", ["--drain", "--pairs", "10"], 50000),
]
WINDOW = 100  # messages under way, a publisher


def bench(broker, options, timeout=3600):
    login = ["--user", broker.login[0], "--password-file", str(broker.p.folder / "token")] if broker.login else []
    pid = broker.pid("supervisor") if broker.login else broker.process.pid
    r = subprocess.run([BUILD / "picket", "bench", "--host", "127.0.0.1", "--port", str(broker.port), "--pid", str(pid), "--json",
                        "--qos", "1", *login, *map(str, options)], capture_output=True, text=True, timeout=timeout)
    if r.returncode != 0:
        print(f"  incomplete: {r.stdout.strip()} {r.stderr.strip()}", file=sys.stderr)
        return None
    return json.loads(r.stdout)


def load():
    return os.getloadavg()[0]


# ---- speed -------------------------------------------------------------------------------------------------------------------------
def brokers(folder, delay_ms, stack):
    found = {}
    disk = None
    if delay_ms:
        (folder / "ours").mkdir(mode=0o755)
        disk = Disk(folder / "ours")
        disk.set(sync_delay_us=delay_ms * 1000)
    found["picket"] = PicketBroker(folder / "ours", disk=disk)
    found["mosquitto"] = Mosquitto(folder / "mosquitto")
    for b in found.values():
        b.start()
        stack.callback(b.stop)
    return found


def speed(a, folder, stack):
    both = brokers(folder, a.delay, stack)
    print(f"{a.rounds} rounds, {a.delay} ms added to each of picket's syncs, load {load():.1f}")
    print("| scenario | messages/s: picket | mosquitto | ratio | µs CPU a message: picket | mosquitto | ratio |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    got = {(name, b): [] for name, _, _ in SCENARIOS for b in both}
    for n in range(a.rounds):
        for k, (name, options, messages) in enumerate(SCENARIOS):
            topic = f"r{n}-{k if '--drain' not in options else k - 1}"
            for b, broker in both.items():
                r = bench(broker, [*options, "--messages", int(messages * a.scale), "--window", WINDOW, "--topic", topic])
                if r:
                    got[name, b].append(r)
    for name, _, _ in SCENARIOS:
        mid = {(what, b): statistics.median(r[what] for r in got[name, b]) if got[name, b] else float("nan")
               for what in ("per_second", "broker_us_per_message") for b in both}
        rate, cpu = ([mid[what, b] for b in both] for what in ("per_second", "broker_us_per_message"))
        print(f"| {name} | {rate[0]:.0f} | {rate[1]:.0f} | {rate[0] / rate[1]:.2f} | {cpu[0]:.1f} | {cpu[1]:.1f} | {cpu[0] / cpu[1]:.2f} |")
    print(f"load {load():.1f}", json.dumps(both["picket"].p.json("store", "status")))


# ---- size --------------------------------------------------------------------------------------------------------------------------
def memory_kib(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(text.split("RssAnon:")[1].split()[0])


def knock(port, deadline):
    """The first CONNACK of a client with a session that it had; seconds until then are the caller's."""
    user, token, ident = b"load", TOKEN.encode(), b"load:fill-0"
    body = b"\0\x04MQTT\x04\xc0\0\x3c" + b"".join(len(x).to_bytes(2, "big") + x for x in (ident, user, token))
    while time.monotonic() < deadline:
        try:
            with socket.create_connection(("127.0.0.1", port), 1) as s:
                s.settimeout(60)
                s.sendall(bytes([0x10, len(body)]) + body)
                got = s.recv(4)
                if len(got) == 4 and got[3] == 0:
                    return got[2] == 1
        except OSError:
            pass
        time.sleep(0.002)
    raise AssertionError("no CONNACK")


def begin_again(broker, sig, whom):
    """Seconds from the new start (of picketd, or of broker by picketd) to the first CONNACK."""
    if whom == "picketd":
        broker.p.process.send_signal(sig)
        ended = time.monotonic()
        broker.p.process.wait(120)
        print(f"  picketd ended {time.monotonic() - ended:.2f} s after {sig.name}")
        broker.p.log_file.close()
        began = time.monotonic()
        broker.p.start(expect_ready=False)
    else:
        began = time.monotonic()
        os.kill(broker.pid("broker"), sig)
        time.sleep(0.02)
    knock(broker.port, began + 700)
    took = time.monotonic() - began
    broker.p.wait_ready(60)
    print(f"{whom} {sig.name}: {took:.2f} s to the first CONNACK; broker RssAnon {memory_kib(broker.pid('broker')) / 1024:.1f} MiB, "
          f"load {load():.1f}", flush=True)


def settle(broker):
    time.sleep(2)
    return memory_kib(broker.pid("broker")) / 1024


def size(a, folder, stack):
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(resource.getrlimit(resource.RLIMIT_NOFILE)[0], a.sessions + 1000),
                                                resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    broker = PicketBroker(folder / "ours", config="store_max_size = 64g\n", limits="connections_source = 100000\n").start()
    stack.callback(broker.stop)
    base = settle(broker)
    shape = ["--publishers", 10, "--subscribers", a.sessions, "--spread", "--window", 1000, "--topic", "fill"]
    bench(broker, [*shape, "--queue", "--messages", 10])  # the sessions
    few = settle(broker)
    print(f"broker RssAnon: {base:.1f} MiB at first; {few:.1f} with {a.sessions} sessions that are away "
          f"({(few - base) * 1024 / a.sessions:.2f} KiB each)", flush=True)
    broker.stop()
    shutil.rmtree(broker.p.state / "store")
    broker.start()
    r = bench(broker, [*shape, "--queue", "--messages", a.messages], 3600)
    print(f"queued {a.messages}: {r['per_second']:.0f}/s, {r['broker_us_per_message']:.1f} µs CPU each; "
          f"broker RssAnon {settle(broker):.1f} MiB, load {load():.1f}")
    print(" ", json.dumps(broker.p.json("store", "status")), flush=True)
    for whom, sig in (("picketd", signal.SIGTERM), ("broker", signal.SIGKILL), ("picketd", signal.SIGKILL)):
        begin_again(broker, sig, whom)
    time.sleep(a.rest)
    print(f"at rest: broker RssAnon {settle(broker):.1f} MiB")
    r = bench(broker, [*shape, "--drain", "--messages", a.messages], 3600)
    if r:
        print(f"drained: {r['per_second']:.0f}/s with the logins, {r['broker_us_per_message']:.1f} µs CPU each; "
              f"broker RssAnon {settle(broker):.1f} MiB, load {load():.1f}")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", choices=["speed", "size"])
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--delay", type=int, default=0)
    p.add_argument("--scale", type=float, default=1)
    p.add_argument("--messages", type=int, default=10_000_000)
    p.add_argument("--sessions", type=int, default=10_000)
    p.add_argument("--rest", type=int, default=20, help="seconds until what waits has been counted")
    p.add_argument("--folder", help="on the disk that is measured; made, and removed at the end")
    a = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="picket-durable-", dir=a.folder))
    folder.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        speed(a, folder, stack) if a.what == "speed" else size(a, folder, stack)


if __name__ == "__main__":
    main()
