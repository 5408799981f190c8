"""Unix socket listeners: whoever the kernel says it is, with clients that we did not write."""
import os
import pathlib
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import time

import pytest
from mqtt import Client, Closed
from picket import Picket, Refused

POLICY = """
role tester { publish #; subscribe #; limit all none }
role home { publish home/#; subscribe home/# }
role there { source 0.0.0.0/0, ::/0; publish there/# }
"""
root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be several users")
ME, OTHER = os.getuid(), pwd.getpwnam("daemon").pw_uid


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("local")
    place = pathlib.Path(tempfile.mkdtemp(prefix="picket-local-"))  # where other users come through
    place.chmod(0o755)
    config = f'listener local {{ bind = "unix:{place}/mqtt.sock" socket_mode = 0666 }}'
    with Picket(folder / "p", policy=POLICY, config=config) as p:
        p.path = place / "mqtt.sock"
        p.secret = p.json("service", "add", "anna", "--role", "home", "--role", "there", "--print")["identities"][0]["token"]
        p.cli("service", "local", "anna", ME)
        yield p
    shutil.rmtree(place)


def dial(p):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(5)
    s.connect(str(p.path))
    return s


def as_user(uid, code, *args):
    """Run Python as that user, with the tests' library."""
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], user=uid, group=uid, extra_groups=[], capture_output=True, text=True,
                          timeout=30, cwd="/")


LOGIN = """
import socket, struct, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(5); s.connect(sys.argv[1])
s.sendall(bytes.fromhex(sys.argv[2]))
try: print(s.recv(4).hex())
except ConnectionError: print("")
"""
HELLO = "101000044d5154540402003c000474657374"  # CONNECT of MQTT 3.1.1 without credentials, client id "test"


def test_the_file(broker):
    st = broker.path.stat()
    assert stat.S_ISSOCK(st.st_mode) and stat.S_IMODE(st.st_mode) == 0o666
    assert "local on unix:" in broker.log() and "local users" in broker.log()
    listener = next(x for x in broker.status()["listeners"] if x["name"] == "local")
    assert listener["local"] and listener["risks"] == [] and listener["authenticators"][0] == "peer"
    assert "not tried, not to be reached from here: local" in broker.status()["canary"]["text"]


def test_without_a_secret(broker):
    c = Client(dial(broker), 5)
    assert c.login("anything")[1] == 0
    assert c.subscribe("home/#") == 0
    c.publish("home/x", "1")
    assert c.message()[1] == b"1"
    assert c.subscribe("elsewhere/#") == 0x87
    c.publish("there/x", "1", qos=1, pid=3)  # it is in no network
    assert c.expect(4)[1][2] == 0x87
    assert f'event=connect identity="anna" client="anything" addr=unix:{ME} listener=local' in broker.log()
    assert broker.json("client", "list")["clients"][0]["addr"] == f"unix:{ME}"
    assert broker.json("service", "show", "anna")["identity"]["unix_user"] == ME


def test_under_its_own_name_or_by_a_secret(broker):
    assert Client(dial(broker)).login("a", "anna")[1] == 0
    assert Client(dial(broker)).login("b", "lamp")[1] == 5
    assert Client(dial(broker)).login("c", "anna", "not the secret")[1] == 5
    assert Client(dial(broker)).login("d", "anna", broker.secret)[1] == 0


@root
def test_other_users_are_strangers(broker):
    assert as_user(OTHER, LOGIN, broker.path, HELLO).stdout == "20020005\n"
    broker.add("bert", "home", "service")
    broker.cli("service", "local", "bert", "daemon")
    assert as_user(OTHER, LOGIN, broker.path, HELLO).stdout == "20020000\n"
    with pytest.raises(Refused, match="another identity"):
        broker.cli("service", "local", "anna", "daemon")
    broker.cli("service", "local", "bert", "nobody")
    assert as_user(OTHER, LOGIN, broker.path, HELLO).stdout == "20020005\n"
    with pytest.raises(Refused):
        broker.cli("service", "local", "bert", 65534)
    with pytest.raises(Refused, match="no user of that name"):
        broker.cli("service", "local", "bert", "no-such-user")


