"""A small MQTT client over raw sockets, written from the specification for the tests.  It shares nothing with the
code under test and lets a test send whatever bytes it likes."""
import socket
import struct


def vbi(n):
    out = bytearray()
    while True:
        n, b = divmod(n, 128)
        out.append(b | (128 if n else 0))
        if not n:
            return bytes(out)


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack(">H", len(b)) + b


def packet(first, body):
    return bytes([first]) + vbi(len(body)) + body


def connect(client_id="", username=None, password=None, version=4, clean=True, keep_alive=60, will=None, props=b"", will_props=b""):
    """will: (topic, payload, qos, retain)."""
    flags = 2 if clean else 0
    tail = text(client_id)
    if will:
        topic, payload, qos, retain = will
        flags |= 4 | qos << 3 | (32 if retain else 0)
        tail += (vbi(len(will_props)) + will_props if version == 5 else b"") + text(topic) + text(payload)
    if username is not None:
        flags |= 128
        tail += text(username)
    if password is not None:
        flags |= 64
        tail += text(password)
    name = b"MQIsdp" if version == 3 else b"MQTT"
    head = text(name) + bytes([version, flags]) + struct.pack(">H", keep_alive)
    return packet(0x10, head + (vbi(len(props)) + props if version == 5 else b"") + tail)


def publish(topic, payload=b"", qos=0, retain=False, dup=False, pid=0, version=4, props=b""):
    payload = payload if isinstance(payload, bytes) else payload.encode()
    body = text(topic) + (struct.pack(">H", pid) if qos else b"") + (vbi(len(props)) + props if version == 5 else b"") + payload
    return packet(0x30 | qos << 1 | retain | dup << 3, body)


def subscribe(pid, *filters, version=4, props=b""):
    """filters: (filter, options)."""
    body = struct.pack(">H", pid) + (vbi(len(props)) + props if version == 5 else b"")
    return packet(0x82, body + b"".join(text(f) + bytes([o]) for f, o in filters))


def unsubscribe(pid, *filters, version=4):
    return packet(0xA2, struct.pack(">H", pid) + (b"\0" if version == 5 else b"") + b"".join(map(text, filters)))


def ack(first, pid):
    return packet(first, struct.pack(">H", pid))


PINGREQ, DISCONNECT = b"\xc0\0", b"\xe0\0"


class Closed(Exception):
    """The broker closed the connection."""


class Client:
    """A connected socket that reads whole packets."""

    def __init__(self, sock, version=4):
        self.sock, self.version, self.buffer = sock, version, b""

    def send(self, data):
        self.sock.sendall(data)

    def read(self, timeout=5):
        """(first byte, body) of the next packet; Closed; socket.timeout."""
        self.sock.settimeout(timeout)
        while True:
            got = self._take()
            if got:
                return got
            try:
                more = self.sock.recv(65536)
            except ConnectionError:
                raise Closed from None
            if not more:
                raise Closed
            self.buffer += more

    def _take(self):
        n = shift = 0
        for i in range(1, min(5, len(self.buffer))):
            n |= (self.buffer[i] & 127) << shift
            shift += 7
            if not self.buffer[i] & 128:
                end = i + 1 + n
                if len(self.buffer) < end:
                    return None
                got = self.buffer[0], self.buffer[i + 1:end]
                self.buffer = self.buffer[end:]
                return got
        return None

    def expect(self, kind, timeout=5):
        first, body = self.read(timeout)
        assert first >> 4 == kind, f"wanted packet type {kind}, got {first:02x} {body.hex()}"
        return first, body

    def quiet(self, seconds=0.3):
        """True when nothing arrives for that long."""
        try:
            got = self.read(seconds)
        except (socket.timeout, TimeoutError):
            return True
        raise AssertionError(f"unexpected packet {got[0]:02x} {got[1].hex()}")

    def closed(self, timeout=5):
        """Read until the broker closes; returns the packets seen before."""
        seen = []
        try:
            while True:
                seen.append(self.read(timeout))
        except Closed:
            return seen

    def ping(self):
        self.send(PINGREQ)
        self.expect(13)

    def login(self, client_id, username=None, password=None, **kw):
        self.send(connect(client_id, username, password, version=self.version, **kw))
        first, body = self.expect(2)
        return body

    def subscribe(self, filter, qos=0, pid=1, **kw):
        self.send(subscribe(pid, (filter, qos), version=self.version, **kw))
        _, body = self.expect(9)
        return body[-1]

    def publish(self, topic, payload=b"", **kw):
        self.send(publish(topic, payload, version=self.version, **kw))

    def message(self, timeout=5):
        """(topic, payload, first byte) of the next PUBLISH; acknowledges QoS 1."""
        first, body = self.expect(3, timeout)
        n = struct.unpack(">H", body[:2])[0]
        topic, rest = body[2:2 + n].decode(), body[2 + n:]
        if first >> 1 & 3:
            pid, rest = struct.unpack(">H", rest[:2])[0], rest[2:]
            if first >> 1 & 3 == 1:
                self.send(ack(0x40, pid))
        if self.version == 5:
            size = shift = i = 0
            while True:
                size |= (rest[i] & 127) << shift
                shift += 7
                i += 1
                if not rest[i - 1] & 128:
                    break
            rest = rest[i + size:]
        return topic, rest, first

    def close(self):
        self.sock.close()
