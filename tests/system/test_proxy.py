"""Connections through proxies: the PROXY protocol by hand, and a real HAProxy before picket."""
import re
import shutil
import socket
import ssl
import subprocess
import time

import pytest
import ws
from mqtt import Client
from picket import Picket, free_port
from proxy import ssl as pp2_ssl
from proxy import v1, v2

POLICY = """
role tester { publish #; subscribe #; limit all none }
role inside { source 192.0.2.0/24, 2001:db8::/32; publish plant/# }
role always { publish free/# }
user anna { role inside, always }
"""
PROXY = 'proxy = on trusted_proxies = {"127.0.0.1", "127.0.0.9"}'


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    port = free_port()
    config = (f'listener behind {{ bind = "127.0.0.1:{port}" tls = off {PROXY} proxy_certificates = on'
              ' deny_networks = {"203.0.113.66"} accept_risk = "tests on loopback" }')
    with Picket(tmp_path_factory.mktemp("proxy"), policy=POLICY, listener=PROXY, config=config) as p:
        p.behind = port
        p.secret = p.add("lamp")
        yield p


def dial(port, header, source="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
    s.sendall(header)
    return s


def logged(p, pattern):
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if re.search(pattern, p.log()):
            return
        time.sleep(0.05)
    raise AssertionError(f"not logged: {pattern}\n{p.log()[-2000:]}")


@pytest.mark.parametrize("header, addr", [(v1("192.0.2.7"), "192.0.2.7:56324"), (v1("2001:db8::7"), r"\[2001:db8::7\]:56324"),
                                          (v2("192.0.2.8"), "192.0.2.8:56324"), (v2("2001:db8::8"), r"\[2001:db8::8\]:56324"),
                                          (v2("192.0.2.9", pp2_ssl("esp07"), crc=True), "192.0.2.9:56324")])
def test_it_comes_before_tls(broker, header, addr):
    with broker.tls().wrap_socket(dial(broker.port, header), server_hostname="localhost") as s:
        c = Client(s)
        assert c.login("lamp", "lamp", broker.secret)[1] == 0
        logged(broker, f'event=connect identity="lamp" client="lamp" addr={addr} via=127.0.0.1 listener=mqtts version=4 tls="TLSv1.3')
        assert re.fullmatch(addr, broker.json("client", "list")["clients"][0]["addr"])


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", v2(None, command=0x20), v2(None), v2(None, bytes(216), family=0x31)])
def test_a_proxy_that_speaks_for_itself(broker, header):
    """Health checks, and clients that reached the proxy by a unix socket: they come from the proxy."""
    c = Client(dial(broker.behind, header, "127.0.0.9"))
    assert c.login("lamp", "lamp", broker.secret)[1] == 0
    logged(broker, 'event=connect identity="lamp" client="lamp" addr=127.0.0.9:')


def test_networks_are_those_of_the_client(broker):
    before = broker.status()["broker"]["turned_away_network"]
    s = dial(broker.behind, v2("203.0.113.66"))
    assert s.recv(1) == b""
    logged(broker, "event=refused addr=203.0.113.66 listener=behind reason=denied via=127.0.0.1")
    assert broker.status()["broker"]["turned_away_network"] == before + 1
    assert Client(dial(broker.behind, v2("203.0.113.67"))).login("lamp", "lamp", broker.secret)[1] == 0


def test_roles_hold_where_the_client_is(broker):
    secret = broker.json("user", "rotate", "anna", "--print")["token"]
    for source, inside in (("192.0.2.99", True), ("192.0.3.1", False), ("2001:db8:1::", True), ("2001:db9::1", False)):
        c = Client(dial(broker.behind, v2(source)), 5)
        assert c.login("anna", "anna", secret)[1] == 0
        for topic, ok in (("plant/x", inside), ("free/x", True)):
            c.publish(topic, "1", qos=1, pid=5)
            body = c.expect(4)[1]
            assert (len(body) > 2 and body[2] == 0x87) == (not ok), (source, topic)


def test_a_reload_makes_it_a_listener_behind_a_proxy(make_picket):
    p = make_picket(plain=False)
    secret = p.add("lamp")
    assert p.login("lamp", secret)
    p.conf.write_text(p.conf.read_text().replace("tls = on", "tls = on " + PROXY, 1))
    assert "in force" in p.cli("config", "reload")
    with p.tls().wrap_socket(dial(p.port, v1("192.0.2.7")), server_hostname="localhost") as s:
        assert Client(s).login("lamp", "lamp", secret)[1] == 0
    with pytest.raises(OSError):
        p.socket()


# ---- a real one ---------------------------------------------------------------------------


def openssl(*args):
    subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A CA, a server's pem for HAProxy, and a client certificate of esp07."""
    d = tmp_path_factory.mktemp("ca")
    ec = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *ec, "-keyout", d / "ca.key", "-out", d / "ca.crt", "-subj", "/CN=Test CA", "-days", "30")
    (d / "ext").write_text("subjectAltName=DNS:localhost\n")
    for name in ("localhost", "esp07"):
        openssl("req", "-new", *ec, "-keyout", d / f"{name}.key", "-out", d / "csr", "-subj", f"/CN={name}")
        openssl("x509", "-req", "-in", d / "csr", "-CA", d / "ca.crt", "-CAkey", d / "ca.key", "-CAcreateserial", "-days", "30",
                "-extfile", d / "ext", "-out", d / f"{name}.crt")
    (d / "server.pem").write_bytes((d / "localhost.crt").read_bytes() + (d / "localhost.key").read_bytes())
    return d


