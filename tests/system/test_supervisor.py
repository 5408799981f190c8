"""picketd as the one who starts it sees it: what stops a start, what a reload does, and the canary."""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time

import pytest

from picket import BUILD, ROLES, Picket, Refused, free_port, sanitized


def picketd(folder, config, *args, timeout=60, **kw):
    conf = folder / "picket.conf"
    conf.write_text(config)
    folder.chmod(0o755)
    return subprocess.run([BUILD / "picketd", "--config", conf, "--state", folder / "state", "--run", folder / "run", *args],
                          stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, **kw)


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 2).close()
        return True
    except OSError:
        return False


def wait_for(what, timeout=20):
    end = time.monotonic() + timeout
    while not what():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("text,line,reason,step", [
    ("\nshard = 4\n", 2, "unknown option shard", "did you mean shards?"),
    ('listener a {\n bind = "*:1883"\n tls = off\n}\n', 4, "plaintext without accept_risk", "accept_risk"),
    ("limits { max_packet_size = 1 }", 1, "out of range", "picket config explain"),
    ("listener a {", 1, "a section that does not end", "close it with }"),
])
def test_bad_configuration_stops_the_start(tmp_path, text, line, reason, step):
    r = picketd(tmp_path, text, "--foreground")
    assert r.returncode == 1
    assert f"picket.conf:{line}: " in r.stderr and reason in r.stderr and step in r.stderr
    assert not (tmp_path / "state").exists(), "an invalid configuration makes no folders"


def test_check_writes_nothing(tmp_path):
    r = picketd(tmp_path, "", "--check")
    assert (r.returncode, r.stderr) == (0, "")
    assert not (tmp_path / "state").exists() and not (tmp_path / "run").exists()
    assert picketd(tmp_path, "x = 1", "--check").returncode == 1


def test_busy_port_is_named(tmp_path):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        r = picketd(tmp_path, f'\nlistener mqtts {{ bind = "127.0.0.1:{port}" }}\n', "--foreground")
    assert r.returncode == 1
    assert f"picket.conf:2: listener mqtts cannot listen on 127.0.0.1:{port}: Address already in use; stop the program" in r.stderr


def test_readable_key_is_refused(tmp_path):
    text = f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n'
    with_state = picketd(tmp_path, text)  # in the background; returns when it is ready
    assert with_state.returncode == 0, with_state.stderr
    stop_daemon(tmp_path)
    (tmp_path / "state/keys/ca.key").chmod(0o644)
    r = picketd(tmp_path, text, "--foreground")
    assert r.returncode == 1
    assert "ca.key can be read by others; run chmod 600" in r.stderr


def stop_daemon(folder):
    pid = int((folder / "state/lock").read_text())
    os.kill(pid, signal.SIGTERM)
    wait_for(lambda: not alive(pid))


def alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_in_the_background_it_returns_when_ready(tmp_path):
    port = free_port()
    r = picketd(tmp_path, f'listener mqtts {{ bind = "127.0.0.1:{port}" }}\n')
    try:
        assert r.returncode == 0, r.stderr
        assert listening(port)
        status = subprocess.run([BUILD / "picket", "--run", tmp_path / "run", "status"], capture_output=True, text=True, timeout=20)
        assert status.returncode == (3 if sanitized() else 0) and "refused, OK" in status.stdout
    finally:
        stop_daemon(tmp_path)
    assert not listening(port)
    assert "all processes have ended in order" in (tmp_path / "state/log/picketd.log").read_text()
    assert not (tmp_path / "run/admin.sock").exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_as_a_plain_user(tmp_path_factory):
    """Same sandbox, one user; state and run folders of that user."""
    nobody = pwd.getpwnam("nobody")
    home = tmp_path_factory.getbasetemp().parent.parent / f"picket-plain-{os.getpid()}"
    home.mkdir()
    os.chown(home, nobody.pw_uid, nobody.pw_gid)
    port = free_port()
    (home / "c.conf").write_text(f'listener mqtts {{ bind = "127.0.0.1:{port}" }}\n')
    env = {"HOME": str(home), "XDG_RUNTIME_DIR": str(home), "PATH": os.environ["PATH"]}
    # The program itself must be reachable for that user.
    (home / "bin").mkdir()
    for program in ("picketd", "picket"):
        shutil.copy(BUILD / program, home / "bin" / program)
    try:
        as_nobody = dict(user=nobody.pw_uid, group=nobody.pw_gid, extra_groups=[], env=env, cwd="/", capture_output=True, text=True)
        r = subprocess.run([home / "bin/picketd", "--config", home / "c.conf"], timeout=60, **as_nobody)
        assert r.returncode == 0, r.stderr
        pid = int((home / ".local/state/picket/lock").read_text())
        out = subprocess.run([home / "bin/picket", "--run", home / "picket", "status"], timeout=20, **as_nobody).stdout
        assert sanitized() or out.count("sandbox seccomp, landlock") == 4, out
        assert f"uid {nobody.pw_uid}" in out
        os.kill(pid, signal.SIGTERM)
        wait_for(lambda: not alive(pid))
    finally:
        shutil.rmtree(home)


