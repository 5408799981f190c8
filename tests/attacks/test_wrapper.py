"""WebSocket as a hostile wrapper (I23): foreign pages, requests that are bombs or never end, frames that break every rule of RFC 6455,
floods that cost their sender nothing.  Each is refused with its status or code, by a bounded broker, and MQTT sees none of it."""
import os
import random
import re
import socket
import struct
import time

import pytest
import ws
from mqtt import PINGREQ, Client, Closed, connect, publish, subscribe
from picket import Picket, free_port, sanitized

rows = pytest.mark.rows
PAGE = "https://app.example.com"


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    """The usual listeners, and two that speak one protocol only."""
    web, raw = free_port(), free_port()
    config = "".join(f'listener {n} {{ bind = "127.0.0.1:{p}" tls = off accept_risk = "tests on loopback" authenticators = {{token}} protocols = {{{w}}} }}\n'
                     for n, p, w in (("web", web, "websocket"), ("raw", raw, "mqtt")))
    listener = f'origins = {{"{PAGE}", "http://localhost:5173"}}'
    with Picket(tmp_path_factory.mktemp("ws"), listener=listener, config=config, limits="upgrade_deadline = 1s\n connect_deadline = 6s") as p:
        p.web, p.raw = web, raw
        p.secret = p.add("lamp")
        yield p


@pytest.fixture(autouse=True)
def served(broker):
    before = broker.children()
    yield
    c = broker.login("lamp", broker.secret, client_id="lamp:bystander")
    c.ping()
    c.close()
    assert broker.children() == before


def over(broker, to="open", **kw):
    return ws.Socket(broker.socket(to), **kw)


fresh = (f"127.3.{i // 250}.{i % 250 + 1}" for i in range(10000))


