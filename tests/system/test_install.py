"""make install: what lands where, under a prefix that the build folder was not made for, and that it works from there."""
import json
import os
import shutil
import signal
import subprocess

import pytest

from picket import BUILD, ROOT, free_port, sanitized

FILES = {"opt/picket/sbin/picketd", "opt/picket/bin/picket", "opt/picket/lib/systemd/system/picketd.service",
         "opt/picket/lib/sysusers.d/picket.conf", "opt/picket/lib/tmpfiles.d/picket.conf",
         "opt/picket/share/bash-completion/completions/picket", "etc/picket/picket.conf", "etc/picket/first.policy"}


def option(name):
    out = subprocess.run(["meson", "introspect", "--buildoptions", BUILD], check=True, capture_output=True, text=True).stdout
    return next(o["value"] for o in json.loads(out) if o["name"] == name)


def make_install(to):
    subprocess.run(["make", "-C", ROOT, "install", f"BUILD={BUILD}", f"DESTDIR={to}", "PREFIX=/opt/picket"],
                   check=True, capture_output=True, timeout=900)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    if sanitized() or not shutil.which("meson"):
        pytest.skip("what is installed is the release build, and meson installs it")
    to = tmp_path_factory.mktemp("install")
    before = {name: option(name) for name in ("prefix", "sysconfdir")}
    subprocess.run(["meson", "configure", BUILD, "--prefix=/usr", "--sysconfdir=/etc"], check=True, capture_output=True)
    try:
        make_install(to)
        (to / "etc/picket/picket.conf").write_text("# mine\n")
        make_install(to)  # an upgrade
        yield to
    finally:
        subprocess.run(["meson", "configure", BUILD, *(f"--{k}={v}" for k, v in before.items())], check=True, capture_output=True)


def test_everything_lands_under_the_prefix(installed):
    found = {os.path.relpath(os.path.join(folder, f), installed) for folder, _, files in os.walk(installed) for f in files}
    assert found == FILES


def test_the_unit_starts_what_was_installed(installed):
    unit = (installed / "opt/picket/lib/systemd/system/picketd.service").read_text()
    starts = [line.split("=", 1)[1].split()[0] for line in unit.splitlines() if line.startswith("ExecStart")]
    assert starts == ["/opt/picket/sbin/picketd"] * 2


def test_an_upgrade_keeps_the_configuration(installed):
    assert (installed / "etc/picket/picket.conf").read_text() == "# mine\n"


def test_every_user_and_group_that_picketd_looks_for_is_made(installed):
    rows = [line.split()[:2] for line in (installed / "opt/picket/lib/sysusers.d/picket.conf").read_text().splitlines()
            if line[:2] in ("u ", "g ")]
    assert {("u", f"picket-{role}") for role in ("broker", "auth", "keys", "admin", "check", "canary")} | {("g", "picket-ops")} == set(map(tuple, rows))


def test_the_installed_configuration_is_valid(installed, tmp_path):
    text = (ROOT / "packaging/default/picket.conf").read_text().replace("/etc/picket", str(installed / "etc/picket"))
    (tmp_path / "picket.conf").write_text(text)
    r = subprocess.run([installed / "opt/picket/sbin/picketd", "--check", "--config", tmp_path / "picket.conf", "--state", tmp_path / "s"],
                       capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
    assert subprocess.run([installed / "opt/picket/bin/picket", "help"], capture_output=True).returncode == 0


def test_init_finds_what_was_installed_beside_it(installed, tmp_path):
    """The PATH of a plain user on Debian has no sbin."""
    conf, state = tmp_path / "picket.conf", tmp_path / "state"
    conf.write_text(f'state_dir = "{state}"\nrun_dir = "{tmp_path}/run"\nlistener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n')
    for folder in (tmp_path, installed, *installed.parents):
        folder.chmod(folder.stat().st_mode | 0o011)
    r = subprocess.run([installed / "opt/picket/bin/picket", "init", "--config", conf], env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    try:
        assert r.returncode in (0, 3), r.stdout + r.stderr
    finally:
        if (state / "lock").exists():
            os.kill(int((state / "lock").read_text()), signal.SIGTERM)
