"""Headers of the PROXY protocol, written from its text for the tests."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v1(source, to="198.51.100.1", port=56324, to_port=8883):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {to if family == 'TCP4' else '2001:db8::1'} {port} {to_port}\r\n".encode()


def tlv(kind, value):
    return struct.pack(">BH", kind, len(value)) + value


def ssl(cn, client=7, verify=0):
    """PP2_TYPE_SSL with a version and a common name."""
    return tlv(0x20, struct.pack(">BI", client, verify) + tlv(0x21, b"TLSv1.3") + tlv(0x22, cn if isinstance(cn, bytes) else cn.encode()))


def crc32c(data):
    crc = 0xFFFFFFFF
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def v2(source="192.0.2.7", tlvs=b"", command=0x21, port=56324, crc=False, length=None, family=None):
    """source None: no addresses.  length: what the header says instead of what is there."""
    addr, kind = b"", 0
    if source is not None:
        a = ipaddress.ip_address(source)
        to = ipaddress.ip_address("2001:db8::1" if a.version == 6 else "198.51.100.1")
        addr, kind = a.packed + to.packed + struct.pack(">HH", port, 8883), 0x21 if a.version == 6 else 0x11
    body = addr + tlvs + (tlv(3, bytes(4)) if crc else b"")
    head = SIGNATURE + struct.pack(">BBH", command, kind if family is None else family, len(body) if length is None else length) + body
    return head[:-4] + struct.pack(">I", crc32c(head)) if crc else head
