"""Which sinks a run has."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from raysim.registry import find, options
from raysim.report.events import Event, Sink
from raysim.report.files import FileSink
from raysim.report.live.plain import PlainSink
from raysim.report.trackers.sink import TrackingSink
from raysim.scenario.section import Component

Progress = Literal["auto", "rich", "plain", "none"]


def open_sinks(progress: Progress, out: Path, tracking: Mapping[str, Sequence[Component]] | None = None) -> list[Sink]:
    """The file sink always, first, so that files exist when others name them; then trackers; then the terminal's.

    Args:
        progress: `auto` is `rich` on a terminal that can move the cursor and `plain` elsewhere.
        out: the study's folder.
        tracking: scenario -> its trackers; each is opened once for all scenarios that want the same of it.
    """
    terminal = _terminal(progress)

    def tell(event: Event) -> None:
        for sink in terminal:
            sink.handle(event)

    return [FileSink(out), *_trackers(tracking or {}, out, tell), *terminal]


def _terminal(progress: Progress) -> list[Sink]:
    if progress == "auto":
        progress = "rich" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "plain"
    if progress == "rich":
        from raysim.report.live.terminal import RichSink  # rich is only loaded where it is used

        return [RichSink(sys.stdout)]
    return [PlainSink(sys.stdout)] if progress == "plain" else []


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