def test_reload_is_all_or_nothing(make_picket):
    p = make_picket()
    before = p.children()
    text = p.conf.read_text()
    c = p.login("keeper", p.add("keeper"))
    other = free_port()

    p.conf.write_text(text + f'listener more {{ bind = "127.0.0.1:{other}" }}\n')
    p.process.send_signal(signal.SIGHUP)
    wait_for(lambda: "is in force (generation 2)" in p.log())
    assert listening(other) and listening(p.port)
    c.ping()  # who was connected stays connected

    # Signals in a row: the last of them counts, too.
    p.conf.write_text(text)
    for _ in range(3):
        p.process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    p.conf.write_text(text + f'listener more {{ bind = "127.0.0.1:{other}" }}\n')
    p.process.send_signal(signal.SIGHUP)
    wait_for(lambda: listening(other))
    wait_for(lambda: reloaded(p))

    # A port that is taken: the other new one must not stay open either, nor the old one go.
    third = free_port()
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        busy = s.getsockname()[1]
        p.conf.write_text(text + f'listener third {{ bind = "127.0.0.1:{third}" }}\nlistener busy {{ bind = "127.0.0.1:{busy}" }}\n')
        with pytest.raises(Refused) as refused:
            p.cli("config", "reload")
    assert "busy cannot listen" in str(refused.value)
    assert not listening(third) and listening(other)

    p.conf.write_text(text + "shard = 3\n")
    with pytest.raises(Refused) as refused:
        p.cli("config", "reload")
    assert "did you mean shards?" in str(refused.value)

    p.conf.write_text(text.replace("shards = 2", "shards = 3"))
    with pytest.raises(Refused) as refused:
        p.cli("config", "reload")
    assert "shards cannot change" in str(refused.value)

    p.conf.write_text(text)
    p.cli("config", "reload")
    assert not listening(other) and listening(p.port)
    c.ping()
    assert p.children() == before


def reloaded(p):
    """Reload by command; False while another one runs."""
    try:
        p.cli("config", "reload")
        return True
    except Refused as refused:
        assert "another reload is running" in str(refused)
        return False


# The canary's made-up credentials, made true: the only way to let it in without a broken broker.
OPEN_DOOR = "role tester { publish #; subscribe # }\nuser picket-canary { role tester; password-file %s }\n"


