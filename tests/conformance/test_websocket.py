"""MQTT over WebSocket (section 6): which frames carry it, that they say nothing of where packets begin, and the subprotocol.
Everything else of MQTT is tested over WebSocket by running the other tests over it."""
import pytest
import ws
from mqtt import PINGREQ, connect, publish, subscribe
from strict import PINGRESP, SUBACK, Peer
from suite import LEVEL, Suite

suite = Suite(globals())


def over(net, **kw):
    """A peer whose bytes travel in frames; its socket is a ws.Socket."""
    if not hasattr(net.brokers.get("usual")[0], "open_port"):
        pytest.skip("no listener of this broker speaks WebSocket")
    below = net.brokers.socket("usual", "tls" if net.transport in ("tls", "wss") else "tcp", False)
    below = getattr(below, "sock", below)  # under the frames, where the way is WebSocket already
    p = Peer(ws.Socket(below, **kw), LEVEL[net.v], net.split)
    net.peers.append(p)
    return p


@suite.proves("3:6.0.0-1", "5:6.0.0-1")
def frames_are_binary(net):
    for first in (True, False):  # before login and after
        p = over(net)
        if not first:
            p.connect(net.id("text"))
        p.sock.send_frame(ws.TEXT, PINGREQ if not first else connect(net.id("text"), version=LEVEL[net.v]))
        assert p.ended() == []
        assert p.sock.opcodes <= {ws.BINARY, ws.CLOSE}
    p = over(net)
    p.connect(net.id("all"))
    p.sub(net.topic("#"))
    p.pub(net.topic("t"), b"x" * 40000)
    assert p.take().payload == b"x" * 40000
    p.ping()
    assert p.sock.opcodes == {ws.BINARY}


@suite.proves("3:6.0.0-2", "5:6.0.0-2")
def packets_and_frames_are_not_aligned(net):
    hello = connect(net.id("x"), version=LEVEL[net.v])
    p = over(net)
    for part in (hello[:1], hello[1:9], hello[9:]):
        p.sock.send_frame(ws.BINARY, part)
    assert p.next().code == 0
    p.sock.send_frame(ws.BINARY, subscribe(1, (net.topic("#"), 0), version=LEVEL[net.v]) + PINGREQ)
    p.get(SUBACK)
    p.get(PINGRESP)
    # One message in fragments, empty ones among them, that ends in the middle of a packet.
    many = b"".join(publish(net.topic("t"), bytes([i]), version=LEVEL[net.v]) for i in range(20))
    p.sock.send_frame(ws.BINARY, many[:7], fin=False)
    p.sock.send_frame(ws.CONT, b"", fin=False)
    p.sock.send_frame(ws.CONT, many[7:-3])
    p.sock.send_frame(ws.BINARY, many[-3:])
    assert [p.take().payload for _ in range(20)] == [bytes([i]) for i in range(20)]


@suite.proves("3:6.0.0-4", "5:6.0.0-4")
def the_subprotocol_is_mqtt(net):
    for offer in ("mqtt", "chat, mqtt", "mqttv3.1, mqtt"):
        p = over(net, protocol=offer)
        assert p.sock.protocol == "mqtt"
        p.connect(net.id("sub"))
        p.ping()
    with pytest.raises(ws.Refused) as e:
        over(net, protocol="chat")
    assert e.value.status == 400
