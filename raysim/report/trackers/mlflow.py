"""MLflow: a run a trial in an experiment of the scenario's name, in a local database or at a server.

Without `uri` it is what MLFLOW_TRACKING_URI says, or else mlflow.db where one works, which `mlflow ui` shows. What a
server wants to know of who one is comes from MLflow's own variables, such as MLFLOW_TRACKING_TOKEN.
"""

import importlib
import logging
import os
import re
import time
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from pydantic import Field, StrictStr, field_validator

from raysim.report.trackers.base import Begun, Run, Tracker, TrackerOptions
from raysim.version import VERSION

_BATCH = {"metrics": 1000, "params": 100}
"""So many MLflow takes at once."""
_SIGNS = str.maketrans({">": ":", "+": "."})
_LONGEST = 6000
RETRIES = 3


class Mlflow(Tracker):
    """Runs are addressed by their ids alone, so several may be under way."""

    class Options(TrackerOptions):
        """Where the runs are."""

        uri: StrictStr | None = Field(
            default=None, description="A server (http://…), a database, or a file such as mlflow.db; null: see above."
        )
        experiment: StrictStr | None = Field(default=None, description="Null: the scenario's name.")

        @field_validator("uri")
        @classmethod
        def usable(cls, uri: str | None) -> str | None:
            """Neither a folder, which MLflow gave up, nor something that is secret."""
            if uri is not None and uri.startswith("file:"):
                raise ValueError("is a folder of files, which MLflow has given up; write a file such as mlflow.db")
            if uri is not None and urlsplit(uri).password:
                raise ValueError("has a password; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead")
            return uri

    requires: ClassVar = {"mlflow": "mlflow", "sqlalchemy": "mlflow", "alembic": "mlflow"}

    def begin(self, run: Run) -> Begun:
        """Finds the run again, if it is there, or makes one."""
        found = self._found(run.id) if run.id else None
        if found is None:
            tags = {"raysim.study": run.study, "raysim.scenario": run.scenario, "raysim.version": VERSION}
            found = self._client.create_run(self._experiment(run), run_name=run.name, tags=tags)
        else:
            self._client.update_run(run.id, status="RUNNING")
        known = found.data.params
        params = [(_name(k), str(v)[:_LONGEST]) for k, v in run.parameters.items() if _name(k) not in known]
        self._batch(found.info.run_id, "params", [self._entities.Param(name, text) for name, text in params])
        steps = {metric.step for metric in self._client.get_metric_history(found.info.run_id, "round")}
        return Begun(found.info.run_id, steps)

    def log(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        """A round's figures, `round` last, which says that they are all there."""
        self._metrics(run, step, {**figures, "round": step})

    def finish(self, run: Run, figures: Mapping[str, float], files: Sequence[Path]) -> None:
        """The reported figures, at the reported round, and the files as artefacts."""
        known = self._client.get_run(run.id).data.metrics
        self._metrics(run, int(figures["reported/round"]), {n: v for n, v in figures.items() if _name(n) not in known})
        for file in files:
            self.attach(run, file)
        self._client.set_terminated(run.id, "FINISHED")

    def attach(self, run: Run, file: Path) -> None:
        """An artefact; a newer one of a name takes the place of the older."""
        self._client.log_artifact(run.id, str(file))

    def stop(self, run: Run, error: str) -> None:
        """The error as a tag."""
        if error:
            self._client.set_tag(run.id, "error", error[:_LONGEST])
        self._client.set_terminated(run.id, "FAILED" if error else "KILLED")

    @cached_property
    def _client(self) -> Any:
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", str(RETRIES))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(max(1, round(self.options.timeout_s / RETRIES))))
        for name in ("mlflow", "alembic"):  # they tell of every table that they make
            logging.getLogger(name).setLevel(logging.ERROR)
        return importlib.import_module("mlflow.tracking").MlflowClient(tracking_uri=self._uri)

    @cached_property
    def _entities(self) -> Any:
        return importlib.import_module("mlflow.entities")

    @cached_property
    def _uri(self) -> str:
        uri = self.options.uri or os.environ.get("MLFLOW_TRACKING_URI") or "mlflow.db"
        return uri if ":" in uri or uri == "databricks" else f"sqlite:///{Path(uri).resolve()}"

    def _found(self, id_: str) -> Any:
        """A run that is there and was not deleted."""
        errors: Any = importlib.import_module("mlflow.exceptions")
        try:
            run = self._client.get_run(id_)
        except errors.MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return None
        return run if run.info.lifecycle_stage == "active" else None

    def _experiment(self, run: Run) -> str:
        name = self.options.experiment or run.scenario
        if (found := self._client.get_experiment_by_name(name)) is not None:
            return found.experiment_id
        local = (
            Path(self._uri.removeprefix("sqlite:///")).parent / "mlruns" if self._uri.startswith("sqlite:///") else None
        )
        return self._client.create_experiment(name, None if local is None else local.resolve().as_uri())

    def _metrics(self, run: Run, step: int, figures: Mapping[str, float]) -> None:
        now = int(1000 * time.time())
        made = [self._entities.Metric(_name(name), value, now, step) for name, value in figures.items()]
        self._batch(run.id, "metrics", made)

    def _batch(self, id_: str, kind: str, values: Sequence[Any]) -> None:
        for at in range(0, len(values), _BATCH[kind]):
            self._client.log_batch(id_, **{kind: values[at : at + _BATCH[kind]]})


def _name(name: str) -> str:
    """A name as MLflow takes it: `generation/a+b>c/mse` is `generation/a.b:c/mse`."""
    return re.sub(r"[^\w/.: -]", "_", name.translate(_SIGNS))
