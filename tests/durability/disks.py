"""What disk.c, preloaded into picketd, shares with the tests: its control page and its log."""
import mmap
import os
import pathlib
import struct

BUILD = pathlib.Path(os.environ.get("PICKET_BUILD", pathlib.Path(__file__).resolve().parents[2] / "build"))
LIBRARY = BUILD / "tests/durability/libdurability_disk.so"
MAGIC, LOG_HEAD = 0x6B736964, 64
FIELDS = {"write_errno": (4, "<I"), "sync_errno": (8, "<I"), "one_in": (12, "<I"), "sync_delay_us": (16, "<I"),
          "wall_shift_ns": (24, "<q"), "writes": (32, "<Q"), "syncs": (40, "<Q"), "failed": (48, "<Q")}
NONE, WRITE, WRITTEN, SYNC, TRUNCATE, ACCEPT, IN, OUT, SENT, CLOSE = range(10)
ENTRY = struct.Struct("<IIIIQQ")  # kind, len, more, unused, who, off


class Disk:
    """log_bytes: room for the log; 0: none is written."""

    def __init__(self, folder, log_bytes=0):
        self.control = pathlib.Path(folder) / "disk-control"
        self.control.write_bytes(struct.pack("<I", MAGIC).ljust(4096, b"\0"))
        self.control.chmod(0o666)
        self.env = {"LD_PRELOAD": str(LIBRARY), "DISK_CONTROL": str(self.control)}
        with open(self.control, "r+b") as f:
            self.page = mmap.mmap(f.fileno(), 4096)
        self.log = None
        if log_bytes:
            self.log = pathlib.Path(folder) / "disk-log"
            with open(self.log, "wb") as f:
                f.truncate(log_bytes)
            self.log.chmod(0o666)
            self.env["DISK_LOG"] = str(self.log)

    def set(self, **fields):
        for name, value in fields.items():
            at, form = FIELDS[name]
            struct.pack_into(form, self.page, at, value)

    def get(self, name):
        at, form = FIELDS[name]
        return struct.unpack_from(form, self.page, at)[0]


def entries(path):
    """[(place, kind, more, who, off, bytes)] of a log, in order."""
    with open(path, "rb") as f:
        used = struct.unpack("<Q", f.read(8))[0]
        data = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
    at, end = LOG_HEAD, LOG_HEAD + used
    assert end <= len(data), "the log was too small"
    while at < end:
        kind, n, more, _, who, off = ENTRY.unpack_from(data, at)
        begin = at + ENTRY.size
        yield at, kind, more, who, off, data[begin:begin + n]
        at += (ENTRY.size + n + 7) & ~7
