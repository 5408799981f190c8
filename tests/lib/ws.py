"""WebSocket over raw sockets (RFC 6455), written from the specification for the tests: every bit of the upgrade and of a frame
can be chosen.  Socket looks like a socket, so mqtt.Client(ws.Socket(sock)) speaks MQTT over it."""
import base64
import hashlib
import os
import struct

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Refused(Exception):
    """The answer to the upgrade was not 101."""

    def __init__(self, status, fields, body):
        super().__init__(f"HTTP {status}")
        self.status, self.fields, self.body = status, fields, body


class WsClosed(ConnectionError):
    """A Close frame came; code is None when it had none."""

    def __init__(self, code):
        super().__init__(f"closed with {code}")
        self.code = code


def upgrade(path="/mqtt", host="localhost", protocol="mqtt", origin=None, key=None, version="13", method="GET", http="HTTP/1.1",
            fields=(), leave_out=()):
    """The bytes of an upgrade request.  fields: more lines (bytes or text); leave_out: names of those that shall be missing."""
    lines = {"Host": host, "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Key": key or base64.b64encode(os.urandom(16)).decode(),
             "Sec-WebSocket-Version": version, "Sec-WebSocket-Protocol": protocol, "Origin": origin}
    text = [f"{method} {path} {http}".encode()]
    text += [f"{k}: {v}".encode() for k, v in lines.items() if v is not None and k not in leave_out]
    text += [f if isinstance(f, bytes) else f.encode() for f in fields]
    return b"\r\n".join(text) + b"\r\n\r\n"


def read_head(sock):
    """(status, {name: value}, what came behind) of an HTTP answer."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            raise ConnectionError(f"closed after {data!r}")
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = (first + " ").split(" ", 2)
    assert version == "HTTP/1.1", first
    fields = {}
    for line in lines:
        name, value = line.split(":", 1)
        assert name.lower() not in fields, f"{name} came twice"
        fields[name.lower()] = value.strip()
    return int(status), fields, rest


def accept_of(key):
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def answer(sock):
    """(status, fields, body) of a refused upgrade, read until the end of the connection."""
    status, fields, body = read_head(sock)
    while len(body) < int(fields.get("content-length", 0)):
        more = sock.recv(4096)
        if not more:
            break
        body += more
    return status, fields, body


def mask(data, key):
    whole = int.from_bytes((key * (len(data) // 4 + 1))[:len(data)], "big")
    return (int.from_bytes(data, "big") ^ whole).to_bytes(len(data), "big")


def frame(opcode, payload=b"", fin=True, masked=True, rsv=0, key=None, length=None, width=None):
    """One frame.  length: what the header claims; width: 7, 16 or 64 bits of length, minimal or not; rsv: three bits."""
    n = len(payload) if length is None else length
    if width is None:
        width = 7 if n < 126 else 16 if n < 65536 else 64
    head = bytes([fin << 7 | rsv << 4 | opcode])
    head += bytes([masked << 7 | (n if width == 7 else 126 if width == 16 else 127)])
    head += b"" if width == 7 else struct.pack(">H" if width == 16 else ">Q", n)
    if not masked:
        return head + payload
    key = os.urandom(4) if key is None else key
    return head + key + mask(payload, key)


class Socket:
    """A socket whose bytes travel in binary frames.  sendall: one frame of each call, or frames of at most `cut` bytes;
    fragments=True makes those one message.  recv: the payload of the binary frames that came; every frame is checked."""

    def __init__(self, sock, cut=None, fragments=False, **request):
        self.sock, self.cut, self.fragments = sock, cut, fragments
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(upgrade(key=key, **request))
        status, self.fields, self.raw = read_head(sock)
        if status != 101:
            raise Refused(status, self.fields, self.raw)
        assert self.fields["sec-websocket-accept"] == accept_of(key)
        assert self.fields["upgrade"].lower() == "websocket" and self.fields["connection"].lower() == "upgrade"
        assert "sec-websocket-extensions" not in self.fields
        self.protocol = self.fields["sec-websocket-protocol"]
        self.ready, self.pongs, self.opcodes = b"", [], set()

    def sendall(self, data):
        size = self.cut or max(len(data), 1)
        parts = [data[i:i + size] for i in range(0, len(data), size)] or [b""]
        out = b""
        for i, part in enumerate(parts):
            one = self.fragments and i > 0
            out += frame(CONT if one else BINARY, part, fin=not self.fragments or i == len(parts) - 1)
        self.sock.sendall(out)

    def send_frame(self, opcode, payload=b"", **kw):
        self.sock.sendall(frame(opcode, payload, **kw))

    def _more(self, n):
        while len(self.raw) < n:
            more = self.sock.recv(65536)
            if not more:
                raise ConnectionError("closed inside a frame") if self.raw else EOFError
            self.raw += more

    def recv_frame(self):
        """(opcode, payload) of the next frame; EOFError at the end.  Asserts what a server owes (RFC 6455 sections 5.1, 5.2, 5.5)."""
        self._more(2)
        first, n = self.raw[0], self.raw[1]
        assert not n & 128, "a server masks nothing"
        assert not first & 0x70, "no extension was agreed on"
        at = 2
        if n in (126, 127):
            at = 4 if n == 126 else 10
            self._more(at)
            n = int.from_bytes(self.raw[2:at], "big")
            assert n >= (126 if at == 4 else 65536), "lengths are minimal"
        self._more(at + n)
        payload, self.raw = self.raw[at:at + n], self.raw[at + n:]
        opcode = first & 15
        assert opcode < 8 or (first & 128 and n < 126), "control frames are short and whole"
        self.opcodes.add(opcode)
        return opcode, payload

    def recv(self, n):
        """Payload of binary frames, at most n bytes; b"" at the end.  WsClosed when a Close frame came."""
        while not self.ready:
            try:
                opcode, payload = self.recv_frame()
            except EOFError:
                return b""
            if opcode == CLOSE:
                raise WsClosed(struct.unpack(">H", payload[:2])[0] if payload else None)
            if opcode == PONG:
                self.pongs.append(payload)
                continue
            assert opcode in (CONT, BINARY), f"a server sends MQTT in binary frames, not {opcode}"
            self.ready = payload
        out, self.ready = self.ready[:n], self.ready[n:]
        return out

    def close_code(self):
        """Read on until the connection ends: the code of the Close frame, None when there was none or it had none."""
        code = None
        try:
            while True:
                opcode, payload = self.recv_frame()
                if opcode == CLOSE and payload:
                    code = struct.unpack(">H", payload[:2])[0]
        except (EOFError, ConnectionError):
            return code

    def settimeout(self, seconds):
        self.sock.settimeout(seconds)

    def close(self):
        self.sock.close()
