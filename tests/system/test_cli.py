"""The picket command against a real broker: every noun, the four parts, refusals, escaping, exit codes."""
import json
import os
import pathlib
import pty
import re
import stat
import subprocess
import time

import pytest
from picket import BUILD, Picket, Refused


def run(picket, *args, stdin=""):
    return subprocess.run([BUILD / "picket", "--run", picket.run_dir, *map(str, args)], input=stdin, text=True, capture_output=True, timeout=60)


def parts(text):
    return {line.split()[0] for line in text.splitlines() if line[:1].isalpha()}


def test_status_names_accepted_risks(picket):
    r = run(picket, "status")
    assert r.returncode == 3  # done, with warnings: there are plaintext and anonymous listeners
    risks = [l for l in r.stdout.splitlines() if l.startswith("RISK")]
    assert any("plain: plaintext" in l and '"tests on loopback"' in l for l in risks)
    assert any("open: plaintext and anonymous, strangers hold role tester" in l for l in risks)
    s = picket.status()
    assert s["ready"] and s["unavailable"] == []
    assert {p["name"] for p in s["processes"]} == {"broker", "auth", "keys", "admin"}
    assert all(p["up"] and p["seccomp"] for p in s["processes"])


def test_a_device_from_its_making_to_its_end(picket, tmp_path):
    out = tmp_path / "b"
    r = run(picket, "device", "add", "lamp", "--role", "sensor", "--out", out)
    assert r.returncode == 0, r.stderr
    assert {"changed", "effect", "undo", "next"} <= parts(r.stdout)
    token = (out / "lamp" / "token").read_text().strip()
    assert token not in r.stdout and len(token) >= 22
    for f in (out / "lamp").iterdir():
        assert stat.S_IMODE(f.stat().st_mode) == 0o600, f
    picket.login("lamp", token).close()

    r = run(picket, "device", "add", "lamp", "--role", "sensor", "--out", tmp_path / "c")
    assert r.returncode == 1 and re.search(r"refused +E1102 exists", r.stderr) and "next" in r.stderr
    assert not (tmp_path / "c").exists()

    assert "lamp" in picket.cli("device", "list")
    assert "lamp" not in picket.cli("device", "list", "--never")
    shown = picket.json("device", "show", "lamp")["identity"]
    assert shown["roles"] == ["sensor"] and token not in json.dumps(shown)

    assert run(picket, "device", "rotate", "lamp", "--out", out).returncode == 1  # will not overwrite; the old token lives
    picket.login("lamp", token).close()
    assert {"changed", "undo"} <= parts(picket.cli("device", "rotate", "lamp", "--out", tmp_path / "new"))
    fresh = (tmp_path / "new" / "lamp" / "token").read_text().strip()
    assert fresh != token
    picket.login("lamp", fresh).close()
    with pytest.raises(AssertionError):
        picket.login("lamp", token)

    assert {"changed", "effect", "undo", "next"} <= parts(picket.cli("device", "revoke", "lamp", "--reason", "stolen"))
    with pytest.raises(AssertionError):
        picket.login("lamp", fresh)
    assert "revoked" in picket.cli("device", "list")
    picket.cli("device", "restore", "lamp", "--out", tmp_path / "again")
    picket.login("lamp", (tmp_path / "again" / "lamp" / "token").read_text().strip()).close()
    picket.cli("device", "roles", "lamp", "--role", "dashboard")
    assert picket.json("device", "show", "lamp")["identity"]["roles"] == ["dashboard"]
    r = run(picket, "device", "remove", "lamp")
    assert r.returncode == 1 and "E3010" in r.stderr  # nobody said yes
    picket.cli("device", "remove", "lamp", "--yes")
    assert run(picket, "device", "show", "lamp").returncode == 1


def test_many_at_once_or_none(picket, tmp_path):
    out = tmp_path / "b"
    (out / "n07").mkdir(parents=True)
    r = run(picket, "device", "add", "--count", 12, "--prefix", "n", "--role", "sensor", "--out", out)
    assert r.returncode == 1 and "n07" in r.stderr
    assert [p.name for p in out.iterdir()] == ["n07"]
    assert not [d for d in picket.json("device", "list")["identities"] if re.fullmatch(r"n\d\d", d["name"])]
    (out / "n07").rmdir()
    assert "n01..n12" in picket.cli("device", "add", "--count", 12, "--prefix", "n", "--role", "sensor", "--out", out)
    assert len(list(out.iterdir())) == 12


def test_dry_run_changes_nothing(picket, tmp_path):
    before = picket.cli("policy", "export")
    run(picket, "device", "add", "ghost", "--role", "sensor", "--out", tmp_path / "g", "--dry-run")
    picket.cli("role", "allow", "sensor", "publish", "x/#", "--dry-run")
    assert picket.cli("policy", "export") == before
    assert not (tmp_path / "g").exists()


