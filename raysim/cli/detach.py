"""A study that goes on when its terminal is gone: `raysim run --detach`."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import typer

from raysim.report.events import Event, StudyStarted
from raysim.report.reading.folder import LOG
from raysim.report.reading.urls import shown
from raysim.report.text import counted

_MAIN = "import sys; from raysim.cli.app import main; sys.exit(main())"


def detached(words: Sequence[str]) -> int:
    """Runs a command in a session of its own; returns when its study is under way, or with its status when it ends.

    What it says until then is said here; later it goes to a file in the study's folder.

    Args:
        words: `raysim run ...`.
    """
    hears, tells = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", _MAIN, *words[1:], "--ready", str(tells)],
        stdin=subprocess.DEVNULL, pass_fds=[tells], start_new_session=True,
    ) as process:  # fmt: skip
        os.close(tells)
        with os.fdopen(hears, encoding="utf-8") as pipe:
            try:
                said = pipe.read()
            except KeyboardInterrupt:
                process.send_signal(signal.SIGINT)
                return process.wait()
        if not said:
            return process.wait()
        process.returncode = 0  # it is nobody's child any more: Popen shall not wait for it
    study = json.loads(said)
    count, out = study["trials"], shlex.quote(study["out"])
    typer.echo(f"{counted(count, 'trial')} under way in {study['out']} (process {process.pid})")
    typer.echo(f"watch: raysim watch {out}")
    typer.echo(f"stop:  raysim stop {out}")
    return 0


class ReadySink:
    """Lets go of the terminal when the study is under way, and tells the process that waits for that.

    Args:
        out: the study's folder, which gets what is printed from then on.
        trials: how many there are.
        pipe: a file descriptor that the other process reads.
    """

    def __init__(self, out: Path, trials: int, pipe: int) -> None:
        self._out, self._trials, self._pipe = out, trials, pipe
        os.set_inheritable(pipe, False)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def handle(self, event: Event) -> None:
        """Waits for the study to start."""
        if not isinstance(event, StudyStarted):
            return
        log = os.open(self._out / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
            os.dup2(log, stream.fileno())
        os.close(log)
        with os.fdopen(self._pipe, "w", encoding="utf-8") as pipe:
            pipe.write(json.dumps({"out": shown(self._out), "trials": self._trials}))

    def close(self) -> None:
        """Nothing is held."""
