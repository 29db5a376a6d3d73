"""`raysim watch` and `raysim stop` on folders that nobody, or a process that is played here, works on."""

import socket
import threading
import time

import pytest
from studies import small_study

from raysim.cli.app import main
from raysim.disk import hold
from raysim.report.reading.folder import asked_to_stop


@pytest.fixture
def held(tmp_path):
    """A study's folder with a lock: `held(host, alive)`."""
    files = []

    def held(host, *, alive, planned=0):
        out = small_study(tmp_path / "out", planned=planned)
        lock = hold(out / ".lock")
        lock.write(f"process 7 on {host}\n")
        lock.flush()
        files.append(lock)
        if not alive:
            lock.close()
        return out

    yield held
    for file in files:
        file.close()


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
    said = f"{out}: its lock is of process 7 on elsewhere, and nothing is known of it here; stop it there\n"
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
    assert lines[0] == f"{out}: asked process 7 on {socket.gethostname()} to stop"
    assert lines[1].startswith(f"{out}: stopped after 3 of 5 trials; go on: ")
