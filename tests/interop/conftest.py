"""Keeps what came of every question of the matrix, for docs/compatibility.md."""
import json
import os

RESULTS = {}


def pytest_runtest_logreport(report):
    if "test_matrix.py" in report.nodeid and (report.when == "call" or report.failed):
        RESULTS[report.nodeid.split("::", 1)[1]] = report.outcome


def pytest_sessionfinish(session):
    where = os.environ.get("PICKET_MATRIX")
    if where and RESULTS:
        with open(where, "w") as f:
            json.dump(RESULTS, f, indent=1)
