"""What a finished trial keeps of its networks: one safetensors file, which says itself what is needed to use it.

Tensors are named `<group>/<parameter>`, as in the group's own `state_dict`; the entry `raysim` of the file's metadata
is JSON text. Nothing pickled is ever written or read.
"""

import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open

from raysim.data.codec import Codec
from raysim.data.dataset import Array, Dataset, Modality, Split
from raysim.data.scores import Scaling, Together
from raysim.data.seen import Seen
from raysim.method import Group
from raysim.scenario.model import CLIENTS, MODEL
from raysim.scenario.schema import Scenario
from raysim.version import VERSION

FORMAT = "raysim model 1"
_open: Any = safe_open  # only partly typed


class ModelError(ValueError):
    """A kept model cannot be used; one line: which, why, what to do."""


@dataclass(frozen=True)
class Kept:
    """A kept model as it was read.

    Attributes:
        path: its file.
        scenario, seed, trial: what trained it, and the trial's name.
        round, phase: when, and the number of the phase.
        modalities, classes, multi_label, scaling, targets: the data's.
        learnt: group -> whether anybody has trained it; others fill nothing in.
        groups: group -> the names of its tensors.
        weights: `<group>/<parameter>` -> array.
        versions: of raysim, torch and numpy then.
        private: group -> (P,), a client's own; see `of_client`.
        seen: modality -> what it was like in training; nothing where the file does not say it.
    """

    path: Path
    scenario: Scenario
    seed: int
    trial: str
    round: int
    phase: int
    modalities: Mapping[str, Modality]
    classes: tuple[str, ...]
    multi_label: bool
    scaling: Mapping[str, Scaling | Together]
    learnt: Mapping[str, bool]
    groups: Mapping[str, Sequence[str]]
    weights: Mapping[str, Array]
    versions: Mapping[str, str]
    targets: tuple[str, ...] = ()
    private: Mapping[str, Array] = field(default_factory=dict[str, Array])
    seen: Mapping[str, Seen] = field(default_factory=dict[str, Seen])

    def of_client(self, client: int) -> "Kept":
        """The same with a client's own groups, as they were after the last round.

        Raises:
            ModelError: none are kept of it.
        """
        file = self.path.with_name(CLIENTS)
        try:
            with np.load(file, allow_pickle=False) as opened:
                arrays: dict[str, Array] = dict(opened)
        except FileNotFoundError as error:
            why = "the trial had no evaluation.keep_private: true, or its method has no such groups"
            raise ModelError(f"{file}: is not there; {why}") from error
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise ModelError(f"{file}: cannot be read: {error}") from error
        own = {key.partition("/")[2]: array for key, array in arrays.items() if key.startswith(f"{client}/")}
        if not own:
            there = sorted({int(key.partition("/")[0]) for key in arrays})
            said = f"there are {len(there)}, from {there[0]} to {there[-1]}"
            raise ModelError(f"{file}: has nothing of client {client}; {said}")
        return replace(self, private=own)

    def dataset(self) -> Dataset:
        """The data's kind without its samples."""
        inputs = {m: np.zeros((0, *spec.shape), _dtype(spec)) for m, spec in self.modalities.items()}
        lengths = {m: np.zeros(0, np.int64) for m, spec in self.modalities.items() if spec.ordered}
        unlabelled = Split(inputs, np.zeros(0, np.int64), lengths)
        kind = (self.modalities, self.classes, self.multi_label)
        found = Dataset(*kind, unlabelled, unlabelled, unlabelled, targets=self.targets)
        empty = replace(unlabelled, labels=found.blank(0))
        return replace(found, train=empty, validation=empty, test=empty)

    def of_group(self, name: str, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Array]:
        """A group's tensors by the names of its parameters and buffers.

        Args:
            name: the group.
            shapes: what it has to have.

        Raises:
            ModelError: it has others.
        """
        if name not in self.groups:
            raise ModelError(f"{self.path}: has no group '{name}'; there are: {', '.join(self.groups)}")
        found = {n: self.weights[key(name, n)] for n in self.groups[name]}
        for n in dict.fromkeys([*shapes, *found]):
            here, there = shapes.get(n), found[n].shape if n in found else None
            if here != there:
                raise ModelError(
                    f"{self.path}: '{key(name, n)}' has {_said(there)} there, and {_said(here)} is needed; the model, "
                    "the method or the data is another one"
                )
        return {n: found[n] for n in shapes}


