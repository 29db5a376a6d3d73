"""What makes a worker of a fork of the nursery: all that Ray would have given a process of its own."""

import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

from raysim.engine.newborn import OOM

STANDARD = (0, 1, 2)
"""Files of every process."""


@dataclass(frozen=True)
class Birth:
    """What makes a worker.

    Attributes:
        words: of its command line.
        folder: where it works.
        environment: its variables.
        nice: how much it gives way to others.
        oom: how soon it is ended where memory is short, as /proc has it.
        files: its standard ones.
    """

    words: list[str]
    folder: str
    environment: dict[str, str]
    nice: int
    oom: str
    files: list[int]

    @classmethod
    def asked(cls, asking: socket.socket) -> Self:
        """What `newborn` has sent."""
        _, files, _, _ = socket.recv_fds(asking, 1, len(STANDARD))
        with asking.makefile("rb") as sent:
            return cls(**json.loads(sent.read()), files=files)

    def become(self) -> None:
        """Makes this process one in which the worker can start; Ray ends a dead worker's whole process group."""
        os.setpgid(0, 0)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for file, standard in zip(self.files, STANDARD, strict=True):
            os.dup2(file, standard)
        self.close()
        take(self.environment)
        os.chdir(self.folder)
        os.setpriority(os.PRIO_PROCESS, 0, self.nice)
        with suppress(OSError):  # some containers forbid it
            OOM.write_text(self.oom, "ascii")
        sys.argv = self.words

    def close(self) -> None:
        """Forgets its files."""
        for file in self.files:
            os.close(file)


def take(environment: Mapping[str, str]) -> None:
    """This process's environment is that one from here."""
    os.environ.clear()
    os.environ.update(environment)
