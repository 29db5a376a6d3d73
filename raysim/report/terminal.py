"""The live terminal: a screen made of the study's state, redrawn a few times a second, and the final tables."""

import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.control import Control
from rich.live import Live
from rich.table import Table as Grid
from rich.text import Text

from raysim.report.events import Event, StudyFinished, TrialFailed
from raysim.report.plain import ending, lasting, prefix, round_figures, silence
from raysim.report.results import Results
from raysim.report.state import State
from raysim.report.tables import Table, scenario_table
from raysim.report.text import bar, duration, encodable, number, size, sparkline

SIDE_BY_SIDE = 110
"""From this width on, clients stand beside the metrics."""
ROOMY = 28
"""From this height on, the trial's plan is shown, and blank lines part the sections."""
MANY = 50
"""Above this many clients a summary takes the place of their table."""
WARNINGS = 3
"""How many warnings stay on the screen; all are in the lines above it."""
_REFRESHES_PER_S = 8
_GAP = 2


class RichSink:
    """Shows a study on a terminal. On anything else it writes no control codes and only the lasting lines.

    Args:
        stream: the terminal.
        width, height: of the screen; the terminal's own, also when it is resized, where None.
    """

    def __init__(self, stream: TextIO, width: int | None = None, height: int | None = None) -> None:
        # rich asks a stream for no more than _Encodable has
        file = cast("IO[str]", _Encodable(stream))
        self._console = _Console(file=file, width=width, height=height, highlight=False, markup=False, emoji=False)
        self._state, self._lock = State(), threading.Lock()
        self._width = self._console.width
        self._live = Live(
            console=self._console, get_renderable=self._screen, refresh_per_second=_REFRESHES_PER_S, transient=True
        )

    def handle(self, event: Event) -> None:
        """Takes in one event; the screen follows at its own pace."""
        with self._lock:
            self._state.fold(event, time.monotonic())
        if isinstance(event, StudyFinished):
            self._live.stop()
            self._console.print(final(self._state.results, self._console.width))
            self._say([ending(self._state.results, event)], "bold")
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
            return render(self._state, time.monotonic(), width, height - 1)


def render(state: State, now: float, width: int, height: int) -> RenderableType:
    """The screen of a study under way; at most `height` lines of at most `width` cells.

    Args:
        state: what is known.
        now: the time by the clock that `state` was folded with.
        width: of the screen, in cells.
        height: of the screen, in lines.
    """
    head = [*_progress(state, now, width), *_trial(state, plan=height >= ROOMY)]
    foot = [*_machine(state, width), *(Text(f"! {w}", "yellow") for w in state.warnings[-WARNINGS:])]
    gap = 1 if height >= ROOMY else 0
    room = height - len(head) - len(foot) - 2 * gap
    if width >= SIDE_BY_SIDE:
        half = (width - 2 * _GAP) // 2
        body = Grid.grid(padding=(0, 2 * _GAP, 0, 0))
        body.add_column(width=half)
        body.add_column(width=half)
        body.add_row(_stacked(_metrics(state, half, room)), _stacked(_clients(state, room)))
        parts: list[RenderableType] = [*head, *[Text()] * gap, body, *[Text()] * gap, *foot]
    else:
        metrics = _metrics(state, width, room)
        clients = _clients(state, room - gap - len(metrics))
        parts = [*head, *[Text()] * gap, *metrics, *[Text()] * gap, *clients, *[Text()] * gap, *foot]
    return Group(*(_cut(part) for part in parts[:height]))


def final(results: Results, width: int) -> RenderableType:
    """The result tables: unmasked figures beside the test's where the width allows, else in a table of their own."""
    parts: list[RenderableType] = []
    for scenario in results.scenarios:
        found = [scenario_table(results, scenario)]
        if found[0] and _width(found[0], range(found[0].labels, len(found[0].header))) > width:
            found = [scenario_table(results, scenario, [split]) for split in ("test", "test_unmasked")]
        for table in found:
            if table is not None:
                parts += [Text(), Text.assemble((table.title, "bold"), f"  {table.caption}")]
                parts += [_grid(table, columns) for columns in _fitting(table, width)]
    return Group(*parts, Text())


def _progress(state: State, now: float, width: int) -> Iterator[Text]:
    trials = len(state.results.trials)
    failed = f", {len(state.results.failures)} failed" if state.results.failures else ""
    counts = [f"{state.trials_ended}/{trials} trials{failed}"]
    times = [f"{duration(now - state.began)}{_left(state.study_left_s(now))}"]
    shares = [state.study_share]
    if state.trial is not None:
        counts.append(f"{round(state.trial_share * state.trial.trial.rounds)}/{state.trial.trial.rounds} rounds")
        pace = "" if state.round_s is None else f"{duration(state.round_s)} a round"
        times.append(pace + _left(state.trial_left_s(now)))
        shares.append(state.trial_share)
    widest = max(map(len, counts))
    cells = min(max(width - 7 - widest - max(map(len, times)) - 2 * _GAP, 4), 40)
    for name, share, count, spent in zip(("study", "trial"), shares, counts, times, strict=False):
        yield Text.assemble(f"{name:<7}", (bar(share, cells), "cyan"), f"  {count:<{widest}}  {spent}")


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f", {duration(seconds)} left"


