"""Judges: for each modality a small classifier of real samples, which says what a made sample shows.

Coherence is the share of made samples that their judge puts into the right class; its 128 features serve for Fréchet
distances. Judges are trained centrally on the training split and know nothing of generators. What they make of real
test samples is the measure of what they make of others, so their own accuracy stands beside every number.

Source: Sutter, Daunhawer and Vogt, "Generalized Multimodal ELBO", 2021, measure coherence so; Adam, 1e-3, batches of
256 and 10 epochs are the published settings of MMVM. Small datasets need more, so that there are steps enough.

Shapes: B batch, C classes, T steps, D = 128 features.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import safetensors.torch
import torch
import torch.nn.functional as F
from pydantic import BaseModel, Field, StrictInt, ValidationError
from torch import Tensor, nn

from raysim import disk
from raysim.data.dataset import Array, DataError, Dataset, Modality, Split
from raysim.evaluation.metrics.accuracy import accuracy
from raysim.features._torch import one_thread
from raysim.models.encoder import Encoder, within
from raysim.models.encoders import DEFAULTS, build_encoder
from raysim.models.feature import Feature
from raysim.models.layers import Linear
from raysim.scenario.model import Encoder as Spec
from raysim.scenario.model import Model
from raysim.scenario.optimizer import Adam
from raysim.scenario.section import Count, Positive, Section
from raysim.seeding import derive, stream
from raysim.training.loading import load
from raysim.training.optimizers import stepper

FEATURES = 128
LONG = 64
"""Sequences of so many steps are halved three times before the recurrent layer."""
_VERSION = 1
"""Of how judges are trained: another one, and those that were kept are not read any more."""
_SEEN = 64
"""Test samples that tell one version of a dataset from another."""


class JudgeSettings(Section):
    """How judges are trained."""

    epochs: Count = Field(default=10, description="Passes over the training samples that have the modality.")
    least_steps: Count = Field(default=400, description="Small datasets are passed over until so many steps are done.")
    batch_size: Count = Field(default=256, description="Samples in a batch; at most a sixteenth of all.")
    lr: Positive = Field(default=1e-3, description="Learning rate of Adam.")
    seed: Annotated[StrictInt, Field(ge=0)] = Field(default=0, description="Of first weights, order and choice.")
    rows: Count | None = Field(default=None, description="Training samples at most, drawn at random; null for all.")


class Judge(nn.Module):
    """An encoder of the task models, the mean of its tokens, ReLU, and a linear head.

    It takes a modality's samples as batches have them: (B, *shape), images from 0 to 1, token ids; sequences may be
    shorter than those of the data.
    """

    def __init__(self, modality: Modality, classes: int) -> None:
        super().__init__()
        self.encoder = _encoder(modality)
        self.head = Linear(FEATURES, classes)

    def features(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """(B, *shape), lengths (B,) of sequences and tokens, None for full ones -> (B, 128), at least 0."""
        least = self.encoder.downsampling
        if least > 1 and x.shape[-2] < least:
            lengths = torch.full(x.shape[:-2], x.shape[-2], device=x.device) if lengths is None else lengths
            x = F.pad(x, (0, 0, 0, least - x.shape[-2]))
        return self.encoder(x, lengths).pooled().relu()

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits (B, C): of classes or, where samples have several labels, of each label."""
        return self.head(self.features(x, lengths))


@dataclass(frozen=True)
class Judges:
    """What judges a dataset; it can be pickled.

    Attributes:
        by_modality: modality -> its judge, in evaluation mode, on the CPU, without gradients.
        accuracy: modality -> the share of real test samples that it puts into the right class; of several labels the
            mean over these.
    """

    by_modality: Mapping[str, Judge]
    accuracy: Mapping[str, float]


