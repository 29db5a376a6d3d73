"""`raysim` as a process: what it starts, what it leaves behind, what it writes."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path

# A shell leaves the interrupt ignored in what it runs in the background, and children would inherit that.
if threading.current_thread() is threading.main_thread():
    signal.signal(signal.SIGINT, signal.default_int_handler)

RAYSIM = [sys.executable, "-c", "import sys; from raysim.cli.app import main; sys.exit(main())"]


class Marked:
    """Runs commands, and knows every process that they leave behind.

    Attributes:
        folder: for everything; short, because Ray's sockets lie below. Removed at the end.
    """

    def __init__(self):
        self.mark = f"RAYSIM_TEST_{uuid.uuid4().hex}"
        self.folder = Path(tempfile.mkdtemp(prefix="rs"))

    def start(self, *arguments, command=RAYSIM, known=False, surroundings=None, **more):
        """Starts a command, with Ray's settings of this process if it shall reach a cluster that is `known` here.

        `surroundings` are environment variables besides.
        """
        clean = {k: v for k, v in os.environ.items() if known or not k.startswith("RAY_")}
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **more}
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            env={
                "RAYSIM_CACHE": str(self.folder / "cache"), **clean, self.mark: "1", "TMPDIR": str(self.folder),
                **(surroundings or {}),
            },
            cwd=self.folder, start_new_session=True, **streams,
        )  # fmt: skip

    def run(self, *arguments, **more):
        with self.start(*arguments, **more) as process:
            try:
                out, err = process.communicate(timeout=150)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
        return process.returncode, out, err

    def processes(self):
        """Process id -> command line."""
        found = {}
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # ended just now
                if self._is_ours(path) and path.name != str(os.getpid()):
                    found[int(path.name)] = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return found

    def _is_ours(self, path):
        """By its environment or, where a title has overwritten that, by the files that it holds open."""
        if self.mark.encode() in (path / "environ").read_bytes():
            return True
        return any(link.readlink().is_relative_to(self.folder) for link in (path / "fd").iterdir())

    def actors(self, kind):
        """Process ids of the actors of a kind: `Client` or `Server`."""
        return [pid for pid, command in self.processes().items() if command.startswith(f"ray::{kind}")]

    def kill(self):
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def assert_all_gone(self, within_s):
        end = time.monotonic() + within_s
        while self.processes() and time.monotonic() < end:
            time.sleep(0.1)
        assert self.processes() == {}
        assert list(self.folder.glob("raysim-*")) == []

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def family():
    """This process and all below it. A mark in the environment would not do: the titles Ray sets overwrite it."""
    parents = {}
    for file in Path("/proc").glob("[0-9]*/stat"):
        try:
            _, _, after_name = file.read_text().rpartition(")")
        except OSError:  # ended meanwhile
            continue
        parents[int(file.parent.name)] = int(after_name.split()[1])
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def timeless(value):
    """Without what may differ between two runs."""
    if isinstance(value, dict):
        return {k: timeless(v) for k, v in value.items() if not k.endswith(("_s", "_bytes_rss"))}
    return [timeless(v) for v in value] if isinstance(value, list) else value


def records(folder):
    """A trial's metrics.jsonl, times aside."""
    return [timeless(json.loads(line)) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def kept(folder):
    """The bytes of a trial's predictions; None where it kept none."""
    path = folder / "predictions.npz"
    return path.read_bytes() if path.exists() else None


def outcome(out, *, at_end=False):
    """All that a study says, times aside: each trial's metrics, summary and predictions, and the table.

    With `at_end` checkpoints are there still.
    """
    trials = {}
    for folder in sorted(p.parent for p in out.glob("*/*/summary.json")):
        lines = records(folder)
        assert [r["round"] for r in lines] == list(range(1, len(lines) + 1)), folder
        summary = json.loads((folder / "summary.json").read_text())
        assert summary["status"] == "finished", summary
        assert (folder / "checkpoints").exists() == at_end
        trials[f"{folder.parent.name}/{folder.name}"] = (lines, timeless(summary), kept(folder))
    return trials, (out / "summary.csv").read_text()