def test_a_person_with_a_password(picket, tmp_path):
    pw = tmp_path / "pw"
    pw.write_text("four unrelated words tokyo\n")
    picket.cli("user", "add", "anna", "--role", "dashboard", "--password-file", pw)
    picket.login("anna", "four unrelated words tokyo").close()
    picket.cli("user", "password", "anna", "--password-stdin", stdin="another long phrase xylophone\n")
    picket.login("anna", "another long phrase xylophone").close()
    r = run(picket, "user", "add", "bob", "--role", "dashboard", "--password-stdin", stdin="anna\n")
    assert r.returncode == 1 and "E1106" in r.stderr
    r = run(picket, "user", "add", "bob", "--role", "dashboard")
    assert r.returncode == 1 and "E3007" in r.stderr


def test_a_secret_goes_to_a_terminal_or_a_file(picket):
    r = run(picket, "service", "add", "bridge", "--role", "dashboard")
    assert r.returncode == 1 and "E3006" in r.stderr
    assert run(picket, "service", "show", "bridge").returncode == 1  # it was not made
    main, side = pty.openpty()
    subprocess.run([BUILD / "picket", "--run", picket.run_dir, "service", "add", "bridge", "--role", "dashboard"], stdin=side, stdout=side, stderr=side, timeout=60)
    os.close(side)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(main)
    token = re.search(rb"token +bridge +(\S+)", shown)[1].decode()
    picket.login("bridge", token).close()
    assert token not in picket.log()


def test_roles_and_policy(picket, tmp_path):
    text = tmp_path / "role"
    text.write_text("role scada {\n  publish plant/#\n}\n")
    assert {"changed", "undo"} <= parts(picket.cli("role", "set", "scada", text))
    assert "plant/#" in picket.cli("role", "show", "scada")
    picket.cli("role", "allow", "scada", "sub", "plant/+/cmd")
    picket.cli("role", "deny", "scada", "pub", "plant/secret/#")
    shown = picket.cli("role", "show", "scada")
    assert "subscribe plant/+/cmd" in shown and "deny publish plant/secret/#" in shown
    assert "scada" in picket.cli("role", "list")

    exported = tmp_path / "all.policy"
    picket.cli("policy", "export", "--out", exported)
    assert run(picket, "policy", "export", "--out", exported).returncode == 1
    assert "no difference" in picket.cli("policy", "diff", exported)
    assert "ok" in picket.cli("policy", "check", exported)
    changed = exported.read_text().replace("plant/#", "plants/#")
    exported.write_text(changed)
    assert "plants/#" in picket.cli("policy", "diff", exported)
    assert "plant/#" in picket.cli("role", "show", "scada").replace("plants", "")
    picket.cli("policy", "apply", exported, "--confirm", "60s")
    assert "plants/#" in picket.cli("role", "show", "scada")
    picket.cli("policy", "rollback")
    assert "plants/#" not in picket.cli("role", "show", "scada")
    picket.cli("policy", "apply", exported, "--confirm", "60s")
    picket.cli("policy", "confirm")
    assert "plants/#" in picket.cli("role", "show", "scada")
    bad = tmp_path / "bad"
    bad.write_text("role x {\n  publish a/#/b\n}\n")
    r = run(picket, "policy", "apply", bad)
    assert r.returncode == 1 and "E1203" in r.stderr and "2" in r.stderr
    picket.cli("role", "remove", "scada", "--yes")
    assert run(picket, "role", "show", "scada").returncode == 1


def test_a_large_policy_travels_whole(picket, tmp_path):
    big = tmp_path / "big"
    rules = "".join(f"  publish site/{i:05d}/a/quite/long/topic/to/fill/the/text/up/#\n" for i in range(1500))
    big.write_text("role big {\n" + rules + "}\n")
    assert big.stat().st_size > 70000
    r = run(picket, "role", "set", "big", big)
    if r.returncode == 1:
        pytest.skip(f"auth takes no role of this size: {r.stderr}")
    assert "site/01499/" in picket.cli("role", "show", "big")
    picket.cli("role", "remove", "big", "--yes")