def _trial(state: State, *, plan: bool) -> list[Text]:
    if state.trial is None:
        return [Text("starting", "dim")]
    lines = [Text(prefix(state.results, state.trial.trial), "bold")]
    if plan:
        lines.append(Text(state.trial.plan, "dim"))
    if state.round:
        back, cohort = len(state.back), len(state.cohort)
        doing = f"{back} of {cohort} clients done" if back < cohort else "all clients done, aggregating and evaluating"
        lines.append(Text(f"round {state.round}, phase {state.phase}: {doing if state.running else 'finished'}"))
    if state.record:
        figures = "  ".join(round_figures(state.trial.trial, state.record))
        lines.append(Text(f"last round ({state.record['round']}): {figures}"))
    return lines


def _metrics(state: State, width: int, room: int) -> list[Text]:
    """A line a metric: its last values and how it went on the validation split."""
    if state.trial is None or not state.scores or room < 2:
        return []
    names = state.trial.trial.metrics[: room - 1]
    widest = max(len("metric"), *map(len, names))
    columns = [s.replace("test_unmasked", "unmasked") for s in state.scores]
    lines = [Text("  ".join([f"{'metric':<{widest}}", *(f"{c:>10}" for c in columns)]), "dim")]
    cells = min(width - widest - 12 * len(columns) - _GAP, 60)
    for name in names:
        values = [f"{number(s.get(name)):>10}" for s in state.scores.values()]
        curve = sparkline(state.history.get(name, []), cells)
        lines.append(Text.assemble("  ".join([f"{name:<{widest}}", *values, ""]), (curve, "green")))
    return lines


def _clients(state: State, room: int) -> list[Text]:
    """A line a client of the cohort as far as there is room, or a summary where they are many."""
    if not state.cohort or room < 2:
        return []
    if len(state.cohort) > MANY:
        return _summary(state)
    lines = [Text("client  state    samples    loss  seconds", "dim")]
    shown = state.cohort if len(state.cohort) <= room - 1 else state.cohort[: room - 2]
    for client in shown:
        done, report = client in state.back, state.reports.get(client)
        figures = (
            ""
            if report is None
            else f"{report.samples:>7}  {number(report.loss, 3):>6}  {number(report.seconds, 2):>7}"
        )
        state_of = ("done   ", "green") if done else ("pending", "yellow")
        # figures of an earlier round stay until the new ones come, in grey
        lines.append(Text.assemble(f"{client:>6}  ", state_of, "  ", (figures, "" if done else "dim")))
    if len(shown) < len(state.cohort):
        lines.append(Text(f"and {len(state.cohort) - len(shown)} more", "dim"))
    return lines


def _summary(state: State) -> list[Text]:
    reports = [state.reports[c] for c in state.cohort if c in state.back]
    if not reports:
        return [Text(f"{len(state.cohort)} clients, none done yet", "dim")]
    losses, seconds = [r.loss for r in reports], [r.seconds for r in reports]
    slowest = max(reports, key=lambda r: r.seconds)
    return [
        Text(f"{len(reports)} of {len(state.cohort)} clients done, {sum(r.samples for r in reports):,} samples"),
        Text(f"loss {number(sum(losses) / len(losses))}, from {number(min(losses))} to {number(max(losses))}"),
        Text(
            f"{sum(seconds) / len(seconds):.2f} s a client; slowest: client {slowest.client}, {slowest.seconds:.2f} s"
        ),
    ]


def _machine(state: State, width: int) -> list[Text]:
    """The machine in a line: bars where a share is known."""
    now = state.resources
    if now is None:
        return [Text(state.results.hardware, "dim")]
    cells = 10 if width >= SIDE_BY_SIDE else 5
    parts: list[Text] = []
    for name, used, all_ in (
        ("cpu", now.cpu, 1.0),
        ("gpu", now.gpu, 1.0),
        ("memory", now.memory_bytes, now.memory_capacity_bytes),
        ("store", now.object_store_bytes, now.object_store_capacity_bytes),
    ):
        if used is not None:
            share = used / all_ if all_ else None
            gauge = "" if share is None else f"{bar(share, cells)} "
            figure = f"{used:.0%}" if all_ == 1.0 else size(used)
            parts.append(
                Text.assemble(f"{name} ", (gauge, "red" if share is not None and share > 0.95 else "cyan"), figure)
            )
    return [Text("   ").join(parts)]


def _stacked(lines: Sequence[Text]) -> Group:
    return Group(*map(_cut, lines))


def _cut(part: RenderableType) -> RenderableType:
    """A line stays one line however narrow the screen is."""
    if isinstance(part, Text):
        part.no_wrap, part.overflow = True, "ellipsis"
    return part


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
