"""The clients of the matrix, how each is made ready, and what its library does not offer."""
import os
import pathlib
import subprocess

HERE = pathlib.Path(__file__).parent
DRIVERS = HERE / "drivers"

# What is asked of every client, in the words of the page.
CAPABILITIES = {
    "connect": "connects with a secret; verified where there is TLS",
    "qos": "all QoS, both ways, in order",
    "large": "payloads of 500 KiB",
    "retained": "retained messages",
    "will": "the will of a client that dies",
    "resume": "comes back to its session, and to what waits there",
    "restart": "goes on by itself when the broker was restarted",
}
URLS = ["mqtt", "mqtts", "ws", "wss"]


def npm(folder):
    if not (folder / "node_modules").exists():
        subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--silent"], cwd=folder, check=True, timeout=600)


def package(name):
    return subprocess.run(["dpkg-query", "-W", "-f", "${Version}", name], capture_output=True, text=True).stdout.split("+")[0].split("-")[0]


class Client:
    """One library: its driver's command line, versions of MQTT, kinds of URL; lacks: what it cannot do, and why."""

    def __init__(self, name, command, versions, urls=URLS, lacks=None, build=None, version=lambda: ""):
        self.name, self.command, self.versions, self.urls = name, command, versions, urls
        self.lacks, self.build, self.version = lacks or {}, build, version

    def __repr__(self):
        return self.name


def build_c(folder):
    subprocess.run(["gcc", "-O1", "-Wall", "-Werror", "-o", folder / "paho_c", DRIVERS / "paho_c.c", "-lpaho-mqtt3cs"], check=True, timeout=120)


def build_go(folder):
    env = {**os.environ, "GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOCACHE": str(folder / "gocache")}
    subprocess.run(["go", "build", "-o", folder / "paho_go", DRIVERS / "paho_go.go"], check=True, timeout=300, env=env)


def mqttjs_version():
    return subprocess.run(["node", "-p", "require('./node_modules/mqtt/package.json').version"], cwd=HERE / "node", capture_output=True, text=True).stdout.strip()


CLIENTS = [
    Client("paho C", ["{folder}/paho_c"], [4, 5], build=build_c, version=lambda: package("libpaho-mqtt-dev")),
    Client("paho Python", ["/usr/bin/python3", str(DRIVERS / "paho_py.py")], [3, 4, 5], version=lambda: package("python3-paho-mqtt")),
    Client("paho Go", ["{folder}/paho_go"], [3, 4], build=build_go, version=lambda: package("golang-github-eclipse-paho.mqtt.golang-dev")),
    Client("MQTT.js", ["node", str(DRIVERS / "mqttjs.mjs")], [3, 4, 5], build=lambda folder: npm(HERE / "node"), version=mqttjs_version),
]
