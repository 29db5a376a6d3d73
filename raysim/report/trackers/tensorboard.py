"""TensorBoard: an event file a trial, in its folder; `tensorboard --logdir DIR` shows the study in DIR.

Figures are scalars by round, parameters are those of the HParams tab, the scenario and the report are texts. A run that
goes on gets a new file instead of the old one, with the rounds that count.
"""

import importlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, StrictStr

from raysim.report.trackers.base import Begun, Run, Tracker, TrackerOptions

_OURS = "events.out.tfevents.*.raysim"
_TEXTS = (".md", ".yaml")


class Tensorboard(Tracker):
    """One file of records for each run; it is open only while something is written, so any number may be under way."""

    class Options(TrackerOptions):
        """Where the files are."""

        logdir: StrictStr | None = Field(
            default=None,
            description="A folder for several studies, which gets <study>/<scenario>/<trial>; null: the trial's own.",
        )

    requires: ClassVar = {"tensorboard": "tensorboard"}

    def __init__(self, options: Any) -> None:
        super().__init__(options)
        self._files: dict[str, Path] = {}

    def begin(self, run: Run) -> Begun:
        """A new file with the parameters; earlier ones are removed, so all rounds are told again."""
        folder = self._folder(run)
        folder.mkdir(parents=True, exist_ok=True)
        earlier = sorted(folder.glob(_OURS))
        last = max((int(path.name.split(".")[3]) for path in earlier), default=0)
        path = folder / _OURS.replace("*", str(max(time.time_ns(), last + 1)))  # readers go from name to name
        self._write(path, file_version="brain.Event:2")
        hparams: Any = importlib.import_module("tensorboard.plugins.hparams.summary_v2")
        self._write(path, summary=hparams.hparams_pb(dict(run.parameters), trial_id=f"{run.scenario}/{run.name}"))
        for old in earlier:
            old.unlink()
        self._files[str(folder)] = path
        return Begun(str(folder))

    def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """One event with all of a round's scalars."""
        values = [{"tag": name, "simple_value": value} for name, value in figures.items()]
        self._write(self._files[run.id], step=step, summary={"value": values})

    def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The reported figures, at the reported round, and the texts; other files are not for TensorBoard."""
        self.log(run, int(figures["reported/round"]), figures)
        for file in files:
            self.attach(run, file)
        self._end(run, "STATUS_SUCCESS")

    def attach(self, run: Run, file: Path) -> None:
        """A text; of a newer one both are kept, and the last is shown."""
        if file.suffix in _TEXTS:
            text: Any = importlib.import_module("tensorboard.plugins.text.summary_v2")
            content = file.read_text(encoding="utf-8")
            shown = content if file.suffix == ".md" else "".join(f"    {line}\n" for line in content.splitlines())
            self._write(self._files[run.id], summary=text.text_pb(file.name, shown))

    def stop(self, run: Run, error: str) -> None:
        """A failure as a text; a run that can go on is left as it is."""
        if error:
            text: Any = importlib.import_module("tensorboard.plugins.text.summary_v2")
            self._write(self._files[run.id], summary=text.text_pb("error", error))
            self._end(run, "STATUS_FAILURE")

    def _end(self, run: Run, status: str) -> None:
        """The end of the HParams tab's session; the plugin's own function for it wants TensorFlow."""
        metadata: Any = importlib.import_module("tensorboard.plugins.hparams.metadata")
        plugin: Any = importlib.import_module("tensorboard.plugins.hparams.plugin_data_pb2")
        data = plugin.HParamsPluginData(session_end_info={"status": status, "end_time_secs": time.time()})
        value = {
            "tag": metadata.SESSION_END_INFO_TAG,
            "metadata": metadata.create_summary_metadata(data),
            "tensor": metadata.NULL_TENSOR,
        }
        self._write(self._files[run.id], summary={"value": [value]})

    def _folder(self, run: Run) -> Path:
        logdir = self.options.logdir
        return run.folder if logdir is None else Path(logdir, run.study, run.scenario, run.name)

    def _write(self, path: Path, step: int = 0, **content: Any) -> None:
        """One event at the file's end, on its way at once."""
        records: Any = importlib.import_module("tensorboard.summary.writer.record_writer")
        events: Any = importlib.import_module("tensorboard.compat.proto.event_pb2")
        with path.open("ab") as file:
            event = events.Event(wall_time=time.time(), step=step, **content)
            records.RecordWriter(file).write(event.SerializeToString())
