"""The checker itself: hand-made histories, each with one thing wrong, and their neighbours that are right.  What it finds in the
histories of real brokers is worth as much as this."""
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import check  # noqa: E402
import history as h  # noqa: E402

MS = 1_000_000
TOPICS = ["h/l/0/0", "h/l/0/1", "h/s/0", "h/r/0", "h/w/4"]
LIVE, OTHER, SHARED, RETAINED, WILL = range(5)
FILTERS = ["h/l/0/0", "h/l/0/#", "$share/g0/h/s/#", "h/r/#", "h/w/#", "h/l/+/1"]
EXACT, ALL, GROUP, KEEPS, WILLS, ONES = range(6)
ROLES = ["publisher", "plain", "shared", "shared", "will", "watch", "reader", "short"]
P, A, S1, S2, W, WATCH, READER, SHORT = range(8)


class Story:
    """A history in the making; every call is 1 ms later than the one before."""

    def __init__(self):
        self.records, self.ns, self.conns, self.expiry = [], 1000 * MS, {}, {SHORT: 4, READER: 0, W: 3600}
        self.faults = []

    def add(self, kind, client, flags=0, a=0, b=0, c=0, d=0, conn=None):
        self.ns += MS
        conn = self.conns.get(client, 0) if conn is None else conn
        self.records.append((self.ns, client, h.EVENTS[kind], flags, conn, a, b, c, d))
        return self

    def wait(self, ms):
        self.ns += ms * MS
        return self

    def open(self, client, clean=False, will=None, conn=None):
        self.conns[client] = self.conns.get(client, -1) + 1 if conn is None else conn
        expiry = 0 if clean and client != A else self.expiry.get(client, 3600)
        self.add("OPEN", client, flags=clean, a=expiry, b=5)
        if will:
            seq, qos, delay_ms = will
            self.add("WILL", client, flags=qos, a=seq, b=WILL, c=delay_ms)
        return self

    def connect(self, client, present=False, clean=False, will=None):
        return self.open(client, clean, will).add("CONNACK", client, flags=present)

    def close(self, client, how=h.CLOSED_RUDELY):
        return self.add("CLOSED", client, a=how)

    def bye(self, client, code=0):
        return self.add("BYE", client, a=code).close(client, h.CLOSED_AFTER_BYE)

    def sub(self, client, filter, qos=2):
        return self.add("SUB", client, flags=qos, a=filter).add("SUBACK", client, a=filter, b=qos)

    def unsub(self, client, filter):
        return self.add("UNSUB", client, a=filter).add("UNSUBACK", client, a=filter)

    def pub(self, seq, topic=LIVE, qos=2, acked=True, retain=False, size=20, client=P):
        flags = qos | (h.RETAIN if retain else 0)
        self.add("PUB", client, flags=flags, a=seq, b=topic, c=seq, d=size)
        return self.ack(seq, qos, client) if acked and qos else self

    def ack(self, seq, qos, client=P, code=0):
        if qos == 1:
            return self.add("PUBACK", client, a=seq, b=code)
        return self.add("PUBREC", client, a=seq, b=code).add("PUBCOMP", client, a=seq)

    def recv(self, client, seq, topic=LIVE, qos=2, more=0, size=20, pid=None, publisher=P):
        return self.add("RECV", client, flags=qos | more, a=seq, b=topic, c=publisher << 16 | (seq if pid is None else pid), d=size)

    def read(self):
        """The newcomer at the end asks what is retained."""
        return self.connect(READER, clean=True).sub(READER, KEEPS)

    def fault(self, ms, word="kill"):
        self.faults.append((self.ns, self.ns + ms * MS, word))
        return self.wait(ms)

    def judge(self, drops=None, end=True):
        header = {"topics": TOPICS, "filters": FILTERS, "seed": 0,
                  "clients": [{"id": f"h{i:05}", "role": r, "version": 5} for i, r in enumerate(ROLES)]}
        if end:
            self.wait(10_000).add("PHASE", 0, a=len(h.PHASES) - 1)
        return check.Check(header, self.records, self.faults, drops).run()

    def finds(self, *kinds, **kw):
        got = self.judge(**kw).violations
        assert [v.kind for v in got] == list(kinds), got
        return got


