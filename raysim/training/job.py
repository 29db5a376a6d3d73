"""A trial as every process holds it: the method, its groups and stages, the algorithm and the data."""

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysim import registry
from raysim.algorithms.base import Algorithm
from raysim.data.dataset import Array, Dataset
from raysim.data.federated import ClientInfo, Federated
from raysim.draws import seed_globally, undisturbed
from raysim.evaluation import measured
from raysim.evaluation.slices import pictured
from raysim.generation.judges import Judges
from raysim.generation.plan import measured_rows
from raysim.method import Adam, Compute, Group, Method, Optimizer, Phase, Task, Train, everyone
from raysim.models.encoder import fixed_tensors
from raysim.models.layers import obstacle
from raysim.scenario.functions import Function
from raysim.scenario.schema import LOSS, Scenario
from raysim.scenario.trial import Trial
from raysim.seeding import derive
from raysim.training.augment import own_augments
from raysim.training.kept import started
from raysim.training.layout import Layout


class Job:
    """Everything that is fixed for a trial. Built alike on the server and in every client actor."""

    def __init__(self, trial: Trial, data: Federated, judges: Judges | None = None) -> None:
        """The judges are of the dataset (`raysim.engine.judging`), where generation is measured."""
        torch.set_num_threads(trial.scenario.numerics.threads)
        _set_tf32(allowed=trial.scenario.numerics.precision != "float32")
        self.trial, self.data, self.judges = trial, data, judges
        self.method = method_of(trial.scenario)
        self.task = task_of(trial.scenario, data.dataset)
        algorithm = trial.scenario.federation.algorithm
        kind = registry.find("algorithm", algorithm.name)
        options, compat = registry.options(kind, algorithm.options), trial.scenario.compat is not None
        self.algorithm: Algorithm = kind(options, compat=compat)
        with undisturbed():
            seed_globally(derive(trial.seed, "init"))
            self.groups: dict[str, Group] = groups_of(self.method, self.task)
            self.phases: tuple[Phase, ...] = self.method.phases(self.task)
        self._owners: dict[str, Array] = {}
        self._matching: dict[tuple[str, ...], tuple[str, ...]] = {}
        self.layouts = {name: Layout.of(group.net) for name, group in self.groups.items()}

    @property
    def scenario(self) -> Scenario:
        """The resolved scenario."""
        return self.trial.scenario

    @cached_property
    def device(self) -> torch.device:
        """Where this process computes."""
        return torch.device(self.scenario.numerics.device)

    def seed(self, *ids: int | str) -> None:
        """From here on, what authors' code draws from the global generators of torch, numpy and Python depends on ids.

        So it is the same in whatever process the code runs, and whatever has run there before. Clients of one stack
        draw together, and so other numbers than in another stack; `Batch.draws` gives each client its own.
        """
        seed_globally(derive(self.trial.seed, "global", *ids), self.device)

    @cached_property
    def shared(self) -> tuple[str, ...]:
        """The groups that travel: not private, and with something in them."""
        return tuple(n for n, g in self.groups.items() if g.shared and self.layouts[n].size)

    @cached_property
    def frozen(self) -> Mapping[str, int]:
        """Shared group -> elements that never change: they travel once to each client that the group reaches."""
        sizes = {n: sum(t.numel() for t in fixed_tensors(g.net).values()) for n, g in self.groups.items() if g.shared}
        return {n: size for n, size in sizes.items() if size}

    def rounds_of(self, phase: Phase) -> int:
        """How many rounds a phase lasts."""
        return rounds_of(phase, self.scenario)

    def rate(self, optimizer: Optimizer, round_: int) -> float:
        """An optimiser's learning rate in a round, which is counted from 1 over all phases: before local schedules."""
        at, length = round_ - 1, 0
        for phase in self.phases:
            at, length = at - length, self.rounds_of(phase)
            if at < length:
                break
        return optimizer.schedule.rate(optimizer.lr, at, length)

    @cached_property
    def rounds(self) -> int:
        """Rounds of all phases."""
        return sum(self.rounds_of(p) for p in self.phases)

    def matching(self, globs: tuple[str, ...]) -> tuple[str, ...]:
        """The groups that some globs name, in the order of the groups.

        What is a group's name as it stands means that group alone: names from data may hold brackets and stars.

        Raises:
            ValueError: a glob names no group: a mistake in the method.
        """
        if globs not in self._matching:
            found: set[str] = set()
            for glob in globs:
                named = {glob} if glob in self.groups else {name for name in self.groups if fnmatchcase(name, glob)}
                if not named:
                    raise ValueError(f"no group matches '{glob}'; there are: {', '.join(self.groups)}")
                found |= named
            self._matching[globs] = tuple(name for name in self.groups if name in found)
        return self._matching[globs]

    def owners(self, name: str) -> Array:
        """(clients,) bool: who owns a group; the last is the server where it has samples."""
        if name not in self._owners:
            found = self.data.owners(self.groups[name].needs)
            if self.data.public and not self.method.server_trains:
                found = np.append(found[:-1], False)
            self._owners[name] = found
        return self._owners[name]

    @cached_property
    def teachers(self) -> Mapping[str, int]:
        """Group that learns from samples with several modalities -> how many clients have any."""
        several = [n for n, g in self.groups.items() if len(g.needs) > 1]
        return {n: int(self.owners(n)[: self.data.clients].sum()) for n in several}

    def is_open(self, name: str) -> bool:
        """Whether a group reaches everybody, or stays with everybody."""
        group = self.groups[name]
        return group.reaches is everyone or not group.shared

    def reaches(self, name: str, client: ClientInfo) -> bool:
        """Whether a client downloads a group; the server has all."""
        return self.is_open(name) or client.server or self.groups[name].reaches(client)

    @cached_property
    def closed(self) -> Mapping[str, Callable[[int], bool]]:
        """Group that does not reach everybody -> whether it reaches a client, which else has no use for it.

        None where every process needs all networks: to say what the server makes of its public samples.
        """
        names = () if self.data.public else tuple(name for name in self.shared if not self.is_open(name))

        def reaching(name: str) -> Callable[[int], bool]:
            def reaches(client: int) -> bool:
                return self.reaches(name, self.data.info(client))

            return cache(reaches)

        return {name: reaching(name) for name in names}

    def trained(self, phase: Phase) -> tuple[str, ...]:
        """The groups that a phase trains."""
        globs = [g for stage in phase.stages if isinstance(stage, Train) for g in stage.globs]
        return self.matching(tuple(globs)) if globs else ()

    @cached_property
    def replicas(self) -> Mapping[str, str]:
        """Group -> when its frozen replica is refreshed."""
        return {n: when for glob, when in self.method.replicas.items() for n in self.matching((glob,))}

    @cached_property
    def augments(self) -> Mapping[str, Function]:
        """Augmentations of the user's own, by modality."""
        return own_augments(self.scenario.model)

    @cached_property
    def pictured(self) -> Array:
        """The validation samples whose embeddings are taken at the end."""
        return pictured(self.data, self.scenario.evaluation.features, self.trial.seed)

    @cached_property
    def measured(self) -> Array:
        """The test samples of which others are made, where generation is measured."""
        wanted = self.scenario.evaluation.generation
        return measured_rows(self.data.dataset, wanted.rows if wanted else 0, self.trial.seed)

    @property
    def metric(self) -> str:
        """What tells the best round."""
        return metrics_of(self.method, self.scenario)[0]

    @cached_property
    def low(self) -> tuple[str, ...]:
        """The metrics of which less is better."""
        return measured.low(self.scenario.evaluation.metrics)

    def precision(self) -> torch.autocast:
        """What networks compute in, inside this block."""
        return torch.autocast(
            self.device.type, torch.bfloat16, enabled=self.scenario.numerics.precision == "bf16", cache_enabled=False
        )

    @cached_property
    def stateful(self) -> bool:
        """Whether clients may keep anything from round to round."""
        stages = [stage for phase in self.phases for stage in phase.stages]
        objectives = [o for stage in stages if isinstance(stage, Train) for o in stage.objectives]
        specs = [o.optimizer or self.scenario.federation.optimizer for o in objectives]
        return (
            self.algorithm.control
            or any(isinstance(spec, Adam) and spec.persistent for spec in specs)
            or any(isinstance(stage, Compute) for stage in stages)
            or any(isinstance(s, Train) and s.derive is not None and s.derive.every == "phase" for s in stages)
            or any(not group.shared for group in self.groups.values())
            or self.method.has("init_state")
        )

    @cached_property
    def stackable(self) -> bool:
        """Whether every network can be trained with a client axis."""
        return not self.obstacle

    @cached_property
    def obstacle(self) -> str:
        """What keeps clients from being trained together, in a few words; empty where nothing does."""
        for name, group in self.groups.items():
            if (part := obstacle(group.net)) is not None:
                return f"{name} has a {type(part).__name__}, which takes no client axis"
        return ""


