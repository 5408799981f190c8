"""Real brokers for the tests: each starts the release build of picketd in folders of its own."""
import pytest

from picket import Picket


@pytest.fixture(scope="module")
def picket(tmp_path_factory):
    """One broker for a module: a TLS listener, a plain loopback listener without anonymous access, two roles."""
    with Picket(tmp_path_factory.mktemp("picket")) as p:
        yield p


@pytest.fixture
def make_picket(tmp_path):
    """A function that starts brokers for one test; all are stopped after it."""
    running = []

    def make(**options):
        p = Picket(tmp_path / f"p{len(running)}", **options)
        running.append(p)
        return p.start()

    yield make
    for p in running:
        p.stop()
