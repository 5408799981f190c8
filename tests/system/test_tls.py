"""TLS with a real broker: trust, what the log says of a failed handshake, renewal, external certificates, and the keys process's end."""
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
from mqtt import Client
from picket import BUILD, Picket


def openssl(*args, **kw):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60, **kw)


def handshake(port, context, name="localhost"):
    with socket.create_connection(("127.0.0.1", port), 5) as s:
        with context.wrap_socket(s, server_hostname=name) as t:
            return t.getpeercert(), t.version(), t.cipher()[0]


def wait_for(what, seconds=10):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return
        time.sleep(0.05)
    raise AssertionError("did not happen")


def logged(p, text, before=0):
    wait_for(lambda: text in p.log()[before:])


def names_of(p, port):
    cert, _, _ = handshake(port, p.tls())
    return {v for _, v in cert["subjectAltName"]}


def reload(p, expect="is in force"):
    before = len(p.log())
    p.process.send_signal(signal.SIGHUP)
    wait_for(lambda: any(w in p.log()[before:] for w in ("is in force", "reload_refused")), 30)
    assert expect in p.log()[before:]
    return p.log()[before:]


def test_versions_and_names(picket):
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = picket.tls()
        c.maximum_version = version
        for name in ("localhost", "127.0.0.1", socket.gethostname()):
            cert, spoken, cipher = handshake(picket.port, c, name)
            assert "GCM" in cipher and ("1.3" in spoken) == (version == ssl.TLSVersion.TLSv1_3)
        with pytest.raises(ssl.SSLCertVerificationError):
            handshake(picket.port, c, "other.example")


def test_what_the_log_says(picket):
    before = len(picket.log())
    with pytest.raises(ssl.SSLError):
        handshake(picket.port, ssl.create_default_context())
    logged(picket, 'note="alert unknown_ca - it does not have our CA"', before)
    for first, note in ((b"GET / HTTP/1.1\r\n\r\n", "plain HTTP on a TLS port"),
                        (bytes.fromhex("101000044d5154540402003c00046c616d70"), "plain MQTT on a TLS port"),
                        (b"SSH-2.0-x\r\n", "no TLS - its first bytes")):
        with socket.create_connection(("127.0.0.1", picket.port), 5) as s:
            s.sendall(first)
            s.settimeout(5)
            try:
                s.recv(64)
            except OSError:
                pass
        logged(picket, note, before)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):
        handshake(picket.port, old)
    logged(picket, "no shared TLS version", before)


def test_resumption(picket):
    c = picket.tls()
    c.maximum_version = ssl.TLSVersion.TLSv1_2
    with socket.create_connection(("127.0.0.1", picket.port), 5) as s, c.wrap_socket(s, server_hostname="localhost") as t:
        session = t.session
    with socket.create_connection(("127.0.0.1", picket.port), 5) as s:
        with c.wrap_socket(s, server_hostname="localhost", session=session) as t:
            assert t.session_reused


@pytest.mark.rows("TLS-TICKETREVOKE")
def test_a_resumed_session_is_nobody(picket):
    """It resumes encryption: who it is is asked in every CONNECT, and of a revoked identity the answer is no (I11)."""
    secret = picket.add("resumer")
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        c = picket.tls()
        c.maximum_version = version

        def connect(session, *login):
            s = c.wrap_socket(socket.create_connection(("127.0.0.1", picket.port), 5), server_hostname="localhost", session=session)
            client = Client(s)
            code = client.login("resumer", *login)[1]
            return s.session_reused, code, s.session

        _, code, session = connect(None, "resumer", secret)
        assert code == 0
        reused, code, _ = connect(session)  # without a word of who it is
        assert reused and code == 5
        reused, code, _ = connect(session, "resumer", "not the secret") if version == ssl.TLSVersion.TLSv1_2 else (True, 5, None)
        assert reused and code == 5
    picket.cli("device", "revoke", "resumer")
    assert connect(session, "resumer", secret)[1] == 5


def test_new_names_without_losing_anyone(make_picket):
    p = make_picket(plain=False)
    client = p.login("lamp", p.add("lamp"))
    assert "mqtt.lan" not in names_of(p, p.port)
    p.conf.write_text(p.conf.read_text() + 'names = {"mqtt.lan"}\naddresses = {"192.0.2.99"}\n')
    reload(p)
    wait_for(lambda: {"mqtt.lan", "192.0.2.99"} <= names_of(p, p.port))
    client.ping()
    handshake(p.port, p.tls(), "mqtt.lan")


