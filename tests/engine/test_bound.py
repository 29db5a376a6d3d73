"""How long Ray may take to start, and what is said of it."""

import os
import signal
import subprocess
import sys
import time

import pytest

from raysim.engine import bound
from raysim.engine.bound import VARIABLE, Late, bounded, check_loopback, started
from raysim.engine.hush import hushed

HUSHED = """
import os, sys, pathlib
from raysim.engine.hush import hushed
with hushed(pathlib.Path(sys.argv[1])):
    os.write(2, b"[2026 W 1 1] a.cc: first\\n[2026 E 1 1] b.cc: No room left\\n\\n")
    {end}
os.write(2, b"heard\\n")
"""


def sleeper(folder, name):
    """A child that looks like one of Ray's processes."""
    code = "import time; time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", code, f"/ray/{name}", f"--dir={folder}"])


def test_a_start_in_time_is_left_alone(tmp_path):
    with sleeper(tmp_path, "raylet") as child:
        before = signal.getsignal(signal.SIGALRM)
        with bounded(tmp_path):
            pass
        assert (child.poll(), signal.getsignal(signal.SIGALRM)) == (None, before)
        child.kill()


@pytest.mark.parametrize(("name", "what"), [("gcs_server", "its control service"), ("raylet", "its node service")])
def test_a_late_start_says_what_it_waited_for_and_ends_it(tmp_path, monkeypatch, name, what):
    monkeypatch.setenv(VARIABLE, "1")
    began = time.monotonic()
    with sleeper(tmp_path, name) as child, sleeper(tmp_path.parent / "other", name) as other:
        with pytest.raises(Late) as caught, bounded(tmp_path):
            time.sleep(30)
        assert str(caught.value) == (
            f"not ready after 1 s: {what} has started and does not answer; set {VARIABLE} to let it take longer"
        )
        assert (started(tmp_path), other.poll()) == ({}, None)
        child.wait(5)
        other.kill()
    assert time.monotonic() - began < 15


def test_a_start_that_fails_leaves_no_process(tmp_path):
    with sleeper(tmp_path, "gcs_server"):
        assert len(started(tmp_path)) == 1
        with pytest.raises(KeyError), bounded(tmp_path):
            raise KeyError
        assert started(tmp_path) == {}


def test_an_address_that_nobody_reaches_is_said_at_once():
    check_loopback("127.0.0.1")
    with pytest.raises(OSError, match=r"processes cannot reach each other at 192\.0\.2\.1 \(.*\); bring the loopback"):
        check_loopback("192.0.2.1")


def test_time_may_be_given_and_nonsense_is_not_read(monkeypatch):
    monkeypatch.setenv(VARIABLE, "90")
    assert bound._seconds() == 90
    monkeypatch.setenv(VARIABLE, "soon")
    assert bound._seconds() == bound.START_TIMEOUT_S


@pytest.mark.parametrize(
    ("end", "status", "text"),
    [
        ("pass", 0, "heard\n"),
        ("os._exit(3)", 3, "Ray did not start: b.cc: No room left\n"),
        ("os.abort()", -signal.SIGABRT, "Ray did not start: b.cc: No room left\n"),
    ],
    ids=["goes on", "exits", "aborts"],
)
def test_what_ray_writes_is_kept_and_said_only_where_it_ends_the_process(tmp_path, end, status, text):
    code = HUSHED.format(end=end)
    found = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (status, text)


def test_standard_error_comes_back(tmp_path, capfd):
    with hushed(tmp_path):
        os.write(2, b"unheard\n")
    os.write(2, b"heard\n")
    assert capfd.readouterr().err == "heard\n"
    assert (tmp_path / "start.log").read_text() == "unheard\n"


def test_what_is_left_of_a_cluster_is_ended(monkeypatch):
    monkeypatch.setattr(bound, "LEAVE_S", 0.1)
    sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    ours, other = (
        subprocess.Popen(sleep, env={**os.environ, "RAYSIM_CLUSTER": name}, stdout=subprocess.PIPE)
        for name in ("raysim-a", "raysim-ab")
    )
    with ours, other:
        for process in (ours, other):
            process.stdout.readline()
        bound.end_marked("RAYSIM_CLUSTER", "raysim-a")
        assert ours.wait(timeout=10) == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