def _set_tf32(*, allowed: bool) -> None:
    """Whether a GPU may round the factors of matrix products and convolutions to TensorFloat-32."""
    backends: Any = torch.backends
    for backend in (backends.cuda.matmul, backends.cudnn):
        backend.allow_tf32 = allowed
    backends.cudnn.deterministic = True


def rounds_of(phase: Phase, scenario: Scenario) -> int:
    """How many rounds a phase lasts."""
    return scenario.federation.rounds if phase.rounds is None else phase.rounds


def metrics_of(method: Method, scenario: Scenario) -> tuple[str, tuple[str, ...]]:
    """What tells the best round, and all that is measured: the loss alone where a method predicts no classes."""
    evaluation = scenario.evaluation
    return (LOSS, (LOSS,)) if method.has("losses") else (evaluation.decisive, evaluation.names)


def method_of(scenario: Scenario) -> Method:
    """The scenario's method, with its options."""
    kind = registry.find("method", scenario.method.name)
    return kind(registry.options(kind, scenario.method.options))


def groups_of(method: Method, task: Task) -> dict[str, Group]:
    """The method's groups; they begin with a kept model's weights where the scenario says so.

    Raises:
        ModelError: that is not there, or does not fit.
    """
    groups, model = method.modules(task), task.model
    return groups if model.start is None else started(groups, Path(model.start.path), model.start.groups)


def task_of(scenario: Scenario, dataset: Dataset) -> Task:
    """What the method sees of the job."""
    return Task(dataset.modalities, dataset.width, dataset.multi_label, scenario.model, bool(dataset.targets))