def begin():
    """A publisher, and a subscriber whose session is kept."""
    return Story().connect(P).connect(A).sub(A, EXACT)


# ---- acknowledged means delivered ----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_and_arrived_is_right(qos):
    begin().pub(1, qos=qos).recv(A, 1, qos=qos).finds()


@pytest.mark.parametrize("qos", [1, 2])
def test_what_was_acknowledged_and_never_arrived_is_lost(qos):
    begin().pub(1, qos=qos).finds("lost")


def test_pubrec_alone_is_a_promise_too():
    begin().pub(1, acked=False).add("PUBREC", P, a=1).finds("lost")


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_what_was_not_acknowledged_may_be_missing(qos):
    begin().pub(1, qos=qos, acked=False).finds()


def test_what_was_refused_may_be_missing():
    begin().pub(1, qos=1, acked=False).ack(1, 1, code=0x97).finds()


def test_a_subscription_at_qos_0_requires_nothing():
    Story().connect(P).connect(A).sub(A, EXACT, qos=0).pub(1).finds()


def test_what_was_sent_before_suback_may_be_missing():
    Story().connect(P).connect(A).add("SUB", A, flags=2, a=EXACT).pub(1).add("SUBACK", A, a=EXACT, b=2).finds()


def test_what_the_session_counts_as_dropped_may_be_missing():
    s = begin().pub(1).pub(2)
    assert s.judge(drops={"h00001": 2}).dropped == 2
    begin().pub(1).pub(2).finds(drops={"h00001": 2})


def test_more_is_missing_than_is_counted():
    begin().pub(1).pub(2).finds("lost", "lost", drops={"h00001": 1})


def test_lost_while_the_subscriber_was_away():
    begin().bye(A).pub(1).connect(A, present=True).finds("lost")


def test_an_empty_message_is_not_looked_for():
    begin().pub(1, topic=RETAINED, retain=True, size=0).finds()


# ---- exactly once ----------------------------------------------------------------------------------------------------------------

def test_twice_at_qos_2():
    begin().pub(1).recv(A, 1).add("RELEASED", A, a=1).recv(A, 1, pid=2).finds("duplicate")


def test_again_with_an_identifier_that_was_not_released_is_right():
    begin().pub(1).recv(A, 1).close(A).connect(A, present=True).recv(A, 1, more=h.AGAIN | h.DUP).finds()


def test_twice_over_a_new_connection():
    begin().pub(1).recv(A, 1).add("RELEASED", A, a=1).close(A).connect(A, present=True).recv(A, 1, more=h.DUP).finds("duplicate")


def test_twice_in_two_sessions_is_right():
    s = begin().pub(1).recv(A, 1).close(A)
    s.connect(A, clean=True).sub(A, EXACT).recv(A, 1).finds()


def test_twice_at_qos_1_is_right():
    begin().pub(1, qos=1).recv(A, 1, qos=1).recv(A, 1, qos=1, more=h.DUP).finds()


def test_twice_at_qos_0():
    begin().pub(1, qos=0).recv(A, 1, qos=0).recv(A, 1, qos=0).finds("duplicate")


def test_twice_at_qos_0_of_a_message_that_was_sent_twice_is_right():
    s = Story().connect(P).connect(A).sub(A, EXACT, qos=0)
    s.pub(1, qos=1).recv(A, 1, qos=0).recv(A, 1, qos=0).finds()


def test_two_filters_two_copies_and_no_more():
    s = begin().sub(A, ALL).pub(1).recv(A, 1).recv(A, 1, pid=2)
    s.finds()
    begin().sub(A, ALL).pub(1).recv(A, 1).recv(A, 1, pid=2).recv(A, 1, pid=3).finds("duplicate")