def read(path: Path) -> Kept:
    """A kept model.

    Args:
        path: its file, or the folder of a trial.

    Raises:
        ModelError: there is none, or it cannot be read.
    """
    file = path / MODEL if path.is_dir() else path
    if not file.exists():
        raise ModelError(f"{file}: there is no kept model; {_why(path)}")
    try:
        with _open(file, framework="numpy") as opened:
            notes: Mapping[str, str] = opened.metadata() or {}
            arrays: dict[str, Array] = {n: opened.get_tensor(n) for n in list(opened.keys())}
        said: dict[str, Any] = json.loads(notes.get("raysim", "{}"))
    except (SafetensorError, OSError, ValueError) as error:
        raise ModelError(f"{file}: cannot be read: {error}") from error
    if said.get("format") != FORMAT:
        found = said.get("format", "none of raysim's")
        raise ModelError(f"{file}: is of another format ({found}); raysim {VERSION} reads '{FORMAT}'")
    return Kept(
        path=file,
        scenario=Scenario.model_validate(said["scenario"]),
        modalities={m: _modality(spec) for m, spec in said["modalities"].items()},
        classes=tuple(said["classes"]),
        targets=tuple(said.get("targets", ())),
        scaling={m: _scaling(s) for m, s in said["scaling"].items()},
        seen={m: Seen(**spec) for m, spec in said.get("seen", {}).items()},
        weights=arrays,
        **{k: said[k] for k in ("seed", "trial", "round", "phase", "multi_label", "learnt", "groups", "versions")},
    )


def started(groups: Mapping[str, Group], path: Path, globs: Sequence[str]) -> dict[str, Group]:
    """The groups, with the weights of a kept model as their first ones where globs name a group that both have.

    Raises:
        ModelError: there is no such model, a glob names nothing, or shapes differ.
    """
    kept, found = read(path), dict(groups)
    both = [name for name in groups if name in kept.groups]
    for glob in globs:
        named = [name for name in both if name == glob or fnmatchcase(name, glob)]
        if not named:
            raise ModelError(f"{kept.path}: '{glob}' names no group that both have; these are: {', '.join(both)}")
        for name in named:
            net = groups[name].net
            tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
            floats = {n: t for n, t in tensors.items() if t.is_floating_point()}
            arrays = kept.of_group(name, {n: tuple(t.shape) for n, t in floats.items()})
            with torch.no_grad():
                for n, tensor in floats.items():
                    tensor.copy_(torch.from_numpy(arrays[n]))
            found[name] = replace(groups[name], pretrained=kept.learnt[name])
    return found


def _why(path: Path) -> str:
    if not path.exists():
        return "name the folder of a trial, or a model.safetensors"
    if any(path.glob(f"*/{MODEL}")) or any(path.glob(f"*/*/{MODEL}")):
        return "name the folder of one trial of this study"
    return "the trial is not finished, or had evaluation.keep_model: none"


def _modality(said: Mapping[str, Any]) -> Modality:
    codec = said["codec"]
    return Modality(said["kind"], tuple(said["shape"]), said["vocabulary"], codec and Codec(codec["json"]))


def _scaling(said: Mapping[str, Sequence[float]] | Together) -> Scaling | Together:
    return said if isinstance(said, str) else Scaling(**{k: np.array(v) for k, v in said.items()})


def _dtype(spec: Modality) -> type[Any]:
    return np.int64 if spec.kind == "tokens" else np.float32


def _said(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else f"the shape {tuple(shape)}"


def key(group: str, parameter: str) -> str:
    """A tensor's name in the file."""
    return f"{group}/{parameter}"
