"""A flood of logins slows logins, never messages: the threads that hash passwords give way to all others."""
import os
import pathlib


def test_hashing_threads_give_way(picket):
    pid = picket.children()["auth"]
    nice = {t.name: int((t / "stat").read_text().rsplit(")", 1)[1].split()[16]) for t in pathlib.Path(f"/proc/{pid}/task").iterdir()}
    own = os.getpriority(os.PRIO_PROCESS, 0)
    hashing = [n for tid, n in nice.items() if int(tid) != pid]
    assert nice[str(pid)] == own
    assert hashing and all(n == own + 10 or n == 10 for n in hashing), nice