@pytest.fixture
def other_ca(tmp_path):
    """A function that issues a certificate for localhost of a CA that is not ours, in place of the last."""
    d = tmp_path / "other"
    d.mkdir()
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", d / "ca.key", "-out", d / "ca.crt",
            "-subj", "/CN=Other CA", "-days", "30")

    def issue(cn, *key, days=20):
        openssl("req", "-new", *(key or ("-newkey", "rsa:2048")), "-nodes", "-keyout", d / "new.key", "-out", d / "csr", "-subj", f"/CN={cn}")
        (d / "ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", d / "csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", days,
                "-extfile", d / "ext", "-out", d / "new.crt")
        for f in ("crt", "key"):
            (d / f"new.{f}").chmod(0o600)
            (d / f"new.{f}").rename(d / f"server.{f}")

    issue.folder = d
    issue.trust = lambda: ssl.create_default_context(cafile=str(d / "ca.crt"))
    return issue


def test_certificates_by_name(make_picket, other_ca, tmp_path):
    """SNI chooses; unknown names and none get the listener's own; each rotates by itself, and a bad new one changes nothing."""
    d = other_ca.folder

    def put(name, cn, key="P-256"):
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", f"ec_paramgen_curve:{key}", "-nodes", "-keyout", d / "n.key", "-out", d / "csr",
                "-subj", f"/CN={cn}")
        (d / "ext").write_text(f"subjectAltName=DNS:{name}.test,DNS:*.{name}.test\n")
        openssl("x509", "-req", "-in", d / "csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", 20,
                "-extfile", d / "ext", "-out", d / "n.crt")
        for f in ("crt", "key"):
            (d / f"n.{f}").chmod(0o600)
            (d / f"n.{f}").rename(d / f"{name}.{f}")

    put("shop", "shop 1")
    put("farm", "farm 1", "P-384")
    config = "".join(f'certificate {n} {{ file = "{d}/{n}.crt" key = "{d}/{n}.key" }}\n' for n in ("shop", "farm"))
    p = make_picket(plain=False, config=config, listener="certificates = {shop, farm}")

    def served(name, version=ssl.TLSVersion.TLSv1_3):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        c.check_hostname, c.maximum_version = False, version
        c.load_verify_locations(d / "ca.crt")
        c.load_verify_locations(cadata=p.ca.read_text())
        with socket.create_connection(("127.0.0.1", p.port), 5) as s, c.wrap_socket(s, server_hostname=name) as t:
            return dict(x[0] for x in t.getpeercert()["subject"])["commonName"]

    own = served(None)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        assert served("shop.test", version) == "shop 1" and served("eu.shop.test", version) == "shop 1"
        assert served("farm.test", version) == "farm 1"
        for name in (None, "elsewhere.test", "localhost", "a.b.shop.test"):
            assert served(name, version) == own, name
    secret = p.add("lamp")
    c = ssl.create_default_context(cafile=str(d / "ca.crt"))
    live = Client(c.wrap_socket(socket.create_connection(("127.0.0.1", p.port), 5), server_hostname="shop.test"))
    assert live.login("lamp", "lamp", secret)[1] == 0
    put("shop", "shop 2", "P-384")
    reload(p)
    wait_for(lambda: served("shop.test") == "shop 2")
    assert served("farm.test") == "farm 1"
    live.ping()
    good = (d / "farm.crt").read_bytes()
    (d / "farm.crt").write_text("rubbish")
    assert "certificate farm: the certificate file holds no readable PEM" in reload(p, "reload_refused")
    assert served("farm.test") == "farm 1" and served("shop.test") == "shop 2"
    (d / "farm.crt").write_bytes(good)
    p.conf.write_text(p.conf.read_text().replace("{shop, farm}", "{farm}"))
    reload(p)
    wait_for(lambda: served("shop.test") == own)
    assert served("farm.test") == "farm 1"
    live.ping()
    os.kill(p.children()["keys"], signal.SIGKILL)  # it reads them all again
    wait_for(lambda: "keys is back" in p.log())
    assert served("farm.test") == "farm 1" and served("shop.test") == own


