"""Which sinks a run has."""

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from raysim.registry import find, options
from raysim.report.events import Event, Sink
from raysim.report.files import FileSink
from raysim.report.live.again import Again
from raysim.report.live.journal import JournalSink
from raysim.report.live.plain import FailuresSink, PlainSink
from raysim.report.mirror import Mirror, MirrorSink
from raysim.report.trackers.sink import TrackingSink
from raysim.scenario.section import Component

Progress = Literal["auto", "rich", "plain", "none"]


def open_sinks(
    progress: Progress,
    out: Path,
    tracking: Mapping[str, Sequence[Component]] | None = None,
    again: Again | None = None,
    mirror: Mirror | None = None,
) -> list[Sink]:
    """The file sink always, first, so that files exist when others name them; the journal; trackers; the terminal's.

    Args:
        progress: `auto` is `rich` on a terminal that can move the cursor and `plain` elsewhere; `none` says failures.
        out: the study's folder.
        tracking: scenario -> its trackers; each is opened once for all scenarios that want the same of it.
        again: how to go on with the study; by Python where None.
        mirror: keeps a URL equal to the folder; it is told before the terminal, which so says the end when all is sent.
    """
    terminal = screen(progress)
    journal = JournalSink(out, again or Again.here(out), terminal.handle)

    def tell(event: Event) -> None:
        journal.handle(event)
        terminal.handle(event)

    sent = [] if mirror is None else [MirrorSink(mirror, tell)]
    return [FileSink(out), journal, *_trackers(tracking or {}, out, tell), *sent, terminal]


def screen(progress: Progress, clock: Callable[[], float] = time.monotonic) -> Sink:
    """What shows a study on the standard streams, by a clock in seconds."""
    if progress == "rich" or (progress == "auto" and movable()):
        from raysim.report.live.terminal import RichSink  # rich is only loaded where it is used

        return RichSink(sys.stdout, clock=clock)
    return FailuresSink(sys.stderr) if progress == "none" else PlainSink(sys.stdout)


def movable() -> bool:
    """Whether standard output is a terminal that can move the cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _trackers(
    tracking: Mapping[str, Sequence[Component]], out: Path, tell: Callable[[Event], None]
) -> list[TrackingSink]:
    different: list[tuple[Component, list[str]]] = []
    for scenario, components in tracking.items():
        for component in components:
            scenarios = next((s for c, s in different if c == component), None)
            if scenarios is None:
                different.append((component, [scenario]))
            else:
                scenarios.append(scenario)
    kinds = [(c, find("tracker", c.name), scenarios) for c, scenarios in different]
    return [TrackingSink(c.name, kind(options(kind, c.options)), s, out, tell) for c, kind, s in kinds]
