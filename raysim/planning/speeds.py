"""The speeds of a study's trials: measured here, or by another machine, which wrote them to a file.

The file is JSON, as `File` has it. A trial is found by its work: all settings that change how long a sample or an
evaluation takes, and the sizes of the data; so rounds, seeds, placement and the paths of data may differ.
"""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from raysim import disk
from raysim.data.arrays import SPLITS
from raysim.engine.machine import this_machine
from raysim.planning.outline import Ready
from raysim.planning.speed import Speed, measured, own_bytes
from raysim.report.text import label
from raysim.scenario.identity import settings
from raysim.version import VERSION

HERE = "here"
_TORCH = str(torch.__version__)


class SpeedsError(ValueError):
    """A file of speeds cannot be read, or lacks a trial; one line."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Entry(_Part):
    """What was measured of a trial: `scenario`, `grid` and `seed` name it, `work` is its digest, the rest a `Speed`."""

    scenario: str
    grid: Mapping[str, str]
    seed: int
    work: str
    sample_s: tuple[float, ...]
    evaluation_s: float
    working_bytes: int
    shared: tuple[int, ...]
    device: Literal["cpu", "cuda"]
    device_bytes: int

    @property
    def speed(self) -> Speed:
        """The measurement."""
        return Speed(
            self.sample_s, self.evaluation_s, self.working_bytes, self.shared, self.device, self.device_bytes
        )  # fmt: skip


class File(_Part):
    """What a machine measured: its name, its cores and GPUs, versions, the bytes of a process, and the trials."""

    format: Literal["raysim speeds 2"] = "raysim speeds 2"
    machine: str
    cpus: float
    gpus: float
    gpu: str
    raysim: str
    torch: str
    process_bytes: int
    trials: tuple[Entry, ...]


class Meter:
    """Measures in this process; made before anything is loaded.

    Args:
        machine: as `Speeds` has it.
    """

    def __init__(self, machine: str = HERE) -> None:
        self.machine, self.process_bytes, self._begun = machine, own_bytes(), False
        self._entries: list[Entry] = []

    def of(self, ready: Ready) -> Speed:
        """Does a little of a trial's work.

        Raises:
            ClientFailure: the method's code raised.
        """
        if not self._begun:  # what libraries take when they are first used is every process's
            before, self._begun = own_bytes(), True
            measured(ready.job(), ready.info)
            self.process_bytes += max(own_bytes() - before, 0)
        speed, info = measured(ready.job(), ready.info), ready.info
        named = {"scenario": info.scenario, "grid": dict(info.grid), "seed": info.seed, "work": work(ready)}
        self._entries.append(Entry(**named, **asdict(speed)))
        return speed

    def save(self, path: Path) -> None:
        """Writes what was measured.

        Raises:
            OSError: it cannot be written.
        """
        (node,) = this_machine().nodes
        found = File(
            machine=platform.node() or HERE, cpus=node.cpus, gpus=node.gpus, gpu=node.gpu, raysim=VERSION, torch=_TORCH,
            process_bytes=self.process_bytes, trials=tuple(self._entries),
        )  # fmt: skip
        disk.write(path, found.model_dump_json(indent=1).encode() + b"\n")


class Recorded:
    """Speeds of a file."""

    def __init__(self, path: Path) -> None:
        """Reads it.

        Raises:
            SpeedsError: it cannot be read, or is none.
        """
        self._path = path
        try:
            self._file = File.model_validate_json(path.read_bytes())
        except OSError as error:
            raise SpeedsError(f"{path}: {error.strerror or error}") from error
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            said = ": ".join(word for word in (".".join(map(str, first["loc"])), first["msg"]) if word)
            raise SpeedsError(f"{path}: {said}; it must be what raysim plan --save-speeds writes") from error
        found = self._file
        gpu = f" ({found.gpus:g} {found.gpu or 'GPU'})" if found.gpus else ""
        versions = f" by raysim {found.raysim} and torch {found.torch}"
        same = (found.raysim, found.torch) == (VERSION, _TORCH)
        self.machine = f"on {found.machine}{gpu}{'' if same else versions}"
        self.process_bytes = found.process_bytes

    def of(self, ready: Ready) -> Speed:
        """Of the same work; of the same seed, if there is one.

        Raises:
            SpeedsError: there are none.
        """
        wanted, info = work(ready), ready.info
        found = [entry for entry in self._file.trials if entry.work == wanted]
        if found:
            return next((entry for entry in found if entry.seed == info.seed), found[0]).speed
        named = " ".join(word for word in (info.scenario, label(info.grid)) if word)
        like = any((e.scenario, e.grid) == (info.scenario, info.grid) for e in self._file.trials)
        what = "has other settings or data there" if like else "is not in it"
        raise SpeedsError(f"{self._path}: {named} {what}; measure it with raysim plan --save-speeds")


def work(ready: Ready) -> str:
    """A digest of what decides how long a trial's samples and evaluations take, and what they need."""
    said: dict[str, Any] = settings(ready.trial)
    for key in ("name", "seeds"):
        del said[key]
    for section, keys in (
        ("dataset", ("path", "cache")),
        ("federation", ("rounds", "clients_per_round", "faults")),
        ("evaluation", ("every_rounds", "select", "metric")),
        ("numerics", ("device",)),
    ):
        said[section] = {key: value for key, value in said[section].items() if key not in keys}
    dataset = ready.data.dataset
    said["rows"] = [len(dataset.split(name)) for name in SPLITS]
    said["shapes"] = {name: modality.shape for name, modality in dataset.modalities.items()}
    return disk.digest(json.dumps(said, sort_keys=True).encode())
