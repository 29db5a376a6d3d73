"""Trackio: a run a trial, grouped by scenario, in a local database that `trackio show` shows, or at a server.

Where that is, TRACKIO_DIR, TRACKIO_SERVER_URL and TRACKIO_SPACE_ID say. Files are not kept, but for texts.
"""

import contextlib
import importlib
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, StrictStr

from raysim.report.trackers.base import Begun, Run, Tracker, TrackerOptions

_TEXTS = (".md", ".yaml")


class Trackio(Tracker):
    """The interface is that of Weights & Biases in part; runs go on by their names, which have the study's in them."""

    class Options(TrackerOptions):
        """Where the runs are."""

        project: StrictStr = Field(default="raysim", min_length=1, description="What the runs are kept in.")

    requires: ClassVar = {"trackio": "trackio"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._live: dict[str, tuple[Any, set[int]]] = {}

    def begin(self, run: Run) -> Begun:
        """Goes on after the steps that are there."""
        if run.id in self._live:
            return Begun(run.id, self._live[run.id][1])
        trackio: Any = importlib.import_module("trackio")
        with contextlib.redirect_stdout(io.StringIO()):  # it would write between the lines of the terminal
            made = trackio.init(
                project=self.options.project, name=f"{run.study} {run.name}", group=run.scenario, embed=False,
                config=dict(run.parameters), resume="allow" if run.id else "never", auto_log_gpu=False,
                auto_log_cpu=False,
            )  # fmt: skip
        self._live[made.id] = made, set(range(made._next_step))
        return Begun(made.id, self._live[made.id][1])

    def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """A row of the run's table."""
        made, steps = self._live[run.id]
        made.log(dict(figures), step=step)
        steps.add(step)

    def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """One more row with what is reported, since there is no summary, and the texts."""
        made, steps = self._live[run.id]
        texts = {file.name: file.read_text(encoding="utf-8") for file in files if file.suffix in _TEXTS}
        made.log({**figures, **texts}, step=max(steps, default=0) + 1)
        self._end(run)

    def stop(self, run: Run, error: str) -> None:
        """The error in a row of its own."""
        made, steps = self._live[run.id]
        if error:
            made.log({"error": error}, step=max(steps, default=0) + 1)
        self._end(run)

    def _end(self, run: Run) -> None:
        made, _ = self._live.pop(run.id)
        with contextlib.redirect_stdout(io.StringIO()):
            made.finish()