def dial(port):
    """From an address of its own: lines of the log are rationed by source."""
    s = socket.create_connection(("127.0.0.1", port), 5, source_address=(next(fresh), 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def asked(broker, to="tls", **request):
    """The status of the answer to one request; 101 is granted."""
    s = dial({"tls": broker.port, "plain": broker.plain_port, "open": broker.open_port}[to])
    if to == "tls":
        s = broker.tls().wrap_socket(s, server_hostname="localhost")
    s.sendall(ws.upgrade(**request))
    status, _, _ = ws.read_head(s)
    s.close()
    return status


def rss(p):
    line = next(l for l in open(f"/proc/{p.children()['broker']}/status") if l.startswith("VmRSS"))
    return int(line.split()[1])


def cpu(p):
    """Seconds of processor that the broker has used."""
    fields = open(f"/proc/{p.children()['broker']}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def logged(p, before, text):
    end = time.monotonic() + 5
    while text not in p.log()[before:]:
        assert time.monotonic() < end, f"no {text!r} in {p.log()[before:]}"
        time.sleep(0.05)
    return next(l for l in p.log()[before:].splitlines() if text in l)


# ---- pages ----

FOREIGN = ["null", "", "*", "https://evil.example", "http://app.example.com", PAGE + ".evil.example", PAGE + ":443", PAGE + ":444", PAGE + "/", PAGE + ".",
           "https://APP.example.com", "HTTPS://app.example.com", "https://app.example.com@evil.example", "https://user@app.example.com",
           "https://dashboard.app.example.com", "https://evil-app.example.com", "https://аpp.example.com", f"{PAGE} https://evil.example",
           f"{PAGE}, https://evil.example", "file://", "http://localhost", "http://localhost:51730", "http://127.0.0.1:5173"]


@rows("CVE-2026-67405", "WS-CSWSH-1", "WS-CSWSH-2")
@pytest.mark.parametrize("origin", FOREIGN)
def test_foreign_origin(broker, origin):
    assert asked(broker, origin=origin) == 403


@rows("WS-CSWSH-1", "WS-CSWSH-2")
def test_listed_origin_or_none(broker):
    assert asked(broker, origin=PAGE) == asked(broker, origin="http://localhost:5173") == asked(broker) == 101
    # One name twice, of which one is foreign or both are good: nobody can tell what the browser meant.
    for second in ("https://evil.example", PAGE):
        assert asked(broker, origin=PAGE, fields=[f"Origin: {second}"]) == 400
        assert asked(broker, origin=PAGE, fields=[f"ORIGIN: {second}"]) == 400


@rows("WS-CSWSH-1")
def test_no_page_by_default(broker):
    for origin in (PAGE, "null", "http://localhost:5173", "http://127.0.0.1"):
        assert asked(broker, "plain", origin=origin) == 403
    assert asked(broker, "plain") == 101


@rows("WS-CSWSH-1")
def test_rebound_name(broker):
    """DNS rebinding: Host and Origin agree on a name of the attacker's.  They may agree on one that only we can answer for: an
    address, or over TLS a name of our certificate; paho's clients say so."""
    for to in ("tls", "plain", "open"):
        for scheme in ("http", "https"):
            assert asked(broker, to, host="evil.example:8883", origin=f"{scheme}://evil.example:8883") == 403
            assert asked(broker, to, host="evil.example", origin=f"{scheme}://evil.example") == 403
            assert asked(broker, to, host="127.0.0.1.evil.example", origin=f"{scheme}://127.0.0.1.evil.example") == 403
    assert asked(broker, host=f"localhost:{broker.port}", origin=f"https://localhost:{broker.port}") == 101
    assert asked(broker, host=f"localhost:{broker.port}", origin=f"http://localhost:{broker.port}") == 403
    assert asked(broker, host="localhost:8883", origin="https://localhost:8884") == 403


@rows("WS-CSWSH-1")
def test_ambient_credentials(broker):
    """Cookies and HTTP authentication are not a login."""
    fields = ["Cookie: token=" + broker.secret, f"Authorization: Bearer {broker.secret}"]
    c = Client(over(broker, "tls", origin=PAGE, fields=fields, path=f"/mqtt?username=lamp&password={broker.secret}"))
    assert c.login("lamp")[1] != 0


def test_what_the_log_says_of_a_page(broker):
    """The page is named, escaped, so that whoever runs the broker can allow it; nothing else of a request ever is."""
    before = len(broker.log())
    assert asked(broker, origin="https://x\"\ty\\\xff event=connect") == 403
    line = logged(broker, before, "event=websocket_refused")
    assert "reason=denied" in line and "listener=mqtts" in line
    assert line.isascii() and "\t" not in line and 'x"' not in line
    before = len(broker.log())
    assert asked(broker, path="/secret-path", fields=["X: secret-field"]) == 404
    assert "secret" not in logged(broker, before, "event=websocket_refused")
    assert "secret" not in broker.log()[before:]


# ---- requests ----

@rows("WS-SUBPROTO")
def test_subprotocol(broker):
    for bad in (None, "xmqtt", "MQTT", "mqtt5", "mqtt/", "mqttv3.1.1", "m qtt", "\xb5mqtt", ", ".join(f"p{i}" for i in range(1000))):
        assert asked(broker, protocol=bad) == 400
    assert over(broker, protocol="a, b, mqtt").protocol == "mqtt"
    assert over(broker, protocol="mqttv3.1, mqtt").protocol == "mqtt"
    assert over(broker, protocol="a", fields=["Sec-WebSocket-Protocol: mqtt"]).protocol == "mqtt"


@rows("GHSA-p957-7v2w-g93g")
def test_where_it_is_not_spoken(broker):
    """A listener without WebSocket says so; one without MQTT says nothing to who speaks no HTTP."""
    before = len(broker.log())
    s = dial(broker.raw)
    s.sendall(ws.upgrade())
    assert ws.answer(s)[0] == 404
    assert "not spoken" in logged(broker, before, "event=websocket_refused")
    s = dial(broker.web)
    before = len(broker.log())
    s.sendall(connect("lamp", "lamp", broker.secret))
    assert s.recv(100) == b""
    assert "only WebSocket" in logged(broker, before, "reason=protocol_error")
    c = Client(ws.Socket(dial(broker.web)))
    assert c.login("lamp", "lamp", broker.secret)[1] == 0
    for path in ("/", "/mqtt", "/?a=b"):
        assert asked(broker, path=path) == 101
    for path in ("/api", "/mqtt/", "/..", "//", "/mqtt%00", "/" + "a" * 5000, "http://localhost/mqtt"):
        assert asked(broker, path=path) == 404


@rows("WS-HDRFLOOD")
def test_oversize_requests(broker):
    """8 KiB and 64 fields; what is larger is told so as soon as that is seen, and a megabyte is not waited for."""
    assert asked(broker, fields=["A: b"] * 57) == 101
    assert asked(broker, fields=["A: b"] * 60) == 431
    for request in (ws.upgrade(fields=["A: " + "x" * 9000]), b"GET /mqtt HTTP/1.1\r\nA: " + b"x" * 9000, b"GET /" + b"a" * 9000,
                    ws.upgrade(fields=[f"F{i}: v" for i in range(3000)])):
        s = broker.socket("open")
        try:
            s.sendall(request)
        except ConnectionError:
            pass
        assert ws.answer(s)[0] == 431


@rows("WS-HDRFLOOD")
def test_slow_requests(broker):
    """A byte now and then does not move the deadline: 408.  Nothing said at all ends, too."""
    request = ws.upgrade()
    s = broker.socket("open")
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for i in range(len(request) - 1):
        try:
            s.sendall(request[i:i + 1])
            s.settimeout(0.02)
            head = s.recv(100)
            break
        except (socket.timeout, TimeoutError):
            continue
        except ConnectionError:
            pytest.fail("closed without an answer")
    assert head.startswith(b"HTTP/1.1 408 ")
    s = broker.socket("open")
    s.sendall(ws.upgrade()[:-2])  # the last line end is missing
    assert ws.answer(s)[0] == 408
    silent = broker.socket("open", timeout=20)
    assert silent.recv(1) == b""


@rows("WS-FDOPEN")
def test_other_requests_end_at_once(broker):
    """An idle page of HTTP does not hold a descriptor: answered and closed, whatever it says of keeping alive."""
    for request in (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n", b"GET /mqtt HTTP/1.1\r\nHost: a\r\n\r\n" * 2):
        s = broker.socket("open")
        s.sendall(request)
        status, fields, _ = ws.answer(s)
        assert status == 426 and fields["connection"] == "close" and s.recv(1) == b""


@rows("WS-EARLYDATA")
def test_early_bytes(broker):
    """MQTT in the same segment as the request is what it would be later, wherever the segments are cut."""
    request = ws.upgrade() + ws.frame(ws.BINARY, connect("early")) + ws.frame(ws.BINARY, PINGREQ)
    end = request.index(b"\r\n\r\n") + 4
    for cut in (1, end - 1, end, end + 1, end + 7, len(request)):
        s = broker.socket("open")
        s.sendall(request[:cut])
        time.sleep(0.02)
        s.sendall(request[cut:])
        status, _, rest = ws.read_head(s)
        assert status == 101
        want = b"\x82\x04\x20\x02\0\0\x82\x02\xd0\0"
        while len(rest) < len(want):
            rest += s.recv(100)
        assert rest == want or rest == b"\x82\x06\x20\x02\0\0\xd0\0"
        s.close()
    # Bytes of MQTT that are no frames are a broken frame.
    s = broker.socket("open")
    s.sendall(ws.upgrade() + connect("early"))
    assert ws.read_head(s)[0] == 101 and b"\x20" not in s.recv(100)[:1]


def test_smuggled_requests(broker):
    """What two parsers could read differently is refused, not guessed; nothing behind it is read."""
    good = ws.upgrade()
    lines = good[:-4].split(b"\r\n")
    inner = ws.upgrade(path="/")
    bad = [
        good.replace(b"\r\n", b"\n", 1), good.replace(b"Host: ", b"Host : "), good.replace(b"Host:", b" Host:"), good.replace(b"Host: ", b"Host: a\r\n folded"),
        good.replace(b"\r\nUpgrade", b"\rUpgrade"), good.replace(b"Host: localhost", b"Host: local\0host"), good.replace(b"HTTP/1.1", b"HTTP/1.1 "),
        good.replace(b"GET /mqtt", b"GET  /mqtt"), good.replace(b"GET /mqtt ", b"GET /mqtt\t"), good.replace(b"HTTP/1.1", b"HTTP/2.0"),
        good.replace(b"HTTP/1.1", b"HTTP/1.0"), good.replace(b"Host: localhost\r\n", b""), good.replace(b"Host: localhost\r\n", b"Host: a\r\nHost: b\r\n"),
        b"\r\n".join(lines + [b"Content-Length: 5"]) + b"\r\n\r\nhello", b"\r\n".join(lines + [b"Content-Length: 0", b"Content-Length: 5"]) + b"\r\n\r\nhello",
        b"\r\n".join(lines + [b"Transfer-Encoding: chunked"]) + b"\r\n\r\n0\r\n\r\n",
        b"\r\n".join(lines + [b"Content-Length: %d" % len(inner)]) + b"\r\n\r\n" + inner,
        good.replace(b"Version: 13", b"Version: 8"), good.replace(b"Version: 13", b"Version: 13, 8"),
        re.sub(rb"Key: \S+", b"Key: short", good), re.sub(rb"Key: (\S+)", rb"Key: \1\r\nSec-WebSocket-Key: \1", good),
        good.replace(b"Upgrade: websocket", b"Upgrade: h2c"), good.replace(b"Connection: Upgrade", b"Connection: close"),
    ]
    for request in bad:
        s = broker.socket("open")
        s.sendall(request)
        status, _, body = ws.answer(s)
        assert 400 <= status < 600 and status != 408, request
        assert s.recv(100) == b"" and b"101 Switching" not in body, request


@rows("WS-EXTREDOS", "WS-DEFLATE-2")
def test_extension_headers(broker):
    """No offer of an extension is read, so none costs anything or is agreed to (ws.Socket checks the answer)."""
    for bomb in ('permessage-deflate', 'a; b="' + "\\c" * 3000, "x" + ";" * 7000, '"' * 7000, "permessage-deflate; server_max_window_bits=15; client_no_context_takeover"):
        before = cpu(broker)
        for _ in range(20):
            over(broker, fields=["Sec-WebSocket-Extensions: " + bomb]).close()
        assert cpu(broker) - before < 2  # quadratic work on 8 KiB twenty times would be more


# ---- frames ----

RULES = {
    "unmasked": (ws.frame(ws.BINARY, connect("x"), masked=False), 1002),
    "unmasked-ping": (ws.frame(ws.PING, b"x", masked=False), 1002),
    "text": (ws.frame(ws.TEXT, connect("x")), 1003),
    "text-fragment": (ws.frame(ws.TEXT, connect("x"), fin=False), 1003),
    "nothing-to-continue": (ws.frame(ws.CONT, connect("x")), 1002),
    "message-in-message": (ws.frame(ws.BINARY, b"\x10", fin=False) + ws.frame(ws.BINARY, connect("x")), 1002),
    "ping-126": (ws.frame(ws.PING, b"p" * 126), 1002),
    "ping-64k": (ws.frame(ws.PING, b"p" * 65536), 1002),
    "fragmented-ping": (ws.frame(ws.PING, b"p", fin=False), 1002),
    "fragmented-close": (ws.frame(ws.CLOSE, b"\x03\xe8", fin=False), 1002),
    "length-all-ones": (ws.frame(ws.BINARY, b"x", length=2 ** 64 - 1, width=64), 1002),
    "length-top-bit": (ws.frame(ws.BINARY, b"x", length=2 ** 63, width=64), 1002),
    "length-huge": (ws.frame(ws.BINARY, b"x", length=2 ** 63 - 1, width=64), 1009),
    "length-4g": (ws.frame(ws.BINARY, b"x", length=2 ** 32 + 14, width=64), 1009),
    "length-not-minimal-16": (ws.frame(ws.BINARY, connect("x"), width=16), 1002),
    "length-not-minimal-64": (ws.frame(ws.BINARY, connect("x"), width=64), 1002),
    "close-1-byte": (ws.frame(ws.CLOSE, b"\x03"), 1002),
    "close-code-0": (ws.frame(ws.CLOSE, b"\0\0"), 1002),
    "close-code-1005": (ws.frame(ws.CLOSE, b"\x03\xed"), 1002),
    "close-not-utf8": (ws.frame(ws.CLOSE, b"\x03\xe8\xff"), 1007),
    **{f"opcode-{o:x}": (ws.frame(o, connect("x")), 1002) for o in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    **{f"rsv-{r}": (ws.frame(ws.BINARY, connect("x"), rsv=r), 1002) for r in range(1, 8)},
}


@rows("WS-UNMASKED", "WS-64BITLEN", "WS-CTRL", "CVE-2026-27889", "WS-FRAGBOMB")
@pytest.mark.parametrize("split", [False, True], ids=["whole", "bytewise"])
@pytest.mark.parametrize("rule", RULES)
def test_broken_rule(broker, rule, split):
    """Closed with the right code, before login and after, and nothing of the frame is answered or published."""
    data, code = RULES[rule]
    for logged_in in (False, True):
        w = over(broker)
        c = Client(w)
        if logged_in:
            c.login("rule")
        try:
            for part in [data[i:i + 1] for i in range(len(data))][:300] if split else [data]:
                w.sock.sendall(part)
            if split:
                w.sock.sendall(data[300:])
        except ConnectionError:
            pass
        assert w.close_code() == code
        assert ws.BINARY not in w.opcodes or logged_in


@rows("WS-DEFLATE-1", "CVE-2026-67232", "CVE-2026-27571")
def test_compressed_frames(broker):
    """Nobody agreed to compression: the first compressed frame ends it, with no memory spent on what it would inflate to."""
    bomb = bytes.fromhex("ecc1010d000000c2a0f74f6d0e37a0") + b"\0" * 60000
    before = rss(broker)
    for _ in range(20):
        w = over(broker, fields=["Sec-WebSocket-Extensions: permessage-deflate"])
        try:
            w.send_frame(ws.BINARY, bomb, rsv=4)
        except ConnectionError:
            pass
        assert w.close_code() in (1002, None)  # None: the rest of the bomb has overtaken the answer
    assert rss(broker) - before < 4096 * (8 if sanitized() else 1)


@rows("CVE-2026-25627", "NMQ-WSQLEN")
def test_packets_and_frames_do_not_agree(broker):
    """A Remaining Length larger than its frame, many packets in a frame, a packet in frames of one byte: one stream of bytes."""
    w = over(broker)
    w.send_frame(ws.BINARY, b"\x10\xff\x01")  # promises 255 bytes, and sends none
    w.send_frame(ws.BINARY, b"\0\4MQTT")
    c = Client(w)
    assert isinstance(c.quiet(0.3), bool)
    w.close()
    w = over(broker)
    w.send_frame(ws.BINARY, b"\x10\xff\xff\xff\x7f" + b"x" * 50)  # 256 MiB before login
    with pytest.raises(Closed):
        Client(w).read()
    w = over(broker, cut=1)
    c = Client(w)
    assert c.login("bytes")[1] == 0
    c.subscribe("b/#")
    data = os.urandom(3000)
    w.sendall(b"".join(publish("b/x", data[i:i + 10]) for i in range(0, len(data), 10)))
    assert b"".join(c.message()[1] for _ in range(300)) == data


@rows("WS-FRAGBOMB", "CVE-2026-33219")
def test_fragment_bombs(broker):
    """Continuations without end, empty or not: counted, and nothing is put together in memory."""
    before = rss(broker)
    for part, most in ((b"", 200), (b"x", 5000)):
        w = over(broker)
        Client(w).login("bomb")
        w.send_frame(ws.BINARY, publish("t", b"p" * 100000)[:10], fin=False)
        try:
            for _ in range(0, most, 50):
                w.sock.sendall(ws.frame(ws.CONT, part, fin=False) * 50)
        except ConnectionError:
            pass
        try:
            assert w.close_code() in (1008, None)
        finally:
            w.close()
    # A large message before login: the bytes that wait are bounded, however they are framed.
    w = over(broker)
    try:
        w.send_frame(ws.BINARY, b"\x10\xff\x7f\0\4MQTT", fin=False)
        for _ in range(500):
            w.send_frame(ws.CONT, b"x" * 4000, fin=False)
    except ConnectionError:
        pass
    w.close()
    assert rss(broker) - before < 4096 * (8 if sanitized() else 1)


@rows("WS-ZEROPAY", "WS-CTRL")
@pytest.mark.parametrize("what", ["empty", "ping", "pong", "empty-fragments"])
def test_frames_that_cost_nothing(broker, what):
    """A flood of frames without payload: rationed, answered at most once each, and closed with 1008."""
    one = {"empty": ws.frame(ws.BINARY), "ping": ws.frame(ws.PING, b"p" * 125), "pong": ws.frame(ws.PONG), "empty-fragments": ws.frame(ws.CONT, fin=False)}[what]
    for logged_in in (False, True):
        w = over(broker)
        if logged_in:
            Client(w).login("flood")
        if what == "empty-fragments":
            w.send_frame(ws.BINARY, b"", fin=False)
        try:
            w.sock.sendall(one * 99)
            for _ in range(100):
                w.sock.sendall(one * 10)
        except ConnectionError:
            pass
        try:
            assert w.close_code() in (1008, None)
        finally:
            w.close()


@rows("WS-CTRL")
def test_pings_are_not_amplified(broker):
    """Many pings at once to a client that reads nothing: at most one pong waits."""
    w = over(broker)
    for i in range(90):
        w.sock.sendall(ws.frame(ws.PING, b"%d" % i * 60))
    Client(w).login("pings")
    assert w.pongs and len(w.pongs) <= 90 and len(set(w.pongs)) == len(w.pongs)
    w.close()
    w = over(broker)
    w.sock.sendall(b"".join(ws.frame(ws.PING, b"%d" % i) for i in range(90)))
    Client(w).login("pings")
    assert w.pongs == [b"89"]  # those that came together get one answer, the latest


@rows("WS-PINGLEAK")
def test_pong_is_the_ping(broker):
    """Byte for byte and not one more, though the ping comes in pieces and others' bytes went through the same buffers."""
    rng = random.Random(7)
    for n in (0, 1, 124, 125):
        w, payload = over(broker), rng.randbytes(n)
        c = Client(w)
        c.login("leak")
        data = ws.frame(ws.PING, payload)
        for i in range(0, len(data), 50):
            w.sock.sendall(data[i:i + 50])
        c.ping()
        assert w.pongs == [payload]
        w.close()


@rows("WS-CLOSEHANG")
def test_nobody_is_waited_for_at_the_end(broker):
    """A client that does not answer our Close, or shuts down one way only, or never reads: gone within moments."""
    w = over(broker)
    Client(w).login("hang")
    w.send_frame(ws.TEXT, b"x")
    assert w.close_code() == 1003 and w.sock.recv(1) == b""
    w = over(broker)
    Client(w).login("half")
    w.sock.shutdown(socket.SHUT_WR)
    assert w.close_code() is None
    w = over(broker)
    Client(w).login("close")
    w.send_frame(ws.CLOSE, b"\x03\xe8bye")
    assert w.close_code() == 1000 and w.sock.recv(1) == b""
    before = len(broker.log())
    w = ws.Socket(dial(broker.open_port))
    w.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    c = Client(w)
    c.login("deaf")
    c.subscribe("deaf")
    for _ in range(20):
        c.publish("deaf", b"x" * 100000)
    w.send_frame(ws.CLOSE)
    logged(broker, before, 'event=connect client="deaf"')
    logged(broker, before, 'event=disconnect client="deaf"')


@rows("MOSQ-2026-MAXCONNWS", "WS-FDOPEN")
def test_same_limits(make_picket):
    """Connections count alike however they speak: of an identity, and of a source while they wait for their login."""
    p = make_picket(policy="role lamps { publish # }", listener="limits { connections_waiting_source = 3 }")
    secret = p.add("lamp", "lamps")
    speak = {"ws": lambda: ws.Socket(p.socket("tls")), "mqtt": lambda: p.socket("tls")}
    kept = []
    for i, how in enumerate(("ws", "mqtt", "ws", "mqtt", "ws", "mqtt")):
        c = Client(speak[how](), 5)
        assert c.login(f"lamp:{i}", "lamp", secret)[1] == (0 if i < 4 else 0x97)
        kept.append(c)
    for c in kept:
        c.close()
    waiting = [p.socket("tls") for _ in range(3)]
    waiting[0].sendall(ws.upgrade()[:40])
    waiting[1].sendall(ws.upgrade())
    assert ws.read_head(waiting[1])[0] == 101
    with pytest.raises(OSError):
        p.socket("tls")
    waiting[0].sendall(b"\r\n\r\n")
    assert ws.answer(waiting[0])[0] == 400
    waiting[0].close()
    assert Client(speak["ws"](), 5).login("lamp", "lamp", secret)[1] == 0


def test_memory_before_login(broker):
    """Strangers in every state of the way in hold no more than what they sent, and little of that."""
    before = rss(broker)
    held = []
    for i in range(100):
        s = broker.socket("open")
        s.sendall(b"GET /mqtt HTTP/1.1\r\nA: " + b"x" * 7000)  # 100 x 7 KiB, waiting for its end
        held.append(s)
    grown = rss(broker) - before
    assert grown < 100 * 16 * (4 if sanitized() else 1), f"{grown} KiB"
    for s in held:
        assert ws.answer(s)[0] == 408


def test_tls_says_which(broker):
    """ALPN decides where a client names one: http/1.1 is WebSocket, mqtt is MQTT, anything else is another server's."""
    def tls(*names):
        context = broker.tls()
        context.set_alpn_protocols(names)
        raw = socket.create_connection(("127.0.0.1", broker.port), 5)
        return context.wrap_socket(raw, server_hostname="localhost")
    s = tls("http/1.1")
    assert s.selected_alpn_protocol() == "http/1.1"
    assert Client(ws.Socket(s)).login("lamp", "lamp", broker.secret)[1] == 0
    s = tls("mqtt")
    assert s.selected_alpn_protocol() == "mqtt"
    assert Client(s).login("lamp", "lamp", broker.secret)[1] == 0
    assert tls("h2", "http/1.1").selected_alpn_protocol() == "http/1.1"
    with pytest.raises(OSError):
        tls("h2").recv(1)
    # Having promised one, a client does not get the other.
    s = tls("http/1.1")
    s.sendall(connect("lamp", "lamp", broker.secret))
    assert s.recv(100) == b""
    s = tls("mqtt")
    s.sendall(ws.upgrade())
    assert s.recv(100) == b""
