"""The live terminal: the study's screen, redrawn a few times a second, and the final tables."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from raysim.report.events import Event, StudyFinished, TrialFailed
from raysim.report.live.plain import ending, lasting, silence
from raysim.report.live.screen import render
from raysim.report.live.state import State
from raysim.report.reading.results import Results
from raysim.report.tables.generation import generation_table
from raysim.report.tables.tables import Table, scenario_table
from raysim.report.text import encodable

_REFRESHES_PER_S = 8
_GAP = 2


class RichSink:
    """Shows a study on a terminal. On anything else it writes no control codes and only the lasting lines.

    Args:
        stream: the terminal.
        width, height: of the screen; the terminal's own, also when it is resized, where None.
        clock: what time it is, in seconds.
    """

    def __init__(
        self, stream: TextIO, width: int | None = None, height: int | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        # rich asks a stream for no more than _Encodable has
        file = cast("IO[str]", _Encodable(stream))
        self._console = _Console(file=file, width=width, height=height, highlight=False, markup=False, emoji=False)
        self._state, self._lock, self._clock = State(), threading.Lock(), clock
        self._width = self._console.width
        self._live = Live(
            console=self._console, get_renderable=self._screen, refresh_per_second=_REFRESHES_PER_S, transient=True
        )

    def handle(self, event: Event) -> None:
        """Takes in one event; the screen follows at its own pace."""
        with self._lock:
            self._state.fold(event, self._clock())
        if isinstance(event, StudyFinished):
            self._live.stop()
            self._console.print(final(self._state.results, self._console.width))
            self._say(ending(self._state.results, event), "bold")
            return
        self._live.start()
        self._say(lasting(self._state.results, event), "red" if isinstance(event, TrialFailed) else "")

    def close(self) -> None:
        """Gives the terminal back."""
        self._live.stop()

    def _say(self, lines: Sequence[str], style: str) -> None:
        for line in lines:
            self._console.print(Text(line, style), soft_wrap=True)  # whole: a path can be copied

    def _screen(self) -> RenderableType:
        width, height = self._console.size
        if width < self._width and self._console.is_terminal:
            # The terminal has broken the old lines in two, and their height is no longer known.
            self._console.control(Control.home(), Control.clear())
        self._width = width
        with self._lock:
            return render(self._state, self._clock(), width, height - 1)


def final(results: Results, width: int) -> RenderableType:
    """The result tables: unmasked figures beside the test's where the width allows, else in a table of their own."""
    parts: list[RenderableType] = []
    for scenario in results.scenarios:
        found = [scenario_table(results, scenario)]
        if found[0] and _width(found[0], range(found[0].labels, len(found[0].header))) > width:
            found = [scenario_table(results, scenario, [split]) for split in ("test", "test_unmasked")]
        for table in (*found, generation_table(results, scenario)):
            if table is not None:
                parts += [Text(), Text.assemble((table.title, "bold"), f"  {table.caption}")]
                parts += [_grid(table, columns) for columns in _fitting(table, width)]
    return Group(*parts, Text())


def _width(table: Table, columns: Sequence[int]) -> int:
    shown = [*range(table.labels), *columns]
    return sum(max(len(line[j]) for line in (table.header, *table.lines)) + _GAP for j in shown) - _GAP


def _fitting(table: Table, width: int) -> Iterator[list[int]]:
    """The columns of figures, in as few tables as fit the width; each has at least one."""
    columns: list[int] = []
    for j in range(table.labels, len(table.header)):
        if columns and _width(table, [*columns, j]) > width:
            yield columns
            columns = []
        columns.append(j)
    yield columns


def _grid(table: Table, columns: Sequence[int]) -> RenderableType:
    grid = Grid(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="dim")
    shown = [*range(table.labels), *columns]
    for j in shown:
        grid.add_column(table.header[j], justify="left" if j < table.labels else "right", no_wrap=True)
    for i, line in enumerate(table.lines):
        grid.add_row(*(Text(line[j], "bold green" if (i, j) in table.best else "") for j in shown))
    return grid


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """The reader has gone (`| head`): the study goes on in silence."""
        self.quiet = True
        silence(cast("TextIO", self.file))


class _Encodable:
    """A stream that takes any text: what its encoding lacks is replaced by look-alikes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding

    def write(self, text: str) -> int:
        return self._stream.write(encodable(text, self.encoding))

    def flush(self) -> None:
        self._stream.flush()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()
