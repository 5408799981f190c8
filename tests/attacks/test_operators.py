"""Attacks that come by way of the operator: text bombs as policy and configuration, a file half written while a storm of reloads
comes, another user at the socket, and what a name may do to a terminal."""
import os
import re
import signal
import socket
import subprocess
import time

import pytest
from mqtt import Closed, connect
from picket import BUILD, Picket, Refused

rows = pytest.mark.rows
POLICY = "role sensor { publish home/${device}/tele/#; subscribe home/${device}/cmd/# }\nrole tester { publish #; subscribe # }\n"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    with Picket(tmp_path_factory.mktemp("operators"), policy=POLICY) as p:
        p.secret = p.add("dev", "sensor")
        yield p


BOMBS = {
    "not text": "\0\1\2\xff" * 100,
    "one long word": "role " + "a" * 200000 + " { publish # }",
    "one long line": "role a { " + "publish x/y; " * 200000 + "}",
    "many roles": "".join(f"role r{i} {{ publish r{i}/# }}\n" for i in range(60000)),
    "never closed": "role a {" * 20000,
    "only braces": "{" * 100000 + "}" * 100000,
    "deep filter": "role a { publish " + "/".join("a" * 1000) + " }",
    "many levels": "role a { publish " + "+/" * 5000 + "# }",
    "placeholders": "role a { publish " + "/".join(["${device}"] * 2000) + " }",
    "bad placeholder": "role a { publish home/${de${device}vice}/# }",
    "half a level": "role a { publish home/x${device}/# }",
    "wildcard inside": "role a { publish a#/b }",
    "unknown word": "role a { publihs a/# }",
    "unknown limit": "role a { publish a/#; limit everything none }",
    "blank names": "device  { role sensor }\nuser { role sensor }\n",
    "no number": "role a { publish #; limit publish 99999999999999999999999/s }",
}


@rows("CVE-2018-12550", "CVE-2018-12551", "VMQ-ACLEOL", "EMQX-13432", "CVE-2026-95848", "MOSQ-2026-HAACL")
@pytest.mark.parametrize("name", BOMBS)
def test_policy_text_bombs(broker, tmp_path, name):
    """Refused as a whole, the policy in force being what it was; or taken, where it is only large."""
    before, processes = broker.cli("policy", "export"), broker.children()
    path = tmp_path / "bomb"
    path.write_bytes(BOMBS[name].encode("latin-1"))
    for verb in ("check", "diff", "apply"):
        with pytest.raises(Refused) as e:
            broker.cli("policy", verb, path, *(["--yes"] if verb == "apply" else []))
        assert e.value.code in (1, 2) and len(e.value.err) < 5000 and "\0" not in e.value.err
    assert broker.cli("policy", "export") == before
    assert broker.children() == processes
    c = broker.login("dev", broker.secret, to="plain")
    assert c.subscribe("#") == 0x80 and c.subscribe("home/dev/cmd/#") == 0
    c.close()


@rows("VMQ-ACLEOL")
@pytest.mark.parametrize("form", ["crlf", "no newline at the end", "tabs", "bom"])
def test_line_ends_change_no_rule(broker, tmp_path, form):
    text = broker.cli("policy", "export")
    other = {"crlf": text.replace("\n", "\r\n"), "no newline at the end": text.rstrip(), "tabs": text.replace("  ", "\t"),
             "bom": "\ufeff" + text}[form]
    path = tmp_path / "p"
    path.write_bytes(other.encode())
    try:
        assert "no difference" in broker.cli("policy", "diff", path)
    except Refused:
        pass  # said, not guessed


CONF_BOMBS = {
    "nested": "listener a { " * 5000,
    "long value": 'state_dir = "' + "a" * 500000 + '"\n',
    "long word": "a" * 500000,
    "many listeners": "".join(f'listener l{i} {{ bind = "127.0.0.1:{20000 + i}" }}\n' for i in range(3000)),
    "same option twice": "shards = 1\nshards = 2\n",
    "old or misspelt": 'acl_file = "/etc/acl"\nallow_anonymous = false\n',
    "number": "limits { max_packet_size = 99999999999999999999999999k }\n",
    "negative": "limits { queue_messages = -1 }\n",
    "includes": 'include("/etc/shadow")\n',
    "not text": "\0\1\2\3\n",
    "environment": 'state_dir = ${HOME}\n',
    "anonymous without a reason": 'listener x { bind = "127.0.0.1:1883" tls = off anonymous_role = tester }\n',
    "remote and plain": 'listener x { bind = "*:1883" tls = off accept_risk = "x" }\n',
    "unknown authenticator": 'listener x { bind = "127.0.0.1:1883" authenticators = {pasword} }\n',
    "no bootstrap": 'bootstrap = "/nonexistent/first.policy"\n',
}


@rows("MOSQ-2026-HAACL", "UPGRADE-LIMITS", "CVE-2026-95848", "EMQX-13432", "MOSQ-2021-DEFLISTEN", "ANON-WRITE", "MITM-PLAIN", "CVE-2021-0256",
      "TLS-CAMISSING", "MOSQ-AUTOID")