def test_clients_wait_and_hostile_text(picket):
    secret = picket.add("probe", "tester")
    w = subprocess.Popen([BUILD / "picket", "--run", picket.run_dir, "wait", "probe", "--for", "3s"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    c = picket.login("probe", secret, client_id="probe:x")
    c.subscribe("a/#")
    out = picket.cli("client", "list")
    assert "probe:x" in out
    assert picket.json("client", "show", "probe")["clients"][0]["subscriptions"] == 1
    c.publish("a/\N{RIGHT-TO-LEFT OVERRIDE}b", "x")
    r = run(picket, "client", "kick", "probe")
    assert r.returncode == 0 and "1 connection closed" in r.stdout
    assert run(picket, "client", "kick", "probe", "--client-id", "none").returncode == 1
    out = w.communicate(timeout=20)[0]
    assert "connect" in out and "sub" in out and "a/#" in out
    assert "\x1b" not in out and "\N{RIGHT-TO-LEFT OVERRIDE}" not in out
    r = run(picket, "wait", "nobody", "--for", "1s")
    assert r.returncode == 1 and "E1101" in r.stderr


def test_wait_ends_by_itself_when_all_is_told(picket):
    secret = picket.add("once", "tester")
    w = subprocess.Popen([BUILD / "picket", "--run", picket.run_dir, "wait", "once"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    picket.login("once", secret).close()
    assert w.communicate(timeout=30)[0].endswith("looks good\n") and w.returncode == 0


def test_wait_ends_when_nothing_comes(picket):
    picket.add("silent", "sensor")
    r = run(picket, "wait", "silent", "--for", "300ms")
    assert r.returncode == 1 and "E3012" in r.stderr


def test_wait_shows_who_was_refused_and_why(picket):
    picket.add("late", "sensor")
    w = subprocess.Popen([BUILD / "picket", "--run", picket.run_dir, "wait", "late", "--for", "2s"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    for extra in (["--cafile", str(picket.ca), "-u", "late", "-P", "wrong"], ["--capath", "/etc/ssl/certs"]):
        subprocess.run(["mosquitto_pub", "-h", "localhost", "-p", str(picket.port), "-i", "late", "-t", "a", "-m", "b", *extra], capture_output=True, timeout=10)
    out = w.communicate(timeout=20)[0]
    assert w.returncode == 1 and "not connected: 2 refusals" in out and "picket device rotate late" in out, out
    assert "auth_failed" in out and "unknown_ca" in out and "ca.der" in out


def test_logs(picket):
    lines = picket.cli("logs", "--lines", 5).splitlines()
    assert len(lines) == 5
    f = subprocess.Popen([BUILD / "picket", "--run", picket.run_dir, "logs", "-f", "--lines", "1"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.3)
    picket.cli("role", "list")
    time.sleep(1.2)
    f.terminate()
    assert "op=role.list" in f.communicate(timeout=10)[0]


def test_ca(picket, tmp_path):
    shown = picket.json("ca", "show")
    assert shown["key"] == "P-256"
    picket.cli("ca", "export", "--out", tmp_path / "ca.crt")
    assert (tmp_path / "ca.crt").read_text() == shown["pem"]
    picket.cli("ca", "backup", "--out", tmp_path / "backup", "--password-stdin", stdin="a very long passphrase\n")
    assert stat.S_IMODE((tmp_path / "backup").stat().st_mode) == 0o600
    assert "ENCRYPTED PRIVATE KEY" in (tmp_path / "backup").read_text()
    r = subprocess.run(["openssl", "pkey", "-in", tmp_path / "backup", "-passin", "pass:a very long passphrase", "-noout"], capture_output=True)
    assert r.returncode == 0, r.stderr
    r = run(picket, "ca", "backup", "--out", tmp_path / "b2", "--password-stdin", stdin="short\n")
    assert r.returncode == 1 and not (tmp_path / "b2").exists()


def test_config_and_reload(make_picket):
    p = make_picket()
    shown = p.cli("config", "show")
    again = p.folder / "again.conf"
    again.write_text(shown)
    assert "ok" in p.cli("config", "check", again)
    good = p.conf.read_text()
    p.conf.write_text(good + "\nnonsense = 3\n")
    r = run(p, "config", "check", p.conf)
    assert r.returncode == 1 and re.search(r"picket\.conf:\d+: .*nonsense", r.stderr)
    r = run(p, "config", "reload")
    assert r.returncode == 1 and "E2006" in r.stderr and "nonsense" in r.stderr
    p.conf.write_text(good.replace("limits {", "limits {\n max_packet_size = 32k", 1))
    assert {"changed", "effect", "undo", "next"} <= parts(p.cli("config", "reload"))
    assert "max_packet_size = 32k" in p.cli("config", "show")


def test_after_a_child_died_the_command_goes_on(make_picket):
    p = make_picket()
    for role in ("auth", "broker", "keys", "admin"):
        os.kill(p.children()[role], 9)
        end = time.monotonic() + 10
        while True:
            try:
                s = p.status()
                if s["ready"] and next(c for c in s["processes"] if c["name"] == role)["restarts"] == 1:
                    break
            except Refused:
                pass
            assert time.monotonic() < end, role
            time.sleep(0.1)
    p.login("x", p.add("x")).close()


def test_another_user_may_nothing(picket):
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    os.chmod(picket.run_dir, 0o755)
    os.chmod(pathlib.Path(picket.run_dir) / "admin.sock", 0o666)
    for a in picket.folder.parents:
        if a != pathlib.Path("/") and a.stat().st_uid == os.geteuid() and not a.stat().st_mode & 1:
            os.chmod(a, a.stat().st_mode | 0o111)
    code = f"import os,subprocess,sys; os.setgroups([]); os.setgid(65534); os.setuid(65534); " \
           f"sys.exit(subprocess.run([{str(BUILD / 'picket')!r}, '--run', {str(picket.run_dir)!r}, 'status']).returncode)"
    r = subprocess.run(["/usr/bin/python3", "-c", code], capture_output=True, text=True)
    assert r.returncode == 1 and "E2005" in r.stderr, r.stderr


def test_no_secret_in_the_log_or_the_arguments(picket):
    secret = picket.add("quiet", "tester")
    picket.login("quiet", secret).close()
    assert secret not in picket.log() and secret not in picket.cli("logs", "--lines", 1000)


@pytest.mark.parametrize("args", [[], ["help"], ["help", "device"], ["help", "E1101"], ["help", "codes"], ["help", "--markdown"], ["status", "--help"]])
def test_help_works_without_a_broker(args, tmp_path):
    r = subprocess.run([BUILD / "picket", "--run", tmp_path, *args], capture_output=True, text=True)
    assert r.returncode == 0 and r.stdout and not r.stderr


def test_exit_codes(tmp_path):
    def rc(*a):
        return subprocess.run([BUILD / "picket", "--run", tmp_path, *a], capture_output=True).returncode
    assert rc("status") == 1
    assert rc("fly") == 2
    assert rc("device", "add", "--bad") == 2


def test_completion_is_a_script(tmp_path):
    text = subprocess.run([BUILD / "picket", "help", "--completion"], capture_output=True, text=True).stdout
    script = tmp_path / "c"
    script.write_text(text + '\nCOMP_WORDS=(picket device r) COMP_CWORD=2; _picket; echo "${COMPREPLY[@]}"\n')
    out = subprocess.run(["bash", script], capture_output=True, text=True)
    assert set(out.stdout.split()) == {"roles", "rotate", "revoke", "restore", "remove"}, out.stderr


@pytest.mark.parametrize("example", [["/usr/bin/python3", "-u", "paho_example.py"], ["node", "mqttjs_example.mjs"]])
def test_the_examples_of_a_bundle_connect(picket, tmp_path, example):
    name = example[-1].split("_")[0]
    picket.cli("device", "add", f"ex-{name}", "--role", "sensor", "--out", tmp_path)
    folder = tmp_path / f"ex-{name}"
    if example[0] == "node":
        modules = pathlib.Path(__file__).parents[1] / "interop/node/node_modules"
        if not (modules / "mqtt").exists():
            pytest.skip("MQTT.js is not installed (tests/interop does)")
        (tmp_path / "node_modules").symlink_to(modules)
    p = subprocess.Popen(example, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert p.stdout.readline() == "connected\n", p.stderr.read()
    finally:
        p.kill()
        p.wait()


@pytest.mark.parametrize("option, path", [("--markdown", "docs/commands.md"), ("--completion", "packaging/completion/picket")])
def test_generated_files_are_fresh(option, path):
    text = subprocess.run([BUILD / "picket", "help", option], capture_output=True, text=True).stdout
    assert text == (pathlib.Path(__file__).parents[2] / path).read_text(), f"run: build/picket help {option} > {path}"


def test_init_twice_and_with_other_names(tmp_path, picket):
    """A second init changes nothing; other names are a warning, not a change."""
    r = run(picket, "init", "--config", picket.conf, "--state", picket.state)
    assert r.returncode == 3 and "picketd runs already; nothing was changed" in r.stdout  # 3: the accepted risks
    before = picket.conf.read_text()
    r = run(picket, "init", "--config", picket.conf, "--state", picket.state, "--name", "a.lan", "--dry-run")
    assert picket.conf.read_text() == before
    r = run(picket, "init", "--config", tmp_path / "new.conf", "--state", tmp_path / "s", "--name", "not a name")
    assert r.returncode == 1 and "E3008" in r.stderr and not (tmp_path / "new.conf").exists()
    r = run(picket, "init", "--config", tmp_path / "new.conf", "--dry-run", "--name", "b.lan")
    assert "would" in r.stdout and not (tmp_path / "new.conf").exists()