def test_canary_stops_the_start(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("nobody-has-this-secret\n")
    secret.chmod(0o600)
    (tmp_path / "first.policy").write_text(OPEN_DOOR % secret)
    r = picketd(tmp_path, f'bootstrap = "{tmp_path}/first.policy"\nlistener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n', "--foreground")
    assert r.returncode == 1, r.stderr
    assert "listener mqtts: a stranger with made-up credentials (MQTT 5) was NOT refused" in r.stderr
    assert "picketd stops" in r.stderr


def test_canary_takes_a_reload_back(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("nobody-has-this-secret\n")
    secret.chmod(0o600)
    p = Picket(tmp_path / "p", policy=OPEN_DOOR % secret, plain=False)
    text = p.conf.read_text()
    p.conf.write_text(text.replace("authenticators = {token, password}", "authenticators = {token}"))
    with p:
        p.conf.write_text(text)
        with pytest.raises(Refused) as refused:
            p.cli("config", "reload")
        assert "was not refused" in str(refused.value)
        assert p.status()["canary"]["ok"]
        # as before: no password opens this listener
        c = p.client()
        assert c.login("picket-canary", "picket-canary", "nobody-has-this-secret")[1] != 0


def test_the_service_manager_is_told(tmp_path):
    """sd_notify: READY once the canary has been refused, WATCHDOG in time, RELOADING and STOPPING."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.bind(str(tmp_path / "notify"))
        s.settimeout(20)
        conf = tmp_path / "c.conf"
        conf.write_text(f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n')
        env = dict(os.environ, NOTIFY_SOCKET=str(tmp_path / "notify"), WATCHDOG_USEC="200000")
        p = subprocess.Popen([BUILD / "picketd", "--config", conf, "--state", tmp_path / "state", "--run", tmp_path, "--foreground"],
                             env=env, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def heard(*wanted):
                seen = ""
                while not all(w in seen for w in wanted):
                    seen += s.recv(4096).decode() + "\n"

            heard("READY=1", "STATUS=1 listeners, canary refused, OK")
            heard("WATCHDOG=1")
            p.send_signal(signal.SIGHUP)
            heard("RELOADING=1", "MONOTONIC_USEC=", "READY=1")
            p.terminate()
            heard("STOPPING=1")
            assert p.wait(20) == 0
        finally:
            p.kill()
            p.wait()


def test_closed_standard_descriptors_stay_out_of_the_state(tmp_path):
    """Who starts picketd with 0, 1 and 2 closed must not get the log written into the lock or the store."""
    conf = tmp_path / "picket.conf"
    conf.write_text(f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n')
    tmp_path.chmod(0o755)
    subprocess.run(f"exec {BUILD}/picketd --config {conf} --state {tmp_path}/state --run {tmp_path}/run 0<&- 1>&- 2>&- 9</etc/passwd",
                   shell=True, check=True, timeout=60)
    try:
        assert (tmp_path / "state/lock").read_text().isdigit()
        pid = int((tmp_path / "state/lock").read_text())
        assert {os.readlink(f"/proc/{pid}/fd/{n}") for n in (0, 1, 2)} == {"/dev/null"}
        assert "/etc/passwd" not in {os.readlink(f"/proc/{pid}/fd/{n}") for n in os.listdir(f"/proc/{pid}/fd")}
    finally:
        stop_daemon(tmp_path)


@pytest.mark.skipif(os.getuid() != 0, reason="needs another user")
def test_run_folder_of_another_user_is_refused(tmp_path):
    """Its owner could put a link in the place of the admin socket, and root would change what it leads to."""
    (tmp_path / "run").mkdir()
    os.chown(tmp_path / "run", 65534, 65534)
    r = picketd(tmp_path, f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n', "--foreground", timeout=20)
    assert r.returncode == 1
    assert "run belongs to another user; give picketd a folder of its own" in r.stderr


def test_the_starter_may_go_away(tmp_path):
    """Who started it and did not wait until it was ready leaves a picketd that runs."""
    conf = tmp_path / "picket.conf"
    conf.write_text(f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n')
    tmp_path.chmod(0o755)
    starter = subprocess.Popen([BUILD / "picketd", "--config", conf, "--state", tmp_path / "state", "--run", tmp_path / "run"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: (tmp_path / "state/lock").exists() and (tmp_path / "state/lock").read_text())
    starter.kill()
    starter.wait()
    log = tmp_path / "state/log/picketd.log"
    wait_for(lambda: log.exists() and "event=ready" in log.read_text())
    time.sleep(0.2)
    try:
        assert alive(int((tmp_path / "state/lock").read_text()))
    finally:
        stop_daemon(tmp_path)


def test_reload_is_refused_when_a_process_ends_after_agreeing(make_picket):
    """The one that takes its place began with the old configuration; it would be the only one that has it."""
    p = make_picket()
    auth = p.children()["auth"]
    os.kill(auth, signal.SIGSTOP)  # cannot agree
    p.conf.write_text(p.conf.read_text().replace("shards = 2", "shards = 2\nlog_level = debug"))
    p.process.send_signal(signal.SIGHUP)
    time.sleep(1)  # the others have agreed
    os.kill(p.children()["broker"], signal.SIGKILL)
    time.sleep(0.5)
    os.kill(auth, signal.SIGCONT)
    wait_for(lambda: "event=reload" in p.log())
    assert "event=reload_refused" in p.log() and "broker refuses it: it ended" in p.log()


GROUPS = "root:x:0:\npicket-admin:x:61001:\npicket-ops:x:61002:\nnogroup:x:65534:\n"
KNOCK = """
import os, socket, sys
os.setgroups([int(sys.argv[2])]); os.setgid(65534); os.setuid(65534)
s = socket.socket(socket.AF_UNIX); s.settimeout(10)
s.connect(sys.argv[1])
s.sendall(("POST" if sys.argv[3] == "call" else "GET").encode() + b" /v1/" + sys.argv[3].encode() +
          b" HTTP/1.1\\r\\nHost: x\\r\\nContent-Length: 0\\r\\nConnection: close\\r\\n\\r\\n")
print(s.recv(100).split()[1].decode())
"""


@pytest.mark.skipif(os.getuid() != 0 or subprocess.run(["unshare", "-m", "true"]).returncode != 0, reason="needs root and a mount namespace")
def test_both_groups_reach_the_admin_socket(tmp_path):
    """picket-admin and picket-ops both get in where they exist, others do not; ops may only read."""
    conf = tmp_path / "picket.conf"
    conf.write_text(f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n')
    (tmp_path / "group").write_text(GROUPS)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    subprocess.run(["unshare", "-m", "sh", "-c", f"mount --bind {tmp_path}/group /etc/group && exec {BUILD}/picketd --config {conf} "
                    f"--state {tmp_path}/state --run {tmp_path}/run"], stdin=subprocess.DEVNULL, check=True, timeout=60)

    def knock(gid, what):
        r = subprocess.run(["/usr/bin/python3", "-c", KNOCK, tmp_path / "run/admin.sock", str(gid), what], capture_output=True, text=True, timeout=30)
        return r.stdout.strip() or r.stderr.strip().splitlines()[-1]
    try:
        assert knock(61001, "status") == "200"
        assert knock(61002, "status") == "200"
        assert knock(61002, "reload") in ("403", "405")
        assert "Permission denied" in knock(65534, "status")
    finally:
        stop_daemon(tmp_path)


def test_a_pepper_of_elsewhere_stops_the_start(tmp_path):
    """Every token would be wrong: better a start that ends with the reason than a broker that refuses its fleet."""
    config = f'listener mqtts {{ bind = "127.0.0.1:{free_port()}" }}\n'
    assert picketd(tmp_path, config).returncode == 0
    stop_daemon(tmp_path)
    (tmp_path / "state/keys/pepper").write_bytes(b"x" * 32)
    r = picketd(tmp_path, config, "--foreground")
    assert r.returncode == 1
    assert "keys/pepper is not the one that the tokens of auth/auth.db were made with; restore both" in r.stderr
    assert r.stderr.count("event=token_key") == 1, "it is said once, not in a circle"


def test_a_first_policy_may_name_thousands_of_secrets(make_picket, tmp_path):
    """More than the queues between two processes hold."""
    secrets = tmp_path / "secrets"
    secrets.mkdir(mode=0o700)
    text = ROLES
    for i in range(3000):
        (secrets / str(i)).write_text(os.urandom(26).hex())
        (secrets / str(i)).chmod(0o600)
        text += f"device dev{i} {{ role sensor; token-file {secrets}/{i} }}\n"
    p = make_picket(policy=text)
    assert p.status()["auth"]["devices"] == 3000


def test_during_a_reload_a_listener_keeps_its_own_rules(make_picket):
    """auth has the new configuration before broker: numbers of listeners must not be read in the wrong one."""
    p = make_picket()
    p.conf.write_text(p.conf.read_text().replace("listener open {", "listener people {"))
    secret = "a password that nobody guesses 7"
    p.cli("user", "add", "anna", "--role", "tester", "--password-stdin", stdin=secret + "\n")
    lines = p.conf.read_text().splitlines(True)
    for i, line in enumerate(lines):
        if line.startswith("listener plain"):
            plain, lines[i] = i, line.replace("{token, password}", "{token}")
        if line.startswith("listener people"):
            people, lines[i] = i, line.replace("anonymous_role = tester", "authenticators = {password}")
    p.conf.write_text("".join(lines))
    p.cli("config", "reload")

    def login(port):
        return subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-u", "anna", "-P", secret, "-t", "a", "-m", "b"],
                              capture_output=True, timeout=20).returncode
    assert (login(p.open_port), login(p.plain_port)) == (0, 5)
    lines[plain], lines[people] = lines[people], lines[plain]
    p.conf.write_text("".join(lines))
    keys = p.children()["keys"]
    os.kill(keys, signal.SIGSTOP)  # has not agreed yet: broker goes on with the old order
    try:
        p.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        assert (login(p.open_port), login(p.plain_port)) == (0, 5)
    finally:
        os.kill(keys, signal.SIGCONT)
    wait_for(lambda: p.log().count("event=reload ") == 2)
    assert (login(p.open_port), login(p.plain_port)) == (0, 5)
    os.kill(p.children()["auth"], signal.SIGKILL)  # the new one knows the newest number only
    wait_for(lambda: login(p.open_port) == 0)
