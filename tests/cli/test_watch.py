"""`raysim watch` and `raysim stop` on folders that nobody, or a process that is played here, works on."""

import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import termios
import threading
import time

import numpy as np
import pytest
from studies import small_study

from raysim.cli.app import main
from raysim.disk import hold
from raysim.report.events import ClientsFinished, RoundStarted, StudyStarted, TrialInfo, TrialStarted
from raysim.report.live.again import Again
from raysim.report.live.journal import JournalSink
from raysim.report.reading.folder import asked_to_stop


@pytest.fixture
def held(tmp_path):
    """A study's folder with a lock that names a process that there is: `held(host, alive)` says whether it has it."""
    files = []

    def held(host, *, alive, planned=0):
        out = small_study(tmp_path / "out", planned=planned)
        lock = hold(out / ".lock")
        lock.write(f"process {os.getpid()} on {host}\n")
        lock.flush()
        files.append(lock)
        if not alive:
            lock.close()
        return out

    yield held
    for file in files:
        file.close()


@pytest.fixture
def toy_events(monkeypatch):
    """The beginning of a trial whose first round is under way."""
    monkeypatch.setattr("raysim.report.live.journal.EVERY_S", 0.0)
    trial = TrialInfo("study", "later=0", 0, {}, 2, "best", "accuracy", ("accuracy",))
    done = (np.array([0, 1]), np.array([5, 5]), np.array([1.0, 2.0]), np.array([0.1, 0.2]))
    return [
        StudyStarted((trial,), "out", "2 cores"), TrialStarted(trial, 0, 3, 1, "a plan"),
        RoundStarted(trial, 1, "train", (0, 1, 2)), ClientsFinished(trial, 1, *done),
    ]  # fmt: skip


@pytest.mark.parametrize("command", ["watch", "stop"])
def test_a_folder_that_is_none(command, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    for name, what in (("nothing", "there is no such folder"), ("empty", "holds no study")):
        assert main([command, str(tmp_path / name)]) == 2
        said = capfd.readouterr()
        assert (said.out, said.err) == ("", f"{tmp_path / name}: {what}; name a folder that `raysim run` wrote\n")


def test_a_finished_study_is_shown_and_there_is_nothing_to_stop(tmp_path, capfd):
    out = small_study(tmp_path / "out")
    assert main(["watch", str(out), "--progress", "plain"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == f"look again: raysim report {out}"
    assert main(["stop", str(out)]) == 0
    assert capfd.readouterr().out == f"{out}: no process works on it; it is finished; look: raysim report {out}\n"


def test_what_is_stopped_already_or_killed_says_how_to_go_on(held, capfd):
    out = held(socket.gethostname(), alive=False, planned=2)
    assert main(["stop", str(out)]) == 0
    said = f"{out}: no process works on it; stopped after 3 of 5 trials; go on: raysim run ... --out {out} --resume\n"
    assert capfd.readouterr().out == said
    assert not asked_to_stop(out)


def test_one_of_another_machine_whose_locks_are_not_seen_here(held, capfd):
    out = held("elsewhere", alive=False, planned=2)
    assert main(["stop", str(out)]) == 2
    said = f"{out}: its lock is of process {os.getpid()} on elsewhere, and nothing is known of it here; stop it there\n"
    assert capfd.readouterr().err == said


def test_it_waits_until_the_study_is_over(held, capfd):
    out = held(socket.gethostname(), alive=True, planned=2)

    def work():
        while not asked_to_stop(out):
            time.sleep(0.01)
        (out / ".lock").unlink()

    other = threading.Thread(target=work)
    other.start()
    assert main(["stop", str(out)]) == 0
    other.join()
    lines = capfd.readouterr().out.splitlines()
    assert lines[0] == f"{out}: asked process {os.getpid()} on {socket.gethostname()} to stop"
    assert lines[1].startswith(f"{out}: stopped after 3 of 5 trials; go on: ")


def frame(data):
    """The lines of the last screen that was drawn after it was cleared."""
    frames = data.decode().rpartition("\x1b[H\x1b[2J")[2].split("\x1b[2K")  # the last one may be cut
    text = next(found for f in frames[-2::-1] if (found := re.sub(r"\r|\x1b\[[0-9;?]*[A-Za-z]", "", f)).strip())
    return [line.rstrip() for line in text.split("\n")]


@pytest.mark.slow  # by the clock: on a busy machine a frame of before the change of size may be looked at
def test_a_screen_follows_the_terminal_s_size_and_control_c_leaves_the_study_alone(marked, held, toy_events):
    out = held(socket.gethostname(), alive=True, planned=1)
    journal = JournalSink(out, Again.here(out, ["raysim", "run", "s"]), pytest.fail)
    for event in toy_events:
        journal.handle(event)
    ours, theirs = pty.openpty()

    def size(rows, columns):
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(is_so):
        shown, end = b"", time.monotonic() + 30
        while not is_so(shown):
            assert time.monotonic() < end, shown
            if select.select([ours], [], [], 0.1)[0]:
                shown += os.read(ours, 65536)
        return shown

    size(24, 100)
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = marked.start("watch", out, text=False, surroundings={"TERM": "xterm"}, **streams)
    until(lambda shown: b"round 1, phase train: 2 of 3 clients done" in shown)
    size(8, 30)
    process.send_signal(signal.SIGWINCH)
    shown = until(lambda shown: shown.rpartition(b"\x1b[H\x1b[2J")[2].count(b"round 1") > 3)
    lines = frame(shown)
    assert len(lines) <= 8
    assert max(map(len, lines)) <= 30
    assert "round 1, phase train: 2 of 3 …" in lines
    process.send_signal(signal.SIGINT)
    end = until(lambda shown: b"look again" in shown)
    assert process.wait(timeout=10) == 0
    os.close(ours)
    os.close(theirs)
    assert b"\x1b[?25h" in end  # the cursor is back
    assert not asked_to_stop(out)
