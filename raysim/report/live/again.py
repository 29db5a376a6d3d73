"""The command that goes on with a study: exact, and whole where it is read in another folder."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raysim.disk import is_url
from raysim.report.reading.urls import shown


@dataclass(frozen=True)
class Again:
    """How a study was begun.

    Attributes:
        out: its folder, as it was named then, or its URL.
        words: the command that goes on with it, in `cwd`; empty where Python began it.
        cwd: the folder in which that was.
    """

    out: str
    words: tuple[str, ...] = ()
    cwd: str = ""

    @classmethod
    def here(cls, out: Path, words: Sequence[str] = ()) -> "Again":
        """Of a study that begins in the current folder."""
        return cls(shown(out), tuple(words), str(Path.cwd()))

    @property
    def unknown(self) -> str:
        """Of a study that did not write down how it was begun."""
        return f"raysim run ... --out {shlex.quote(self.out)} --resume"

    def go_on(self, here: str | None = None) -> str:
        """The command for a shell in the folder `here`; the one in which the study began where None."""
        if not self.words:
            out = self.out if is_url(self.out) else str(Path(self.cwd) / self.out)
            return f"raysim.run(..., out={out!r}, resume=True)"
        there = "" if here in (None, self.cwd) else f"cd {shlex.quote(self.cwd)} && "
        return f"{there}{shlex.join(self.words)}"


def look(out: Path) -> str:
    """The command that shows the results in a folder."""
    return shlex.join(["raysim", "report", shown(out)])
