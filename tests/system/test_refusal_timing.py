"""A short version of tests/perf/refusals.py: the answers are the same bytes on the same grid.  The statistics need the long run."""
import asyncio
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "perf"))
from refusals import classes_of, measure  # noqa: E402


def test_every_class_of_refusal_waits_for_the_same_grid(make_picket):
    picket = make_picket(plain=True)
    answers = set()
    for group, parallel in (("secrets", 16), ("passwords", 4)):
        times, seen = asyncio.run(measure(picket.plain_port, classes_of(picket, group)[group], 20, parallel))
        assert all(t >= 299 for v in times.values() for t in v), "an answer left before its grid"
        answers |= seen
    assert len(answers) == 1
