"""What authors' code prints in an actor: it is heard there, and told once, as lines of the study."""

import io
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout

from raysim.report.events import Printed

MOST_HEARD = 50
"""Different lines that a process keeps until it is asked for them."""
MOST_TOLD = 100
"""Different lines of a trial that are told."""
WIDTH = 300


class Ear(io.TextIOBase):
    """Takes the place of standard output in a process, and remembers lines, the same ones by their number."""

    def __init__(self) -> None:
        self._lines: dict[str, int] = {}
        self._open = ""

    @contextmanager
    def listening(self) -> Generator[None]:
        """What is printed in the block is heard, and goes nowhere else."""
        with redirect_stdout(self):
            yield

    def write(self, text: str, /) -> int:
        """Takes in some text."""
        *whole, last = f"{self._open}{text}".split("\n")
        self._open = last[: 2 * WIDTH]
        for line in whole:
            self._add(line)
        return len(text)

    def writable(self) -> bool:
        """It is."""
        return True

    def take(self) -> dict[str, int]:
        """The lines since the last time, and how often each was printed; they are forgotten."""
        self._add(self._open)
        found, self._lines, self._open = self._lines, {}, ""
        return found

    def _add(self, line: str) -> None:
        line = " ".join(line.split())
        line = line if len(line) <= WIDTH else f"{line[:WIDTH]} ..."
        if line and (line in self._lines or len(self._lines) < MOST_HEARD):
            self._lines[line] = self._lines.get(line, 0) + 1


class Voices:
    """Tells each line of a trial when it is new, and again when it has come ten, a hundred ... times."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def tell(self, who: str, said: Mapping[str, int]) -> Iterator[Printed]:
        """Events for what somebody printed; after `MOST_TOLD` different lines one that says so, and no more."""
        for line, times in said.items():
            before = self._counts.get(line, 0)
            if not before and len(self._counts) >= MOST_TOLD:
                if len(self._counts) == MOST_TOLD:
                    self._counts[""] = 1
                    yield Printed(f"more than {MOST_TOLD} different lines; those that follow are not shown", who)
                continue
            self._counts[line] = now = before + times
            if not before or len(str(now)) > len(str(before)):
                yield Printed(line, who, now)
