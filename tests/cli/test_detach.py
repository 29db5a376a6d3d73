"""Studies that are left: another process watches, kills, goes on with and stops them."""

import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
from processes import records

pytestmark = [pytest.mark.ray, pytest.mark.slow]

MATERIAL = Path(__file__).parents[1] / "engine" / "material"
LONG = ["--set", "federation.rounds=100000", "--set", "federation.checkpoint.every_rounds=4"]


@pytest.fixture
def file(marked):
    shutil.copy(MATERIAL / "ray_material.py", marked.folder)
    return shutil.copy(MATERIAL / "small.yaml", marked.folder)


def session(number):
    """The processes of a session."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            if int((path / "stat").read_text().rpartition(")")[2].split()[3]) == number:
                found.append(int(path.name))
        except OSError:  # ended just now
            continue
    return found


def until(reads, text):
    """Reads lines until one that holds the text; returns it."""
    line = next((line for line in reads.stdout if text in line), None)
    assert line is not None, text
    return line


def test_a_study_is_left_watched_killed_gone_on_with_and_stopped(marked, file):
    out = marked.folder / "out"
    command = ["run", file, "--out", out, *LONG]
    status, text, err = marked.run(*command, "--detach")
    assert (status, err) == (0, "")
    lines = text.splitlines()
    pid = int(re.fullmatch(rf"1 trial under way in {out} \(process (\d+)\)", lines[-3])[1])
    assert lines[-2:] == [f"watch: raysim watch {out}", f"stop:  raysim stop {out}"]
    assert (out / ".lock").read_text().startswith(f"process {pid} on ")
    assert os.getsid(pid) == pid

    with marked.start("watch", out) as watcher:
        until(watcher, "round 2/")
        for process in session(pid):  # as when somebody logs out
            os.kill(process, signal.SIGHUP)
        time.sleep(1.0)
        before = len(records(out / "small" / "seed=0"))
        until(watcher, f"round {before + 5}/")
        os.kill(pid, signal.SIGKILL)
        again = until(watcher, "stopped: no process works on it").partition("go on with: ")[2].split()
        assert again == ["raysim", *map(str, ["run", file, *LONG, "--out", out]), "--detach", "--resume"]

        status, text, _ = marked.run(*again[1:])
        assert status == 0
        later = int(re.search(r"\(process (\d+)\)", text)[1])
        assert "; goes on after round " in until(watcher, "started: ")
        until(watcher, "  round ")
        status, text, err = marked.run("stop", out)
        assert (status, err) == (0, "")
        assert text.splitlines()[-1] == f"{out}: stopped after 0 of 1 trial; go on: {' '.join(again)}"
        rest, err = watcher.communicate(timeout=30)
        assert (watcher.returncode, err) == (0, "")
        assert rest.splitlines()[-1] == f"go on: {' '.join(again)}"
    assert not (out / ".lock").exists()
    assert "started: " in (out / "log.txt").read_text()
    end = time.monotonic() + 20
    while session(later):  # what was killed is seen to by other tests
        assert time.monotonic() < end
        time.sleep(0.1)


def test_what_is_wrong_is_said_at_once_and_nothing_stays(marked, file):
    status, text, err = marked.run("run", file, "--detach", "--out", "out", "--set", "federation.round=1")
    assert (status, text) == (2, "")
    assert "did you mean 'rounds'" in err
    status, text, err = marked.run("run", file, "--detach", "--out", "out", "--address", "127.0.0.1:1")
    assert status == 2
    line = "no Ray cluster at '127.0.0.1:1': [Errno 111] Connection refused; start it there, or say where its head is"
    assert err == f"{line}\n"
    assert not (marked.folder / "out").exists()
    marked.assert_all_gone(within_s=20)