class Haproxy:
    """A real HAProxy with that configuration, ready when its port answers."""

    def __init__(self, folder, port, text):
        self.port, self.conf = port, folder / "haproxy.cfg"
        self.conf.write_text("global\n    maxconn 64\ndefaults\n    timeout connect 5s\n    timeout client 30s\n    timeout server 30s\n" + text)

    def __enter__(self):
        self.process = subprocess.Popen(["haproxy", "-db", "-f", self.conf], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(10)

    def connect(self, source="127.0.0.77"):
        end = time.monotonic() + 10
        while True:
            try:
                return socket.create_connection(("127.0.0.1", self.port), 5, source_address=(source, 0))
            except OSError:
                assert time.monotonic() < end
                time.sleep(0.1)


has_haproxy = pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")


@has_haproxy
@pytest.mark.parametrize("kind", ["send-proxy", "send-proxy-v2", "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority"])
def test_haproxy(broker, certificates, tmp_path, kind):
    d, port = certificates, free_port()
    context = ssl.create_default_context(cafile=str(d / "ca.crt"))
    context.load_cert_chain(d / "esp07.crt", d / "esp07.key")
    text = f"""
frontend f
    mode tcp
    bind 127.0.0.1:{port} ssl crt {d}/server.pem ca-file {d}/ca.crt verify optional
    unique-id-format %ID
    default_backend b
backend b
    mode tcp
    server picket 127.0.0.1:{broker.behind} check inter 200ms {kind}
"""
    with Haproxy(tmp_path, port, text) as proxy:
        c = Client(context.wrap_socket(proxy.connect(), server_hostname="localhost"))
        assert c.login("lamp", "lamp", broker.secret)[1] == 0
        logged(broker, "addr=127.0.0.77:[0-9]+ via=127.0.0.1 listener=behind")
        c.ping()
        before = broker.status()["broker"]["turned_away"]
        time.sleep(0.6)  # some health checks
        assert broker.status()["broker"]["turned_away"] == before
        assert "proxy_refused" not in broker.log()


# ---- X-Forwarded-For ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    """ws: WebSocket and MQTT in plaintext beside a proxy at 127.0.0.1; role inside for 192.0.2.0/24 and for 127.0.0.77."""
    port = free_port()
    policy = POLICY.replace("source 192.0.2.0/24", "source 192.0.2.0/24, 127.0.0.77")
    config = (f'listener ws {{ bind = "127.0.0.1:{port}" tls = off protocols = {{mqtt, websocket}} trusted_proxies = {{"127.0.0.1", "10.9.9.9"}}'
              ' forwarded_for = on deny_networks = {"203.0.113.66"} accept_risk = "tests on loopback" }')
    with Picket(tmp_path_factory.mktemp("web"), policy=policy, config=config) as p:
        p.ws = port
        p.secret = p.json("user", "rotate", "anna", "--print")["token"]
        yield p


def ask(p, *fields, source="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", p.ws), 5, source_address=(source, 0))
    return Client(ws.Socket(s, fields=[f"X-Forwarded-For: {f}" for f in fields]), 5)


