"""Short runs of the history checker; `make durability` has the long ones."""
import pathlib
import shutil
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import run  # noqa: E402

SEED = 20


def go(tmp_path, **options):
    argv = [f"--{k.replace('_', '-')}={v}" for k, v in options.items()]
    o = run.options(["--seed", str(SEED), *argv])
    c = run.Run(o, SEED, o.cycles, tmp_path).go()
    assert c.acked > 500 and c.due > 500, "hardly anything happened"
    return c


def test_nothing_is_lost_where_nothing_breaks(tmp_path):
    """Reconnect storms, takeovers, clients that leave rudely, pauses of every process."""
    c = go(tmp_path, fault="storm,stop", cycles=4)
    assert not c.violations, c.violations[:20]


def test_what_was_acknowledged_survives_kill_9(tmp_path):
    """Each process once, the one that holds the messages twice."""
    c = go(tmp_path, fault="kill", cycles=6)
    assert not c.violations, c.violations[:20]


@pytest.mark.parametrize("fault", ["sync", "enospc"])
def test_what_was_acknowledged_survives_a_failing_disk(tmp_path, fault):
    c = go(tmp_path, fault=fault, cycles=2)
    assert not c.violations, c.violations[:20]


@pytest.mark.skipif(not shutil.which("mosquitto", path="/usr/sbin:/usr/bin"), reason="no Mosquitto here")
def test_the_checker_finds_what_is_lost(tmp_path):
    """Mosquitto saves what it has from time to time: what it acknowledged since then goes with it."""
    c = go(tmp_path, broker="mosquitto", fault="kill", cycles=3)
    assert {"lost", "session lost"} <= {v.kind for v in c.violations}