def test_taken_away_while_connected(broker):
    """Whoever came in by the user id is out at once; whoever came in by a secret stays."""
    token = broker.add("carl", "home", "service")
    broker.cli("service", "local", "anna", "nobody")
    broker.cli("service", "local", "carl", ME)
    local, secret = Client(dial(broker)), Client(dial(broker))
    assert local.login("l")[1] == 0 and secret.login("s", "carl", token)[1] == 0
    broker.cli("service", "local", "carl", "nobody")
    with pytest.raises(Closed):
        local.read()
    secret.ping()
    assert Client(dial(broker)).login("l")[1] == 5
    broker.cli("service", "local", "anna", ME)


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="mosquitto-clients are not installed")
def test_mosquitto_clients(broker):
    sub = subprocess.Popen(["mosquitto_sub", "--unix", broker.path, "-t", "home/m/#", "-C", "1", "-W", "20", "-q", "1", "-i", "msub"],
                           stdout=subprocess.PIPE, text=True)
    end = time.monotonic() + 10
    while 'client="msub"' not in broker.log() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(0.2)
    subprocess.run(["mosquitto_pub", "--unix", broker.path, "-t", "home/m/1", "-m", "hello", "-q", "1"], check=True, timeout=20)
    assert sub.communicate(timeout=20)[0] == "hello\n"


def test_never_by_the_network(broker):
    """The same user, the same CONNECT, at a port: a stranger."""
    assert Client(broker.socket("plain")).login("anna")[1] == 5
    assert Client(broker.socket("plain")).login("anna", "anna")[1] == 5
    assert Client(broker.socket()).login("anna", "anna")[1] == 5


def test_it_survives_and_goes(make_picket, tmp_path):
    place = tmp_path / "s"
    place.mkdir(0o755)
    conf = 'listener local {{ bind = "unix:{}" socket_mode = {} }}'
    p = make_picket(plain=False, config=conf.format(place / "a.sock", "0600"))
    p.path = place / "a.sock"
    assert stat.S_IMODE(p.path.stat().st_mode) == 0o600
    c = Client(dial(p))
    assert c.login("x")[1] == 5  # nobody is anybody here
    os.kill(p.children()["broker"], 9)  # the socket lives in the supervisor
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            assert Client(dial(p)).login("x")[1] == 5
            break
        except (OSError, Closed):
            time.sleep(0.1)
    else:
        raise AssertionError("the listener did not come back")
    p.conf.write_text(p.conf.read_text().replace(conf.format(place / "a.sock", "0600"), conf.format(place / "a.sock", "0660")))
    p.cli("config", "reload")
    assert stat.S_IMODE(p.path.stat().st_mode) == 0o660
    p.conf.write_text(p.conf.read_text().replace(conf.format(place / "a.sock", "0660"), conf.format(place / "b.sock", "0660")))
    p.cli("config", "reload")
    assert not p.path.exists() and (place / "b.sock").exists()
    p.path = place / "b.sock"
    assert Client(dial(p)).login("x")[1] == 5
    p.stop()
    assert not p.path.exists()


def test_two_do_not_share_a_path(make_picket, tmp_path):
    place = tmp_path / "s"
    place.mkdir(0o755)
    conf = f'listener local {{ bind = "unix:{place}/a.sock" }}'
    make_picket(plain=False, config=conf)
    q = Picket(tmp_path / "q", plain=False, config=conf)
    q.start(expect_ready=False)
    assert q.process.wait(20) == 1
    q.stop()
    assert "Address already in use" in q.log()
    place.chmod(0o777)
    q = Picket(tmp_path / "r", plain=False, config=conf.replace("a.sock", "c.sock"))
    q.start(expect_ready=False)
    assert q.process.wait(20) == 1
    q.stop()
    assert "nobody else may write to" in q.log()