def subject(issue, port):
    return dict(x[0] for x in handshake(port, issue.trust())[0]["subject"])["commonName"]


def test_external_certificate(make_picket, other_ca):
    other_ca("first")
    d = other_ca.folder
    p = make_picket(plain=False, listener=f'certificate = "{d}/server.crt" key = "{d}/server.key"')
    assert subject(other_ca, p.port) == "first"
    s = socket.create_connection(("127.0.0.1", p.port), 5)
    live = other_ca.trust().wrap_socket(s, server_hostname="localhost")
    other_ca("second", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384")
    reload(p)
    wait_for(lambda: subject(other_ca, p.port) == "second")
    for bad, why in (("server.crt", "no readable PEM certificates"), ("server.key", "holds no PEM key")):
        good = (d / bad).read_bytes()
        (d / bad).write_text("rubbish")
        assert why in reload(p, "reload_refused")
        assert subject(other_ca, p.port) == "second"
        (d / bad).write_bytes(good)
    other_ca("third", days=0)  # ends as it begins
    time.sleep(1)
    assert "expired" in reload(p, "reload_refused")
    assert subject(other_ca, p.port) == "second"
    live.sendall(bytes.fromhex("101000044d5154540402003c00046c616d70"))  # the first connection is still served
    assert live.recv(4)[:1] == b"\x20"


def test_bad_external_certificate_ends_the_start(tmp_path, other_ca):
    other_ca("first")
    d = other_ca.folder
    (d / "server.key").write_text("rubbish")
    p = Picket(tmp_path / "p", plain=False, listener=f'certificate = "{d}/server.crt" key = "{d}/server.key"')
    p.start(expect_ready=False)
    try:
        logged(p, "holds no PEM key")
        with pytest.raises(OSError):
            handshake(p.port, other_ca.trust())
    finally:
        p.stop()


def test_keys_is_killed(make_picket):
    p = make_picket(plain=False)
    client = p.login("lamp", p.add("lamp"))
    context = p.tls()
    stop, failed, done = threading.Event(), [], [0]

    def load():
        while not stop.is_set():
            try:
                handshake(p.port, context)
                done[0] += 1
            except OSError as e:
                failed.append(e)

    t = threading.Thread(target=load)
    t.start()
    others = {r: pid for r, pid in p.children().items() if r != "keys"}
    for _ in range(3):
        os.kill(p.children()["keys"], signal.SIGKILL)
        time.sleep(1)
        before = done[0]
        wait_for(lambda: done[0] > before, 2)
    stop.set()
    t.join()
    assert not failed  # handshakes waited for its return
    assert {r: pid for r, pid in p.children().items() if r != "keys"} == others
    client.ping()


def test_ca_backup_and_restore(make_picket, tmp_path):
    p = make_picket(plain=False)
    secret = p.add("lamp")
    ca = p.ca.read_bytes()
    (tmp_path / "pass").write_text("a long passphrase\n")
    (tmp_path / "pass").chmod(0o600)
    p.cli("ca", "backup", "--out", tmp_path / "backup.pem", "--password-file", tmp_path / "pass")
    p.stop()
    keys = p.state / "keys"
    (keys / "ca.key").unlink()
    (keys / "ca.crt").unlink()
    pem = openssl("pkey", "-in", tmp_path / "backup.pem", "-passin", "pass:a long passphrase").stdout
    owner = (keys / "pepper").stat()
    for name, text in (("ca.key", pem), ("ca.crt", openssl("x509", "-in", tmp_path / "backup.pem").stdout)):
        (keys / name).write_bytes(text)
        (keys / name).chmod(0o600)
        os.chown(keys / name, owner.st_uid, owner.st_gid)
    p.start()
    assert p.ca.read_bytes() == ca
    p.login("lamp", secret).ping()


@pytest.mark.parametrize("lost", ["pepper", "ca.key"])
def test_a_loss_ends_the_start(make_picket, lost):
    p = make_picket(plain=False)
    p.stop()
    (p.state / "keys" / lost).unlink()
    p.start(expect_ready=False)
    logged(p, "is gone")
    assert not (p.state / "keys" / lost).exists()
