"""The power is cut at every write of a store; and the same for brokers that promise too early, or never sync: those must be found."""
import pathlib
import shutil
import struct
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import cuts  # noqa: E402
import timeline  # noqa: E402


def options(*argv):
    return cuts.options([*argv, "--log-mib", "512", "--seed", "1"])


@pytest.fixture(scope="module")
def life():
    """What a store alone did, recorded: (options, folder, log)."""
    o = options("--alone", "--commits", "100", "--subsets", "300")
    folder = cuts.memory_folder()
    yield o, folder, cuts.drive(o, 1, folder)
    shutil.rmtree(folder)


def test_everything_is_there_wherever_the_power_is_cut(life):
    o, folder, log = life
    found = cuts.replay(o, 1, folder, log, {})
    assert found["violations"] == 0, found
    assert found["syncs"] >= 100 and found["prefixes"] > found["writes"] > 1000 and found["subsets"] == 300, found


def test_promises_before_the_sync_are_found(life):
    o, folder, log = life
    path = folder / "timeline"
    kept = path.read_bytes()
    rows = list(struct.iter_unpack("<QQII", kept))
    places = sorted({r[0] for r in rows})
    before = dict(zip(places[1:], places))
    early = sorted(((before.get(p, p) if op == timeline.MUST else p, key, op, 0) for p, key, op, _ in rows), key=lambda r: r[0])
    path.write_bytes(b"".join(struct.pack("<QQII", *r) for r in early))
    found = cuts.replay(o, 1, folder, log, {})
    path.write_bytes(kept)
    assert found["violations"] > 0


def test_a_store_that_never_syncs_is_found(life):
    o, folder, log = life
    found = cuts.replay(o, 1, folder, cuts.without_syncs(log, folder / "lazy"), {})
    assert found["violations"] > 0


def test_a_broker_promises_nothing_that_is_not_on_disk():
    """The same with a whole broker and its clients: and if it had acknowledged what it read, that would be found."""
    folder = cuts.memory_folder()
    o = options("--commits", "150", "--subsets", "150")
    log = cuts.record(o, 1, folder)
    found = cuts.replay(o, 1, folder, log, cuts.promises(folder, log))
    assert found["violations"] == 0 and found["promises"] > 500 and found["prefixes"] > 500, found
    hasty = cuts.replay(o, 1, folder, log, cuts.promises(folder, log, hasty=True))
    shutil.rmtree(folder)
    assert hasty["violations"] > 0
