"""Where commands are started: without streams, without a folder, without a home."""

import subprocess
import sys
from pathlib import Path

import pytest

from raysim.cli.app import main
from raysim.data.cache import cache_folder
from raysim.data.dataset import DataError

COMMAND = "import sys; from raysim.cli.app import main; sys.exit(main())"


def shell(redirections, *words):
    """Runs a command as a shell does with some redirections; what reaches standard error."""
    line = f'exec "$0" -c "$1" {" ".join(words)} {redirections}'
    return subprocess.run(["sh", "-c", line, sys.executable, COMMAND], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("closed", [">&-", "<&- >&-", "<&- >&- 2>&-"])
def test_closed_streams_take_anything(closed):
    found = shell(closed, "list", "metrics")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_one_line():
    found = shell("> /dev/full", "list", "metrics")
    line = "raysim: standard output: No space left on device; mend that and run the command again\n"
    assert (found.returncode, found.stderr) == (1, line)
    assert shell("> /dev/full 2>&1", "list", "metrics").returncode == 1


def test_a_folder_that_was_removed_is_one_line(tmp_path, monkeypatch, capfd):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["validate", str(tmp_path / "s.yaml")], ["list", "methods"], ["data", "list"], ["report", "o"]):
        assert main(words) == 2
        line = "raysim: the current folder cannot be used: No such file or directory; cd to one that is there\n"
        assert capfd.readouterr().err == line


def test_without_a_home_prepared_data_is_looked_for_where_one_says(monkeypatch, tmp_path, capfd):
    monkeypatch.delenv("RAYSIM_CACHE", raising=False)
    monkeypatch.setattr("os.path.expanduser", lambda path: path)
    with pytest.raises(DataError, match="there is no home folder to look for 'meld'; set RAYSIM_CACHE to the folder"):
        cache_folder("meld")
    assert main(["data", "list"]) == 0
    assert main(["data", "check", "meld"]) == 2
    assert capfd.readouterr().err.count("\n") == 1
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path))
    assert cache_folder("meld") == tmp_path / "meld"


def test_what_does_not_fit_the_memory_is_one_line(monkeypatch, capfd):
    def explode(*_):
        raise MemoryError

    ended: list[int] = []
    monkeypatch.setattr("raysim.api.load", explode)
    monkeypatch.setattr("os._exit", ended.append)
    assert main(["validate", "s.yaml"]) == 1
    assert ended == [1]
    assert capfd.readouterr().err == "raysim: out of memory; allow the process more, or use less data\n"
