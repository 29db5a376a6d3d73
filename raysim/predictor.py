"""A trained trial, for use: predictions for new samples that lack modalities, without Ray.

Shapes: N samples, M modalities, C classes or targets of a regression, D the width of embeddings.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from raysim.batch import Batch, Nets
from raysim.data.dataset import Array, DataError, hint
from raysim.data.digest import data_digest
from raysim.data.federated import Federated, View
from raysim.data.given import given
from raysim.data.ragged import Pictures
from raysim.draws import undisturbed
from raysim.evaluation.scores import figures, score
from raysim.evaluation.slices import cut, slices
from raysim.models.feature import anything, pooled
from raysim.models.task import encode
from raysim.registry import UnknownNameError
from raysim.report.reading.copy import copied_trial
from raysim.report.reading.folder import FolderError
from raysim.scenario.check import import_paths
from raysim.scenario.errors import Place, ScenarioError
from raysim.scenario.model import CODE
from raysim.scenario.schema import Scenario
from raysim.scenario.trial import Source, Trial
from raysim.simulation.prepare import prepare
from raysim.training.context import Networks
from raysim.training.cost import private_asked
from raysim.training.job import Job
from raysim.training.keeping import networks
from raysim.training.kept import Kept, ModelError, read
from raysim.training.trainer import Trainer

Found = TypeVar("Found")
OUTPUTS_SHOWN = 10
NEW = "test"
"""Samples that are predicted stand in this split, so that its own samples get the same numbers again."""


class Unfit(ModelError):
    """New samples do not fit the model; one line, which names no file."""


def load(path: str | Path, client: int | None = None) -> "Predictor":
    """The networks that a finished trial kept.

    Args:
        path: the folder of a trial, or its `model.safetensors`; or the URL of one, which is copied then.
        client: the number of one whose own groups are taken (`evaluation.keep_private`); None: those of nobody, as the
            trial began, by which nothing is predicted that asks for them.

    Raises:
        ModelError: there is none, or it cannot be used here; one line.
    """
    try:
        kept = read(copied_trial(path))
    except FolderError as error:
        raise ModelError(str(error)) from error
    return Predictor(kept if client is None else kept.of_client(client))


class Predictor:
    """The networks of one trial, as its evaluation used them, on the CPU.

    Inputs are given by modality as the trial's dataset had them: vectors (N, D), sequences (N, T, D), images
    (N, C, H, W), uint8 or floats in [0, 1], tokens (N, T). Features that were standardised are so here: by the
    training samples, or, as the dataset says, each client's new samples together or each by itself. A modality that is
    not named is absent in all samples; what stands in rows where `present` is False is never read.

    Attributes:
        kept: what was read.
        modalities: name -> kind and shape of a sample.
        classes: their names; none of a regression.
        targets: the names of a regression's.
        scenario: what trained it.
    """

    def __init__(self, kept: Kept) -> None:
        """Builds the networks.

        Raises:
            ModelError: the method, its code or a file that it names is not here, or another one now.
        """
        self.kept, self.modalities, self.scenario = kept, kept.modalities, kept.scenario
        self.classes, self.targets = kept.classes, kept.targets
        self._trial = _trial(kept)
        try:
            self._paths = import_paths(self._trial)
            sys.path.extend(p for p in self._paths if p not in sys.path)
            # Public samples of the server fill in, so they are read again.
            self._data = prepare(self._trial).data if self.scenario.public else _without_samples(kept)
            self._job = Job(self._trial, self._data)
        except ScenarioError as error:
            raise ModelError(str(error)) from error  # it names the file
        except (UnknownNameError, ValueError, OSError) as error:
            raise ModelError(f"{kept.path}: {error}") from error
        self._refuse_changed_code()
        self._broadcast = networks(self._job, kept)
        self._trainer = Trainer(self._job)
        self._trainer.networks = _Networks(self._job, kept)
        self._lacking = [] if kept.private else private_asked(self._job)

    def __repr__(self) -> str:
        modalities = ", ".join(f"{m} ({spec.kind})" for m, spec in self.modalities.items())
        outputs = [*(self.targets or self.classes)]
        shown = ", ".join([*outputs[:OUTPUTS_SHOWN], *["…"] * (len(outputs) > OUTPUTS_SHOWN)])
        what = f"{'targets' if self.targets else 'classes'} {shown}, " if outputs else ""
        name, kept = self.scenario.method.name, self.kept
        return f"<Predictor {name}: modalities {modalities}; {what}round {kept.round} of {kept.trial}>"

    @property
    def networks(self) -> dict[str, nn.Module]:
        """Group -> network in evaluation mode."""
        return dict(self._trainer.networks.bind(self._trainer.networks.receive(self._broadcast)))

    def state_dicts(self) -> dict[str, dict[str, Tensor]]:
        """Group -> its parameters and buffers by name, for use without raysim."""
        groups = self.kept.groups.items()
        return {g: {n: torch.from_numpy(self.kept.weights[f"{g}/{n}"].copy()) for n in names} for g, names in groups}

    def predict(
        self, inputs: Mapping[str, Array | Pictures], present: Mapping[str, Array] | None = None,
        lengths: Mapping[str, Array] | None = None, clients: Array | None = None,
    ) -> Array:  # fmt: skip
        """Probabilities (N, C): of the classes, which add up to 1, or of each label where there are several.

        Of a regression the targets, (N, C) real numbers.

        Args:
            inputs: modality -> (N, *shape).
            present: modality -> (N,) bool; what is not named is there in all samples.
            lengths: modality -> (N,), valid steps of sequences and tokens; what is not named is full, and must be
                named where samples in training were not.
            clients: (N,) whose samples they are: matters with `standardize: client`; None: all are one client's.

        Raises:
            Unfit: inputs do not fit the model, or are on another scale than in training.
            ModelError: the method predicts no classes.
        """
        return self.probabilities(self.logits(inputs, present, lengths, clients))

    def probabilities(self, logits: Array) -> Array:
        """Of logits (N, C); those of a regression are what is predicted already."""
        if self.targets:
            return logits
        found = torch.from_numpy(logits)
        return (found.sigmoid() if self.kept.multi_label else found.softmax(-1)).numpy()

    def logits(
        self, inputs: Mapping[str, Array | Pictures], present: Mapping[str, Array] | None = None,
        lengths: Mapping[str, Array] | None = None, clients: Array | None = None,
    ) -> Array:  # fmt: skip
        """Logits (N, C); see `predict`."""
        self._needs_classes()
        self._job.data = self._of(inputs, present, lengths, clients)
        return np.concatenate([*self._sliced(self._logits)])

    def embed(
        self, inputs: Mapping[str, Array | Pictures], present: Mapping[str, Array] | None = None,
        lengths: Mapping[str, Array] | None = None, clients: Array | None = None,
    ) -> dict[str, Array]:  # fmt: skip
        """Modality -> (N, D), what the fusion sees of it, the mean over tokens.

        It is the embedding of what is there; else what the method puts in its place, and NaN where it puts nothing.
        """
        self._needs_classes()
        self._job.data = self._of(inputs, present, lengths, clients)
        return _joined(self._sliced(self._embedded))

    def fill(
        self, inputs: Mapping[str, Array | Pictures], present: Mapping[str, Array] | None = None,
        lengths: Mapping[str, Array] | None = None, clients: Array | None = None,
    ) -> dict[str, Array]:  # fmt: skip
        """What the method makes of modalities that are absent, as encoders read it: images in [0, 1].

        Returns:
            `x.<modality>` (N, *shape), NaN in rows where nothing is made; of sequences also `length.<modality>` (N,).

        Raises:
            Unfit: inputs do not fit the model.
            ModelError: the method makes no inputs; see `embed`.
        """
        if self._job.method.fills != "input":
            name = self.scenario.method.name
            raise ModelError(f"{self.kept.path}: {name} makes no inputs up; embed() has what it makes of embeddings")
        self._needs_own()
        self._job.data = self._of(inputs, present, lengths, clients)
        return _joined(self._sliced(self._filled))

    def evaluate(self) -> dict[str, dict[str, float | None]]:
        """The reported figures again, from the trial's own data: view -> metric -> value.

        Raises:
            ModelError: the data is not here, or nobody's own groups are.
        """
        self._needs_own()
        self._job.data = self._own()
        views = self._job.data.views
        parts = slices(views, self._width)
        with undisturbed():
            answers = [self._trainer.predict(self._broadcast, p.view, p.start, p.stop) for p in parts]
        return score(self._job.data, self.scenario, parts, answers)

    def own(self, view: str) -> tuple[Array, Array]:
        """Logits (N, C) and labels of the samples that count in `test`, `validation` or another view of its own data.

        Raises:
            ModelError: the data is not here, or there is no such view.
        """
        self._needs_classes()
        self._job.data = data = self._own()
        if view not in data.views:
            raise ModelError(f"{self.kept.path}: has no view '{view}'; {hint(view, data.views)}")
        logits, labels = (
            np.concatenate([*self._sliced(self._logits, view)]),
            data.dataset.split(data.views[view].split).labels,
        )
        counted = data.views[view].scored
        return (logits, labels) if counted is None else (logits[counted], labels[counted])

    def figures(self, logits: Array, labels: Array) -> dict[str, float | None]:
        """The scenario's metrics of logits (N, C), and the loss."""
        return figures(self.scenario, logits, labels, self.kept.dataset())

    def _own(self) -> Federated:
        if not len(self._data.dataset.train):
            try:
                self._data = prepare(self._trial).data
            except ScenarioError as error:
                raise ModelError(str(error)) from error  # it names the file
            then = _summary(self.kept.path).get("origin", {}).get("data")
            if then is not None and data_digest(self._data.dataset) != then:
                raise ModelError(f"{self.kept.path}: the data is another one now than the trial had; give new samples")
        return self._data

    def _refuse_changed_code(self) -> None:
        """Compares what was imported with the copies that the trial has."""
        copies = self.kept.path.parent / CODE
        imported = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
        for copy in sorted(copies.rglob("*.py")):
            for file in (Path(path) / copy.relative_to(copies) for path in self._paths):
                if str(file) in imported and file.read_bytes() != copy.read_bytes():
                    raise ModelError(f"{self.kept.path}: {file} has changed since; the trial had {copy}")

    @property
    def _width(self) -> int:
        return self.scenario.numerics.evaluation_batch

    def _sliced(self, work: Callable[[str, int, int], Found], view: str = NEW) -> Iterator[Found]:
        for part in cut(view, len(self._job.data.views[view]), self._width):
            with undisturbed():
                found = work(view, part.start, part.stop)
            yield found

    def _logits(self, view: str, start: int, stop: int) -> Array:
        return self._trainer.predict(self._broadcast, view, start, stop)

    @torch.no_grad()
    def _embedded(self, view: str, start: int, stop: int) -> dict[str, Array]:
        nets, batch = self._batch(view, start, stop)
        found: dict[str, Array] = {}
        self._job.seed("embed", view, start)
        for m, streams in self._job.method.fill(batch, nets, encode(nets, batch)).items():
            found[m] = torch.where(anything(streams)[:, None], pooled(streams), torch.nan).float().numpy()
        return found

    @torch.no_grad()
    def _filled(self, view: str, start: int, stop: int) -> dict[str, Array]:
        nets, batch = self._batch(view, start, stop)
        features = encode(nets, batch)
        heard = {f"task.{m}": _Hearing(nets[f"task.{m}"]) for m in self.modalities}
        self._job.seed("fill", view, start)
        streams = self._job.method.fill(batch, nets.replacing(heard), features)
        found: dict[str, Array] = {}
        for m, spec in self.modalities.items():
            shape = (stop - start, *spec.shape)
            x, lengths = heard[f"task.{m}"].given or (torch.zeros(shape), torch.zeros(stop - start))
            made = anything(streams[m]) & ~batch.present[m]
            full = torch.full(shape, torch.nan)
            full[:, : x.shape[1]] = torch.where(made.reshape(-1, *[1] * (x.dim() - 1)), x.float(), torch.nan)
            found[f"x.{m}"] = full.numpy()
            if spec.ordered:
                assert lengths is not None, "an encoder of sequences is given their lengths"
                found[f"length.{m}"] = torch.where(made, lengths, 0).long().numpy()
        return found

    def _batch(self, view: str, start: int, stop: int) -> tuple[Nets, Batch]:
        return self._trainer.evaluated(self._broadcast, self._job.data.views[view], np.arange(start, stop))

    def _needs_classes(self) -> None:
        if self._job.method.has("losses"):
            raise ModelError(f"{self.kept.path}: {self.scenario.method.name} has no task model and predicts nothing")
        self._needs_own()

    def _needs_own(self) -> None:
        if self._lacking:
            which = ", ".join(self._lacking)
            raise ModelError(f"{self.kept.path}: {which} stay with the clients; say whose, by client (--client)")

    def _of(
        self,
        inputs: Mapping[str, Array | Pictures],
        present: Mapping[str, Array] | None,
        lengths: Mapping[str, Array] | None,
        clients: Array | None,
    ) -> Federated:
        """New samples as the only ones that are evaluated."""
        count = len(next(iter(inputs.values()), ()))
        labels = self.kept.dataset().blank(count)
        arrays = {m: x if isinstance(x, Pictures) else np.asarray(x) for m, x in inputs.items()}
        try:
            split = given(
                self.modalities,
                arrays,
                present or {},
                lengths or {},
                labels,
                self.kept.scaling,
                clients,
                self.kept.seen,
            )
        except DataError as error:
            raise Unfit(str(error)) from error
        natural = split.presence(tuple(self.modalities))
        seen = View(NEW, self._job.method.observe(natural, natural, self._job.task))
        return replace(self._data, dataset=replace(self._data.dataset, test=split), views={NEW: seen})