@pytest.mark.parametrize("name", CONF_BOMBS)
def test_configuration_bombs_stop_the_start(tmp_path, name):
    conf = tmp_path / "c"
    conf.write_text(CONF_BOMBS[name])
    r = subprocess.run([BUILD / "picketd", "--check", "--config", conf, "--state", tmp_path / "s", "--run", tmp_path / "r"],
                       capture_output=True, timeout=30)
    assert r.returncode in (1, 2), r.stderr
    assert b"root:" not in r.stderr and len(r.stderr) < 10000


@rows("SIG-STORM", "RELOAD-KICK", "CVE-2017-7652")
def test_reloads_while_the_file_is_being_written(broker):
    """Fifty SIGHUPs while the file is cut at many places: the client stays, strangers stay out."""
    whole = broker.conf.read_text()
    c = broker.login("dev", broker.secret, to="plain")
    try:
        for i in range(50):
            # Cut after a whole line it could be a valid file that means less; this never is.
            broker.conf.write_text(whole[:len(whole) * i // 50] + "\nlimits {")
            broker.process.send_signal(signal.SIGHUP)
            if i % 10 == 0:
                stranger = broker.client("plain")
                assert stranger.login("x")[1] == 5
                stranger.close()
                c.ping()
    finally:
        broker.conf.write_text(whole)
    for _ in range(100):
        try:
            broker.cli("config", "reload")
            break
        except Refused as e:  # the last of the storm is still under way
            assert "another reload is running" in e.err
            time.sleep(0.05)
    c.ping()
    assert c.subscribe("#") == 0x80 and c.subscribe("home/dev/cmd/#") == 0
    assert broker.client("plain").login("x")[1] == 5
    c.close()


@rows("LOG-ANSI", "RMQ-CIDSAN", "CVE-2020-13932", "LOG-CRLF", "EMQX-12944")
@pytest.mark.parametrize("client_id", ["a\u009b2Jb", "a\u202eb", "a\u2028b", "a\ufeffb", "<script>", "';--", "$(id)", "`id`", "a\tb", "a\x1b]0;x\x07"])
def test_a_client_id_in_the_operators_terminal(broker, client_id):
    """Whatever a client calls itself: one line, no control character, in the list, the log and a refusal."""
    c = broker.client("open", 5)
    try:
        c.login(client_id)
    except (Closed, AssertionError):
        pass
    bad = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")
    shown = broker.cli("client", "list") + broker.log()
    assert not bad.search(shown)
    c.close()


@pytest.mark.skipif(os.getuid() != 0, reason="another user is needed")
@rows("API-BODY", "API-CSRF")
def test_another_user_takes_no_place_at_the_socket(make_picket):
    """The folder opened by mistake: a stranger of this machine holds a hundred connections, the operator is answered."""
    p = make_picket(policy=POLICY)
    for d in (p.folder, *p.folder.parents):
        if str(d).startswith("/tmp/") and d.stat().st_uid == 0:
            d.chmod(d.stat().st_mode | 0o055)
    p.run_dir.chmod(0o755)
    (p.run_dir / "admin.sock").chmod(0o666)
    code = ("import socket,sys,time\nheld=[]\nfor i in range(100):\n s=socket.socket(socket.AF_UNIX); s.settimeout(1)\n try:\n"
            "  s.connect(sys.argv[1]); s.sendall(b'GET /v1/status HTTP/1.1\\r\\nHost: x\\r\\n'); held.append(s)\n except OSError: pass\n"
            "print(len(held),flush=True)\nsys.stdin.read()\n")
    stranger = subprocess.Popen(["/usr/bin/python3", "-c", code, p.run_dir / "admin.sock"], user=65534, group=65534, extra_groups=[],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert int(stranger.stdout.readline()) > 0
        assert p.status()["ready"]
        assert p.add("later", "sensor")
    finally:
        stranger.kill()
        stranger.wait()
        stranger.stdin.close()
        stranger.stdout.close()


@rows("API-PATHNORM", "API-BODY", "API-CSRF", "CVE-2022-28357")
@pytest.mark.parametrize("request_", [
    b"GET /%76%31/status HTTP/1.1\r\nHost: x\r\n\r\n", b"GET //v1//status HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /v1/../v1/status HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /v1/status;x HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /v1/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /v1/call HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n" + b"[" * 20000, b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n", b"\x16\x03\x01" + bytes(500), connect("x"), b"\r\n" * 1000],
    ids=["percent", "slashes", "dots", "parameter", "length", "nesting", "headers", "path", "tls", "mqtt", "empty"])
def test_odd_requests_at_the_socket(broker, request_):
    before = broker.children()
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(1)
    s.connect(str(broker.run_dir / "admin.sock"))
    try:
        s.sendall(request_)
        got = s.recv(4096)
    except OSError:
        got = b""
    s.close()
    # A path is judged as it reads when decoded, and that once.
    wanted = rb"HTTP/1\.[01] [245]" if b"%" in request_ else rb"HTTP/1\.[01] [45]"
    assert got == b"" or re.match(wanted, got), got[:100]
    assert broker.status()["ready"] and broker.children() == before