def may(c, topic):
    c.publish(topic, "1", qos=1, pid=5)
    body = c.expect(4)[1]
    return not (len(body) > 2 and body[2] == 0x87)


@pytest.mark.parametrize("fields, addr, inside", [
    (["192.0.2.7"], "192.0.2.7", True),
    (["192.0.2.7:4711"], "192.0.2.7:4711", True),
    (["127.0.0.1, 198.51.100.3"], "198.51.100.3", False),
    (["192.0.2.7, 198.51.100.4, 10.9.9.9"], "198.51.100.4", False),
    (["192.0.2.7", "198.51.100.5", "10.9.9.9"], "198.51.100.5", False),
    (["[2001:db8::7]:80"], r"\[2001:db8::7\]:80", True),
    ([], "127.0.0.1:[0-9]+", False)])
def test_forwarded_for(web, fields, addr, inside):
    c = ask(web, *fields)
    assert c.login("anna", "anna", web.secret)[1] == 0
    logged(web, f'event=connect identity="anna" client="anna" addr={addr} via=127.0.0.1 listener=ws')
    assert may(c, "plant/x") == inside and may(c, "free/x")


def test_forwarded_for_of_anybody_else_is_text(web):
    c = ask(web, "192.0.2.7", source="127.0.0.5")
    assert c.login("anna", "anna", web.secret)[1] == 0
    assert not may(c, "plant/x")
    logged(web, "addr=127.0.0.5:[0-9]+ listener=ws")


def test_networks_hold_for_whom_it_names(web):
    before = len(web.log())
    with pytest.raises(OSError):
        ask(web, "203.0.113.66")
    logged(web, "event=refused addr=203.0.113.66 listener=ws reason=denied via=127.0.0.1")
    with pytest.raises(ws.Refused) as e:
        ask(web, "not an address")
    assert e.value.status == 400
    assert "not an address" not in web.log()[before:]
    raw = Client(socket.create_connection(("127.0.0.1", web.ws), 5, source_address=("127.0.0.1", 0)))  # MQTT as it is, from the proxy
    assert raw.login("anna", "anna", web.secret)[1] == 0


@has_haproxy
def test_haproxy_with_websocket(web, tmp_path):
    port = free_port()
    text = f"""
frontend f
    mode http
    bind 127.0.0.1:{port}
    option forwardfor
    default_backend b
backend b
    mode http
    server picket 127.0.0.1:{web.ws}
"""
    with Haproxy(tmp_path, port, text) as proxy:
        c = Client(ws.Socket(proxy.connect("127.0.0.77"), fields=["X-Forwarded-For: 192.0.2.9"]), 5)  # with a lie of its own
        assert c.login("anna", "anna", web.secret)[1] == 0
        logged(web, "addr=127.0.0.77 via=127.0.0.1 listener=ws")
        assert may(c, "plant/x")
        c = Client(ws.Socket(proxy.connect("127.0.0.78"), fields=["X-Forwarded-For: 192.0.2.9"]), 5)
        assert c.login("anna", "anna", web.secret)[1] == 0
        assert not may(c, "plant/x")