def train_judges(dataset: Dataset, settings: JudgeSettings, modalities: Sequence[str] | None = None) -> Judges:
    """Trains a judge of each modality on all training samples that have it; in one thread, the same bits every time.

    Raises:
        DataError: there is no such modality, or no sample of a split has it.
    """
    names = dataset.names if modalities is None else tuple(modalities)
    judges, accuracy = dict[str, Judge](), dict[str, float]()
    for m in names:
        alone = dataset.only((m,))
        with one_thread():
            judges[m] = _trained(alone, settings)
            accuracy[m] = _accuracy(judges[m], alone)
    return Judges(judges, accuracy)


def judges_of(dataset: Dataset, key: str, settings: JudgeSettings, folder: Path) -> Judges:
    """The judges of all modalities, from `folder`/judges if they are there; else they are trained, and written there.

    What is damaged is trained again. Where another process writes, this one keeps its own, which are equal.

    Args:
        dataset: the real samples.
        key: names the dataset and all that decides it.
        settings: how they are trained.
        folder: such as the cache of the data.

    Raises:
        DataError: they cannot be trained.
        OSError: the folder cannot be written.
    """
    fresh = _fresh(dataset)
    path = folder / "judges" / f"{_digest(dataset, key, settings, fresh)}.safetensors"
    found = _read(path, fresh)
    if found is None:
        found = train_judges(dataset, settings)
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = disk.hold(path.parent / ".lock")
        if lock is not None:
            with closing(lock):
                _write(path, found)
    return found


def judged(dataset: Dataset) -> Dataset:
    """Of a dataset the modalities that have judges; tokens have none."""
    return dataset.only(tuple(m for m, spec in dataset.modalities.items() if spec.kind != "tokens"))


def unlearnt(dataset: Dataset) -> Judges:
    """Judges that have learnt nothing and take as long as others."""
    return Judges(_fresh(judged(dataset)), {})


class _Record(BaseModel):
    accuracy: dict[str, float]
    blake2b: str


