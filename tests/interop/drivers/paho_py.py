"""A driver for paho Python (see README.md): MQTT 3.1, 3.1.1 and 5."""
import os
import queue
import ssl
import sys
import threading
import urllib.parse

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

WAIT = 20
VERSION = int(os.environ["VERSION"])
arrived, connected, subscribed = queue.Queue(), queue.Queue(), threading.Event()


def client(stay, reconnect=False, will=None):
    url = urllib.parse.urlparse(os.environ["URL"])
    kw = {} if VERSION == 5 else {"clean_session": not stay}
    c = paho.Client(os.environ["ID"], protocol=VERSION, transport="websockets" if url.scheme.startswith("ws") else "tcp", **kw)
    if url.scheme in ("mqtts", "wss"):
        c.tls_set(os.environ["CA"], cert_reqs=ssl.CERT_REQUIRED)
    if url.scheme.startswith("ws"):
        c.ws_set_options(path=url.path or "/mqtt")
    c.username_pw_set(os.environ["NAME"], open(os.environ["SECRET_FILE"]).read().strip())
    c.reconnect_delay_set(1, 1)
    c.on_message = lambda c, u, m: arrived.put(m)
    c.on_connect = lambda c, u, flags, *a: connected.put(flags)
    c.on_subscribe = lambda *a: subscribed.set()
    if will:
        c.will_set(will, "gone", 1)
    more = {}
    if VERSION == 5:
        more["clean_start"] = not stay
        more["properties"] = Properties(PacketTypes.CONNECT)
        more["properties"].SessionExpiryInterval = 3600 if stay else 0
    c.connect(url.hostname, url.port, **more)
    c.loop_start()
    return c


def up():
    return connected.get(timeout=WAIT)


def subscribe(c, topic, qos):
    subscribed.clear()
    c.subscribe(topic, qos)
    assert subscribed.wait(WAIT), "no SUBACK"


def expect(i, size=0):
    m = arrived.get(timeout=WAIT)
    assert m.payload.strip() == str(i).encode() and (not size or len(m.payload) == size), f"message {i} came as {m.payload[:20]}"


def roundtrip(topic, qos, count, size):
    c = client(False)
    up()
    subscribe(c, topic, int(qos))
    for i in range(int(count)):
        c.publish(topic, str(i).ljust(int(size)), int(qos)).wait_for_publish(WAIT)
    for i in range(int(count)):
        expect(i, int(size))
    c.disconnect()


def retained(topic):
    c = client(False)
    up()
    c.publish(topic, "kept", 1, retain=True).wait_for_publish(WAIT)
    subscribe(c, topic, 1)
    m = arrived.get(timeout=WAIT)
    assert m.retain and m.payload == b"kept", "it is not retained"
    c.publish(topic, "", 1, retain=True).wait_for_publish(WAIT)
    c.disconnect()


def sleep(topic):
    c = client(True)
    up()
    subscribe(c, topic, 1)
    c.disconnect()


def wake(count):
    c = client(True)
    flags = up()
    assert VERSION == 3 or flags["session present"], "no session"  # MQTT 3.1 cannot say it
    for i in range(int(count)):
        expect(i)
    c.disconnect()


def will(topic):
    client(False, will=topic)
    up()
    print("up", flush=True)
    threading.Event().wait()


def stay(topic):
    c = client(True)

    def again(c, *a):
        c.subscribe(topic, 1)
        print("up", flush=True)

    up()
    again(c)
    c.on_connect = again
    while True:
        print(arrived.get().payload.decode(), flush=True)


globals()[sys.argv[1]](*sys.argv[2:])
print("ok")