def test_an_identifier_used_for_two_messages():
    begin().pub(1).pub(2).recv(A, 1, pid=7).recv(A, 2, pid=7, more=h.AGAIN | h.CLASH).finds("lost", "clash")


# ---- order -----------------------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("qos", [0, 1, 2])
def test_out_of_order(qos):
    begin().pub(1, qos=qos).pub(2, qos=qos).recv(A, 2, qos=qos).recv(A, 1, qos=qos).finds("order")


def test_out_of_order_over_connections():
    s = begin().pub(1, qos=1).pub(2, qos=1).recv(A, 2, qos=1).close(A)
    s.connect(A, present=True).recv(A, 1, qos=1).finds("order")


def test_one_from_before_the_subscription_may_come_late():
    s = Story().connect(P).connect(A).pub(1, qos=1, acked=False).sub(A, EXACT).pub(2, qos=1).recv(A, 2, qos=1)
    s.recv(A, 1, qos=1).finds("order")
    s = Story().connect(P).connect(A).pub(1, qos=1, acked=False).sub(A, EXACT).pub(2, qos=1).recv(A, 2, qos=1)
    s.pub(1, qos=1).recv(A, 1, qos=1).finds()


def test_one_that_was_dropped_the_first_time_may_come_late():
    def story():
        return begin().pub(1, qos=1, acked=False).pub(2, qos=1).recv(A, 2, qos=1)

    story().pub(1, qos=1).recv(A, 1, qos=1).finds("order")
    story().pub(1, qos=1).recv(A, 1, qos=1).finds(drops={"h00001": 1})
    story().recv(A, 1, qos=1).finds("order", drops={"h00001": 1})


def test_repeats_do_not_count_for_the_order():
    s = begin().pub(1, qos=1).pub(2, qos=1).recv(A, 1, qos=1).recv(A, 2, qos=1)
    s.recv(A, 1, qos=1, more=h.DUP).recv(A, 2, qos=1, more=h.DUP).finds()


def test_order_is_of_one_topic_and_one_qos():
    s = begin().sub(A, ONES).pub(1, topic=OTHER).pub(2)
    s.recv(A, 2).recv(A, 1, topic=OTHER).finds()
    begin().pub(1, qos=1).pub(2, qos=2).recv(A, 2).recv(A, 1, qos=1).finds()


def test_two_publishers_have_no_order():
    s = begin().connect(W).pub(2).add("PUB", W, flags=2, a=1, b=LIVE, c=1, d=20)
    s.recv(A, 2).recv(A, 1, publisher=W, pid=9).finds()


# ---- what nobody sent, and to whom it must not go ----------------------------------------------------------------------------

def test_a_message_that_nobody_sent():
    begin().recv(A, 99).finds("unknown")


def test_a_message_on_another_topic():
    begin().sub(A, ONES).pub(1, acked=False).recv(A, 1, topic=OTHER).finds("unknown")


def test_a_message_of_another_size():
    begin().pub(1, acked=False).recv(A, 1, size=21).finds("unknown")


def test_a_payload_that_does_not_add_up():
    begin().pub(1).recv(A, 1).recv(A, 1, more=h.BAD).finds("corrupt")


def test_a_delivery_without_a_subscription():
    begin().pub(1, topic=OTHER).recv(A, 1, topic=OTHER).finds("stranger")


def test_a_subscription_that_was_given_up_stays_given_up():
    begin().unsub(A, EXACT).pub(1).recv(A, 1).finds("stranger")


def test_what_was_sent_before_unsuback_may_come():
    begin().pub(1).unsub(A, EXACT).recv(A, 1).finds()
    begin().add("UNSUB", A, a=EXACT).pub(1).add("UNSUBACK", A, a=EXACT).recv(A, 1).finds()