class _Networks(Networks):
    """Which networks anybody has trained is known from the file, not from how they began."""

    def __init__(self, job: Job, kept: Kept) -> None:
        super().__init__(job)
        self._kept = kept

    def learnt(self, name: str, net: nn.Module) -> Tensor:
        return torch.tensor([self._kept.learnt.get(name, True)])


class _Hearing(nn.Module):
    """An encoder that remembers what it was given last."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder, self.given = encoder, None

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Any:
        self.given: tuple[Tensor, Tensor | None] | None = (x, lengths)
        return self.encoder(x, lengths)


def _summary(model: Path) -> dict[str, Any]:
    """What the trial says of itself; nothing where its model lies elsewhere by now."""
    path = model.with_name("summary.json")
    return json.loads(path.read_bytes()) if path.exists() else {}


def _trial(kept: Kept) -> Trial:
    said = kept.scenario.model_dump()
    said["numerics"]["device"], said["model"]["start"] = "cpu", None
    scenario = Scenario.model_validate(said)
    return Trial(scenario, kept.seed, {}, kept.trial, Source(kept.path, {"": Place(str(kept.path))}))


def _without_samples(kept: Kept) -> Federated:
    mask = np.zeros((0, len(kept.modalities)), dtype=bool)
    return Federated(kept.dataset(), mask, np.zeros(0, np.int64), np.zeros(1, np.int64), {})


def _joined(parts: Iterator[dict[str, Array]]) -> dict[str, Array]:
    tables = list(parts)
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
