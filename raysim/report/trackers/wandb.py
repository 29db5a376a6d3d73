"""Weights & Biases: a run a trial, grouped by scenario, at a server or with `mode: offline` in files for `wandb sync`.

The key comes from WANDB_API_KEY or `wandb login`. The files of a trial are in its folder, under `wandb`. An offline run
that goes on is written anew in place of the old one, with the rounds that count.
"""

import importlib
import netrc
import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, StrictStr

from raysim.report.trackers.base import Begun, Run, Tracker, TrackerOptions

_KEYS = ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")


@dataclass
class _Live:
    """A run of wandb's and the steps that it was told."""

    run: Any
    steps: set[int] = field(default_factory=set[int])


class Wandb(Tracker):
    """Each trial's run has its own handle, so several may be under way."""

    class Options(TrackerOptions):
        """Where the runs are."""

        project: StrictStr = Field(default="raysim", min_length=1, description="What the runs are kept in.")
        entity: StrictStr | None = Field(default=None, description="Whose project; null: that of the key's owner.")
        mode: Literal["online", "offline"] | None = Field(
            default=None, description="Null: as WANDB_MODE says, or else online."
        )

    requires: ClassVar = {"wandb": "wandb"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._live: dict[str, _Live] = {}

    def ready(self) -> None:
        """A server wants a key, and would ask for it in the middle of the study."""
        if self._mode == "online" and not any(os.environ.get(key) for key in _KEYS) and not _in_netrc():
            raise ValueError(
                "Weights & Biases has no key; run 'wandb login', set WANDB_API_KEY, or write mode: offline"
            )

    def begin(self, run: Run) -> Begun:
        """Goes on after the steps that the server has; offline nothing is kept, since all is told again."""
        if run.id in self._live:
            return Begun(run.id, self._live[run.id].steps)
        id_ = run.id or uuid.uuid4().hex[:12]
        offline = self._mode != "online"
        if offline:
            for old in (run.folder / "wandb").glob(f"offline-run-*-{id_}"):
                shutil.rmtree(old)
        wandb: Any = importlib.import_module("wandb")
        wandb.setup(wandb.Settings(silent=True))  # or it writes between the lines of the terminal
        seconds = self.options.timeout_s
        settings = wandb.Settings(
            console="off", silent=True, disable_git=True, init_timeout=seconds, finish_timeout=seconds
        )
        made = wandb.init(
            project=self.options.project, entity=self.options.entity, id=id_, name=run.name, group=run.scenario,
            tags=[run.study[:64]], config=dict(run.parameters), dir=str(run.folder), mode=self._mode,
            resume=None if offline else "allow", reinit="create_new", settings=settings,
        )  # fmt: skip
        self._live[id_] = _Live(made, set(range(made.step)))
        return Begun(id_, self._live[id_].steps)

    def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """A row of the history."""
        live = self._live[run.id]
        live.run.log(dict(figures), step=step, commit=True)
        live.steps.add(step)

    def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The reported figures as the summary, and the files."""
        wandb = self._live.pop(run.id).run
        wandb.summary.update(dict(figures))
        for file in files:
            wandb.save(str(file.resolve()), base_path=str(file.resolve().parent), policy="now")
        wandb.finish(exit_code=0)

    def stop(self, run: Run, error: str) -> None:
        """The error as part of the summary."""
        wandb = self._live.pop(run.id).run
        if error:
            wandb.summary.update({"error": error})
        wandb.finish(exit_code=1)

    @property
    def _mode(self) -> str:
        return self.options.mode or os.environ.get("WANDB_MODE") or "online"


def _in_netrc() -> bool:
    """Whether `wandb login` has left a key."""
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).hostname or ""
    with suppress(OSError, netrc.NetrcParseError):
        return netrc.netrc(os.environ.get("NETRC")).authenticators(host) is not None
    return False
