"""Every row of the attack museum has a test or a reason, every test that is named exists, and docs/attacks.md says so."""
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def test_every_row_is_mapped():
    r = subprocess.run([sys.executable, ROOT / "scripts/attacks", "--check"], capture_output=True, text=True)
    assert r.returncode == 0, r.stderr
