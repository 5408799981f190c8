"""WebSocket beside MQTT on one port: what operators see of it, what a reload changes, what it costs to be idle."""
import signal
import socket
import time

import pytest
import ws
from mqtt import Client, Closed
from picket import free_port, sanitized

PAGE = "https://app.example.com"


def over(p, to="tls", **kw):
    return Client(ws.Socket(p.socket(to), **kw))


def reload(p):
    """The new configuration is in force when this returns."""
    before = p.log().count("is in force")
    p.process.send_signal(signal.SIGHUP)
    end = time.monotonic() + 20
    while p.log().count("is in force") == before and "reload_refused" not in p.log():
        assert time.monotonic() < end, p.log()
        time.sleep(0.05)
    assert "reload_refused" not in p.log(), p.log()


def status_of(p, **request):
    s = p.socket("tls")
    s.sendall(ws.upgrade(**({"path": "/"} | request)))
    status = ws.read_head(s)[0]
    s.close()
    return status


def test_what_operators_see(make_picket):
    p = make_picket()
    secret = p.add("lamp")
    over_tls, plain = over(p), over(p, "plain")
    assert over_tls.login("lamp:1", "lamp", secret)[1] == 0
    assert plain.login("lamp:2", "lamp", secret)[1] == 0
    direct = p.login("lamp", secret, client_id="lamp:3")
    listed = {c["client_id"]: c["tls"] for c in p.json("client", "list")["clients"]}
    assert listed["lamp:1"].startswith("TLSv1.") and listed["lamp:1"].endswith(" websocket")
    assert listed["lamp:2"] == "plain websocket"
    assert listed["lamp:3"].startswith("TLSv1.") and "websocket" not in listed["lamp:3"]
    assert 'client="lamp:1"' in p.log() and " websocket\"" in p.log()
    assert p.status()["listeners"][0]["protocols"] == ["mqtt", "websocket"]
    assert "mqtts  mqtt+wss  who:" in p.cli("status") and "plain  mqtt+ws  who:" in p.cli("status")
    # A kick is said in a Close frame.
    p.cli("client", "kick", "lamp")
    for c in (over_tls, plain):
        assert c.sock.close_code() == 1008
    direct.closed()


def test_reload(make_picket):
    """origins, path and protocols change for those who come; who is there stays."""
    p = make_picket(listener=f'origins = {{"{PAGE}"}}')
    secret = p.add("lamp")
    stays = over(p, origin=PAGE)
    assert stays.login("lamp:1", "lamp", secret)[1] == 0
    assert (status_of(p, origin=PAGE), status_of(p, origin=PAGE + "0"), status_of(p, path="/new")) == (101, 403, 404)
    text = p.conf.read_text()
    p.conf.write_text(text.replace(f'origins = {{"{PAGE}"}}', f'origins = {{"{PAGE}0"}} websocket_path = "/new"'))
    reload(p)
    assert (status_of(p, origin=PAGE), status_of(p, origin=PAGE + "0"), status_of(p, path="/new")) == (403, 101, 101)
    p.conf.write_text(text.replace(f'origins = {{"{PAGE}"}}', "protocols = {mqtt}"))
    reload(p)
    assert status_of(p) == 404
    direct = p.login("lamp", secret, client_id="lamp:2")
    p.conf.write_text(text.replace(f'origins = {{"{PAGE}"}}', "protocols = {websocket}"))
    reload(p)  # its canary has tried the listener over WebSocket
    assert status_of(p) == 101
    with pytest.raises(Closed):
        p.client("tls").login("lamp:3", "lamp", secret)
    stays.ping()
    direct.ping()


def test_alpn_follows_the_protocols(make_picket):
    def offered(p, *names):
        context = p.tls()
        context.set_alpn_protocols(names)
        with socket.create_connection(("127.0.0.1", p.port), 5) as s, context.wrap_socket(s, server_hostname="localhost") as t:
            return t.selected_alpn_protocol()
    for protocols, mqtt, http in (("mqtt", True, False), ("websocket", False, True), ("mqtt, websocket", True, True)):
        p = make_picket(listener=f"protocols = {{{protocols}}}")
        for name, spoken in (("mqtt", mqtt), ("http/1.1", http)):
            if spoken:
                assert offered(p, name) == name
            else:
                with pytest.raises(OSError):
                    offered(p, name)
        p.stop()


def test_canary_where_only_websocket_is_spoken(make_picket):
    port = free_port()
    p = make_picket(config=f'listener web {{ bind = "127.0.0.1:{port}" tls = off accept_risk = "tests" protocols = {{websocket}} authenticators = {{token}} }}')
    assert "canary refused, OK" in p.log()
    before = p.log().count("event=refused")
    s = socket.create_connection(("127.0.0.1", port), 5)
    c = Client(ws.Socket(s))
    assert c.login("x", "x", "y" * 30)[1] == 5
    # Each of its four tries was judged by a login, not turned away before.
    assert before >= 4 * 3


def memory(p):
    line = next(l for l in open(f"/proc/{p.children()['broker']}/smaps_rollup") if l.startswith("Private_Dirty"))
    return int(line.split()[1]) * 1024


@pytest.mark.skipif(sanitized(), reason="a sanitizer's memory says nothing")
def test_idle_costs_nearly_nothing(make_picket):
    """Between frames a connection holds a few words more than without WebSocket, and no buffer."""
    clients, grown = 400, {}
    for wrapped in (False, True):
        p = make_picket()
        wrap = ws.Socket if wrapped else lambda s: s
        def enter(i):
            c = Client(wrap(p.socket("open")))
            assert c.login(f"c{i}")[1] == 0
            c.subscribe(f"t/{i}")
            c.publish(f"t/{i}", b"x" * 5000)
            assert c.message()[1] == b"x" * 5000
            return c
        kept = [enter(i) for i in range(100)]
        before = memory(p)
        kept += [enter(1000 + i) for i in range(clients)]
        grown[wrapped] = (memory(p) - before) / clients
        for c in kept:
            c.close()
        p.stop()
    assert grown[True] - grown[False] < 512, grown