def _encoder(modality: Modality) -> Encoder:
    kind, channels = DEFAULTS[modality.kind], None
    if modality.kind == "image":
        halvings = max(1, (min(modality.shape[1:]) // 3).bit_length() - 1)
        channels = tuple(min(16 * 2**i, 64) for i in range(halvings))
    elif modality.kind == "sequence" and modality.shape[0] >= LONG:
        kind = "conv_gru"
    spec = Spec.model_validate({"name": kind, "channels": channels})
    return build_encoder("judged", modality, Model(dim=FEATURES, dropout=0.0, encoders={"judged": spec}))


def _trained(dataset: Dataset, settings: JudgeSettings) -> Judge:
    """Of a dataset with one modality."""
    ((name, modality),) = dataset.modalities.items()
    rows = stream(settings.seed, "judge", name, "rows").permutation(_having(dataset, "train"))[: settings.rows]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(settings.seed, "judge", name) % 2**63)
        judge = Judge(modality, len(dataset.classes))
    named = dict(judge.named_parameters())
    weights = list(named.values())
    optimizer = stepper(Adam(name="adam", lr=settings.lr), named, {}, axis=False)
    size = min(settings.batch_size, max(1, len(rows) // 16))
    for epoch in range(max(settings.epochs, -(-settings.least_steps // -(-len(rows) // size)))):
        order = stream(settings.seed, "judge", name, epoch).permutation(rows)
        for part in np.split(order, range(size, len(order), size)):
            grads = torch.autograd.grad(_loss(judge, modality, *_samples(dataset, dataset.train, part)), weights)
            with torch.no_grad():
                optimizer.step(weights, grads, settings.lr)
    return judge.eval().requires_grad_(requires_grad=False)


def _loss(judge: Judge, modality: Modality, x: Tensor, lengths: Tensor | None, y: Tensor) -> Tensor:
    """Of a batch; of sequences also of their means, as sequences of one step: generators that pool them make these."""
    loss = F.binary_cross_entropy_with_logits if y.is_floating_point() else F.cross_entropy
    found = loss(judge(x, lengths), y)
    if modality.kind == "sequence" and lengths is not None:
        mean = Feature(x, within(lengths, x.shape[-2])).pooled().unsqueeze(-2)
        found = (found + loss(judge(mean), y)) / 2
    return found


def _accuracy(judge: Judge, dataset: Dataset) -> float:
    rows, chances = _having(dataset, "test"), list[Array]()
    for part in np.split(rows, range(256, len(rows), 256)):
        x, lengths, _ = _samples(dataset, dataset.test, part)
        chances.append(judge(x, lengths).sigmoid().numpy())
    return accuracy(np.concatenate(chances), dataset.test.labels[rows])


def _having(dataset: Dataset, split: str) -> Array:
    """The rows of a split that have the one modality."""
    rows = np.flatnonzero(dataset.split(split).presence(dataset.names).any(axis=1))
    if not len(rows):
        raise DataError(
            f"no {split} sample has '{dataset.names[0]}', so nothing can judge it; leave the modality out", "evaluation"
        )
    return rows


def _samples(dataset: Dataset, split: Split, rows: Array) -> tuple[Tensor, Tensor | None, Tensor]:
    """Inputs, lengths and labels of a dataset with one modality, exactly as networks get them in a batch."""
    (name,) = dataset.names
    samples = load(dataset, split, [rows], split.presence(dataset.names), torch.device("cpu"))
    lengths = samples.lengths.get(name)
    return samples.at(0)[name], None if lengths is None else lengths[0], samples.y[0]


def _fresh(dataset: Dataset) -> dict[str, Judge]:
    """Judges that have learnt nothing."""
    with torch.random.fork_rng(devices=[]):
        return {m: Judge(spec, len(dataset.classes)).eval() for m, spec in dataset.modalities.items()}


def _digest(dataset: Dataset, key: str, settings: JudgeSettings, fresh: Mapping[str, Judge]) -> str:
    """Other data, other settings or other networks have another one."""
    seen = [str(_VERSION), key, settings.model_dump_json(), repr(dataset.classes)]
    seen += [disk.digest(np.ascontiguousarray(s.labels).tobytes()) for s in (dataset.train, dataset.test)]
    for m, judge in fresh.items():
        seen += [f"{m} {n} {tuple(tensor.shape)}" for n, tensor in judge.state_dict().items()]
        x, _, _ = _samples(dataset.only((m,)), dataset.test, np.arange(min(_SEEN, len(dataset.test))))
        seen.append(disk.digest(x.numpy().tobytes()))
    return disk.digest("\n".join(seen).encode())


def _read(path: Path, fresh: Mapping[str, Judge]) -> Judges | None:
    """What was written; None where it is not there or not whole."""
    if not (path.is_file() and path.with_suffix(".json").is_file()):
        return None
    data = path.read_bytes()
    try:
        record = _Record.model_validate_json(path.with_suffix(".json").read_bytes())
    except ValidationError:
        return None  # damaged, so that it is made anew
    if record.blake2b != _sum(data, record.accuracy):
        return None
    tensors = safetensors.torch.load(data)
    for m, judge in fresh.items():
        judge.load_state_dict({n: tensors[f"{m}/{n}"] for n in judge.state_dict()})
        judge.requires_grad_(requires_grad=False)
    return Judges(fresh, record.accuracy)


def _write(path: Path, judges: Judges) -> None:
    tensors = {f"{m}/{n}": t for m, judge in judges.by_modality.items() for n, t in judge.state_dict().items()}
    data, accuracy = safetensors.torch.save(tensors), dict(judges.accuracy)
    disk.write(path, data)
    record = _Record(accuracy=accuracy, blake2b=_sum(data, accuracy))
    disk.write(path.with_suffix(".json"), record.model_dump_json(indent=1).encode())


def _sum(data: bytes, accuracy: Mapping[str, float]) -> str:
    """Of the weights and of what is said of them."""
    return disk.digest(data + json.dumps(dict(accuracy), sort_keys=True).encode())
