"""J1: secure a broker for 30 ESP32 devices.  The acceptance of the journey, with the commands that a person types."""
import pathlib
import stat
import subprocess
import time

import pytest
from picket import BUILD, Picket, free_port


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A broker made by `picket init` alone, in folders of its own."""
    from picket import ROOT
    p = Picket(tmp_path_factory.mktemp("j1"))
    p.policy.write_text((ROOT / "packaging/first.policy").read_text())
    p.conf.write_text(f'bootstrap = "{p.policy}"\nlistener mqtts {{ bind = "127.0.0.1:{p.port}" tls = on authenticators = {{token, password}} }}\n')
    p.out = subprocess.run([BUILD / "picket", "--run", p.run_dir, "init", "--config", p.conf, "--state", p.state, "--name", "mqtt.lan", "--ip", "192.168.1.10"],
                           capture_output=True, text=True, timeout=60)
    yield p
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            argv = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argv[0].endswith(b"picketd") and str(p.state).encode() in argv:
            subprocess.run(["kill", entry.name])


@pytest.fixture(scope="module")
def bundles(home):
    out = home.folder / "bundles"
    home.listing = home.cli("device", "add", "--count", 30, "--prefix", "esp", "--role", "sensor", "--auth", "token", "--out", out)
    return out


def test_init_says_what_it_made(home):
    assert home.out.returncode == 0, home.out.stderr + home.out.stdout
    for line in ("created", "listen", "canary", "next"):
        assert any(l.startswith(line) for l in home.out.stdout.splitlines()), home.out.stdout
    assert "mqtt.lan" in home.out.stdout and "192.168.1.10" in home.out.stdout


def test_the_certificate_is_for_the_names_given(home):
    text = subprocess.run(f"openssl s_client -connect 127.0.0.1:{home.port} -CAfile {home.ca} -verify_return_error -verify_hostname mqtt.lan </dev/null "
                          "| openssl x509 -noout -ext subjectAltName", shell=True, capture_output=True, text=True).stdout
    assert "DNS:mqtt.lan" in text and "IP Address:192.168.1.10" in text


def test_thirty_bundles(home, bundles):
    assert "esp01..esp30" in home.listing and "next" in home.listing
    names = sorted(p.name for p in bundles.iterdir())
    assert names == [f"esp{i:02d}" for i in range(1, 31)]
    tokens = set()
    for d in bundles.iterdir():
        for f in d.rglob("*"):
            if f.is_file():
                assert stat.S_IMODE(f.stat().st_mode) & 0o077 == 0, f
        for want in ("wifi_mqtt_secrets.h", "nvs.csv", "ca.der", "mosquitto_sub.sh"):
            assert (d / want).exists()
        tokens.add((d / "wifi_mqtt_secrets.h").read_text())
    assert len(tokens) == 30


def test_the_ready_scripts_work_as_they_stand(home, bundles):
    sub = subprocess.Popen(["sh", bundles / "esp01" / "mosquitto_sub.sh", "-t", "home/esp01/cmd/#", "-C", "1", "-W", "10"], stdout=subprocess.PIPE, text=True)
    admin = home.cli("device", "add", "desk", "--role", "dashboard", "--out", home.folder / "desk")
    assert "next" in admin
    time.sleep(1)
    pub = subprocess.run(["sh", home.folder / "desk" / "desk" / "mosquitto_pub.sh", "-t", "home/esp01/cmd/led", "-m", "on"], timeout=15)
    assert pub.returncode == 0
    assert "on" in sub.communicate(timeout=15)[0]


def test_a_device_cannot_read_anothers_topics(home, bundles):
    r = subprocess.run(["sh", bundles / "esp02" / "mosquitto_sub.sh", "-t", "home/esp03/cmd/#", "-C", "1", "-W", "2"], capture_output=True, text=True, timeout=15)
    assert "home/esp03" not in r.stdout


def test_wait_shows_the_device_and_explains_a_denial_in_one_line(home, bundles):
    w = subprocess.Popen([BUILD / "picket", "--run", home.run_dir, "wait", "esp01", "--for", "6s"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    subprocess.run(["sh", bundles / "esp01" / "mosquitto_pub.sh", "-t", "home/esp01/tele/temp", "-m", "21.5"], timeout=15)
    subprocess.run(["sh", bundles / "esp01" / "mosquitto_pub.sh", "-t", "sensors/temp", "-m", "21.5"], timeout=15)
    out = w.communicate(timeout=20)[0]
    assert "connect" in out and "TLS" in out
    deny = [l for l in out.splitlines() if " deny " in l]
    assert deny and "sensors/temp" in deny[0] and "nearest allow home/${device}/tele/#" in deny[0], out
    assert "picket role allow sensor" in out


def test_explain(home, bundles):
    out = home.cli("explain", "esp01", "publish", "sensors/temp", check=False)
    assert "deny" in out and "home/${device}/tele/#" in out
    out = home.cli("explain", "esp01", "publish", "home/esp01/tele/x")
    assert "allow" in out


def test_only_the_tls_port_is_open(home, bundles):
    pids = subprocess.run(["ss", "-ltnp"], capture_output=True, text=True).stdout
    mine = {l.split()[3] for l in pids.splitlines() if "picketd" in l and str(home.port) in l}
    assert mine == {f"127.0.0.1:{home.port}"}
    text = home.cli("status")
    assert "0 plaintext logins" in text


def test_init_again_changes_nothing(home):
    before = home.ca.read_text()
    r = subprocess.run([BUILD / "picket", "--run", home.run_dir, "init", "--config", home.conf, "--state", home.state], capture_output=True, text=True, timeout=60)
    assert r.returncode == 0, r.stderr
    assert home.cli("ca", "show") == before
