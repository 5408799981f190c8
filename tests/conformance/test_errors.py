"""Every error example of vectors.tsv (MQTT-4.8.0-1 of 3.1.1, MQTT-4.13.1-1 of 5.0): the connection is closed, with a fitting
code if any, and nobody else notices."""
import csv
import pathlib

from suite import Suite

suite = Suite(globals())
ROWS = [r for r in csv.DictReader(open(pathlib.Path(__file__).with_name("vectors.tsv")), delimiter="\t") if r["kind"] == "error"]


def example(row):
    def body(net):
        bystander = net.peer("bystander")
        p = net.raw()
        if row["where"] == "open":
            p.connect(net.id("p"))
        p.send_all(bytes.fromhex(row["hex"]))
        if row["expected"] == "entry":  # a filter that is refused in the SUBACK, or closes
            q = p.next()
            assert q.code >= 0x80 or q.codes[-1] >= 0x80
        elif net.five:
            codes = {int(c, 16) for c in row["expected"].split(",") if len(c) == 2}
            seen = p.ended()
            assert all(q.code in codes or q.body == b"\0\1" for q in seen), f"{seen!r}"
        else:
            check_connack_of_3(p.ended(), row["expected"])
        bystander.ping()
    body.__name__ = "example_" + row["id"].replace("-", "_")
    return body


def check_connack_of_3(seen, expected):
    want = {"84": [1], "85": [2]}.get(expected, [])
    assert [q.code for q in seen] == want, f"{seen!r}"


for r in ROWS:
    suite.proves("3:4.8.0-1" if r["version"] == "4" else "5:4.13.1-1")(example(r))