def test_a_subscription_of_a_session_that_was_ended():
    begin().close(A).connect(A, clean=True).pub(1).recv(A, 1).finds("stranger")


def test_a_higher_qos_than_was_asked_for():
    Story().connect(P).connect(A).sub(A, EXACT, qos=1).pub(1).recv(A, 1, qos=2).finds("qos")


def test_an_answer_to_nothing():
    begin().add("ODD", P, a=4, b=3).finds("odd")


def test_the_broker_accuses_a_client():
    begin().add("KICKED", A, a=0x82).finds("odd")
    begin().add("KICKED", A, a=0x8E).finds()


# ---- sessions --------------------------------------------------------------------------------------------------------------------

def test_a_session_that_is_gone():
    begin().close(A).connect(A, present=False).finds("session lost")


def test_a_session_that_is_gone_takes_messages_with_it():
    begin().close(A).pub(1).connect(A, present=False).finds("lost", "session lost")


def test_after_the_loss_the_session_starts_anew():
    s = begin().close(A).connect(A, present=False).pub(1).sub(A, EXACT).pub(2).recv(A, 2)
    s.finds("session lost")


def test_a_session_that_was_never_acknowledged_may_be_gone():
    Story().open(A).close(A).connect(A, present=False).finds()
    Story().open(A).close(A).connect(A, present=True).finds()


def test_a_session_out_of_nothing():
    Story().connect(A, present=True).finds("session present")


def test_a_clean_start_that_is_not_clean():
    begin().close(A).connect(A, clean=True, present=True).finds("session present")


def test_a_session_that_outlives_its_end():
    s = Story().connect(SHORT, clean=True).close(SHORT)
    s.connect(SHORT, present=True).finds("session present")


def ended_by_a_clean_connection():
    return Story().connect(S1).close(S1).connect(S1, clean=True).close(S1)


def test_a_session_that_a_clean_connection_ended():
    ended_by_a_clean_connection().connect(S1, present=False).finds()
    ended_by_a_clean_connection().connect(S1, present=True).finds("session present")


def test_a_session_that_was_made_after_a_clean_connection():
    ended_by_a_clean_connection().connect(S1).close(S1).connect(S1, present=True).finds()
    ended_by_a_clean_connection().connect(S1).close(S1).connect(S1, present=False).finds("session lost")


def test_a_clean_connection_that_was_not_answered():
    for present in (True, False):
        Story().connect(S1).close(S1).open(S1, clean=True).close(S1).connect(S1, present=present).finds()
        Story().connect(S1).close(S1).open(S1).open(S1, clean=True).add("CONNACK", S1, flags=present, conn=1).finds()


def test_the_time_of_a_session_whose_broker_died_counts_from_then():
    for how, kinds in ((h.CLOSED_BY_BROKER, []), (h.CLOSED_RUDELY, ["session lost"])):
        s = Story().connect(SHORT).fault(3000)
        s.ns -= 100 * MS  # the client notices before the broker is back
        s.close(SHORT, how).connect(SHORT, present=False).finds(*kinds)


@pytest.mark.parametrize("away_ms, present, kinds", [
    (500, True, []), (500, False, ["session lost"]), (4000, True, []), (4000, False, []), (9000, False, []),
    (9000, True, ["session present"])])
def test_the_time_that_a_session_has(away_ms, present, kinds):
    Story().connect(SHORT).close(SHORT).wait(away_ms).connect(SHORT, present=present).finds(*kinds)


def test_a_session_that_may_be_a_new_one():
    """Its end had come, a CONNECT was not answered, and the next finds what that one made."""
    def story():
        s = Story().connect(P).connect(SHORT).sub(SHORT, EXACT).pub(1).close(SHORT).wait(4500).open(SHORT).close(SHORT)
        return s.open(SHORT).add("CONNACK", SHORT, flags=3)

    story().finds()
    story().sub(SHORT, EXACT).pub(2).finds("lost")
    story().sub(SHORT, EXACT).pub(2).recv(SHORT, 2).finds()
    story().recv(SHORT, 1).sub(SHORT, EXACT).finds()


def test_the_time_counts_from_the_end_of_a_fault():
    s = Story().connect(SHORT).fault(6000)
    s.ns -= 5900 * MS
    s.close(SHORT, h.CLOSED_BY_BROKER).wait(7000).connect(SHORT, present=True).finds()


# ---- takeover --------------------------------------------------------------------------------------------------------------------

def test_an_old_connection_that_lives_on():
    s = begin().open(A).add("CONNACK", A, flags=1)
    s.add("PING", A, conn=0).add("PONG", A, conn=0).finds("fork")


def test_two_of_a_race_live_on():
    s = Story().open(A).open(A)
    s.add("CONNACK", A, conn=0).add("CONNACK", A, flags=1, conn=1)
    s.add("PING", A, conn=0).add("PING", A, conn=1).add("PONG", A, conn=1).add("PONG", A, conn=0).finds("fork")


def test_one_of_a_race_lives_on():
    s = Story().open(A).open(A)
    s.add("CONNACK", A, conn=0).add("CONNACK", A, flags=1, conn=1)
    s.add("PING", A, conn=0).add("PING", A, conn=1).add("PONG", A, conn=0).finds()


def test_an_answer_from_before_the_takeover_is_right():
    s = begin().add("PING", A).open(A).add("CONNACK", A, flags=1).add("PONG", A, conn=0)
    s.finds()


def test_twice_because_of_a_takeover():
    s = begin().pub(1).recv(A, 1).add("RELEASED", A, a=1)
    s.open(A).add("CONNACK", A, flags=1).close(A).recv(A, 1).finds("duplicate")


# ---- shared subscriptions --------------------------------------------------------------------------------------------------------

def group():
    return Story().connect(P).connect(S1).sub(S1, GROUP).connect(S2).sub(S2, GROUP)


def test_one_member_is_enough():
    group().pub(1, topic=SHARED).recv(S2, 1, topic=SHARED).finds()


def test_no_member_got_it():
    group().pub(1, topic=SHARED).finds("shared lost")


def test_no_member_got_it_and_one_counts_it_as_dropped():
    group().pub(1, topic=SHARED).finds(drops={"h00003": 1})
    group().pub(1, topic=SHARED).pub(2, topic=SHARED).finds("shared lost", "shared lost", drops={"h00003": 1})


def test_two_members_got_it_at_qos_2():
    group().pub(1, topic=SHARED).recv(S1, 1, topic=SHARED).recv(S2, 1, topic=SHARED).finds("shared duplicate")


def test_two_members_got_it_at_qos_1_is_right():
    group().pub(1, topic=SHARED, qos=1).recv(S1, 1, topic=SHARED, qos=1).recv(S2, 1, topic=SHARED, qos=1).finds()


# ---- what is retained ------------------------------------------------------------------------------------------------------------

def keep(s, seq, **kw):
    return s.pub(seq, topic=RETAINED, retain=True, **kw)


def got(s, seq):
    return s.recv(READER, seq, topic=RETAINED, more=h.RETAIN)


def test_the_last_is_retained():
    s = keep(keep(Story().connect(P), 1), 2)
    got(s.read(), 2).finds()


def test_an_older_one_is_retained():
    s = keep(keep(Story().connect(P), 1), 2)
    got(s.read(), 1).finds("retained stale")


def test_nothing_is_retained():
    keep(Story().connect(P), 1).read().finds("retained lost")


def test_one_that_was_not_acknowledged_may_be_retained_or_not():
    s = keep(keep(Story().connect(P), 1), 2, acked=False)
    got(s.read(), 2).finds()
    s = keep(keep(Story().connect(P), 1), 2, acked=False)
    got(s.read(), 1).finds()


def test_the_end_of_a_retained_message():
    keep(keep(Story().connect(P), 1), 2, size=0).read().finds()
    s = keep(keep(Story().connect(P), 1), 2, size=0)
    got(s.read(), 1).finds("retained stale")
    keep(keep(Story().connect(P), 1, size=0), 2).read().finds("retained lost")
    keep(keep(Story().connect(P), 1), 2, size=0, acked=False).read().finds()


def test_two_retained_messages_on_a_topic():
    s = keep(keep(Story().connect(P), 1, acked=False), 2, acked=False)
    got(got(s.read(), 1), 2).finds("retained")


def test_what_was_never_retained_comes_as_retained():
    s = Story().connect(P).connect(A).sub(A, EXACT).pub(1, acked=False)
    s.recv(A, 1, more=h.RETAIN).finds("stranger")


# ---- wills -----------------------------------------------------------------------------------------------------------------------

def will(delay_ms=0, qos=2):
    return Story().connect(WATCH).sub(WATCH, WILLS).connect(W, will=(1, qos, delay_ms)).wait(2000)


def said(s, **kw):
    return s.recv(WATCH, 1, topic=WILL, size=40, publisher=W, **kw)


def test_a_will_that_is_due():
    said(will().close(W)).wait(5000).finds()
    will().close(W).wait(5000).finds("will missing")


def test_a_will_at_qos_0_may_be_missing():
    will(qos=0).close(W).wait(5000).finds()


def test_a_will_that_was_taken_back():
    will().bye(W).finds()
    said(will().bye(W)).finds("will unwanted")


def test_a_goodbye_that_keeps_the_will():
    will().bye(W, code=4).wait(5000).finds("will missing")


def test_a_will_that_is_said_twice():
    said(said(will().close(W)), pid=2).wait(5000).finds("duplicate")


def test_who_is_back_in_time_has_no_will():
    will(delay_ms=3000).close(W).wait(500).connect(W, present=True).wait(5000).finds()
    s = will(delay_ms=3000).close(W).wait(500).connect(W, present=True).wait(5000)
    said(s).finds("will unwanted")


def test_who_is_back_late_has_a_will():
    will(delay_ms=1000).close(W).wait(5000).connect(W, present=True).wait(5000).finds("will missing")


def test_who_is_back_at_about_that_time_may_have_one():
    will(delay_ms=1000).close(W).wait(1200).connect(W, present=True).wait(5000).finds()


def test_wills_have_no_order():
    s = will(delay_ms=3000, qos=1).close(W).wait(2000).connect(W, present=True, will=(2, 1, 0)).wait(1000).close(W)
    s.recv(WATCH, 2, topic=WILL, qos=1, size=40, publisher=W)
    s.recv(WATCH, 1, topic=WILL, qos=1, size=40, publisher=W).wait(5000)
    assert "order" not in [v.kind for v in s.judge().violations]


def test_a_waiting_will_survives_a_fault():
    s = will(delay_ms=3000).close(W).wait(1000).fault(500).wait(6000)
    s.finds("will missing")


def test_the_end_of_the_broker_is_not_the_end_of_the_client():
    s = will().fault(500)
    s.close(W, h.CLOSED_BY_BROKER).wait(5000).finds()


# ---- the end ---------------------------------------------------------------------------------------------------------------------

def test_a_history_without_an_end():
    begin().finds("stuck", end=False)


def test_somebody_did_not_get_through():
    begin().add("PHASE", 0, a=2, b=1).finds("stuck")


def test_matching():
    pairs = [("a/b", "a/b", True), ("a/+", "a/b", True), ("a/#", "a/b/c", True), ("a/#", "a", True), ("+/b", "a/b", True),
             ("a/+", "a/b/c", False), ("a/b", "a", False), ("a/b/+", "a/b", False), ("#", "a", True)]
    for f, t, yes in pairs:
        assert h.matches(f, t) == yes, (f, t)
    assert h.shared("$share/g/a/#") == ("g/a/#", "a/#")
