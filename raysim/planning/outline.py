"""One trial as a plan knows it: plain values, so that neither data nor networks stay."""

from dataclasses import dataclass, replace

import numpy as np
import torch

from raysim.data.arrays import SPLITS
from raysim.data.dataset import Dataset
from raysim.data.federated import Federated
from raysim.data.ragged import Ragged
from raysim.engine.room import Wish
from raysim.generation.judges import unlearnt
from raysim.planning.rehearsal import Rehearsed, rehearse
from raysim.planning.speed import Speed
from raysim.report.events import TrialInfo
from raysim.scenario.trial import Trial
from raysim.simulation.loaded import data_key
from raysim.simulation.prepare import prepare
from raysim.simulation.resolve import resolved
from raysim.simulation.rounds import cohort_size
from raysim.simulation.stacks import width_of
from raysim.simulation.traffic import FLOAT_BYTES
from raysim.training.job import Job

LINE_BYTES = 80
"""Of a client in a line of metrics.jsonl, about."""


@dataclass(frozen=True)
class Ready:
    """A trial that could start.

    Attributes:
        given: the trial as it was written.
        trial: as it would run here.
        info: as events name it.
        data: as it is dealt out.
        wish: what it asks of a cluster.
    """

    given: Trial
    trial: Trial
    info: TrialInfo
    data: Federated
    wish: Wish

    @classmethod
    def of(cls, trial: Trial) -> "Ready":
        """Without a GPU here one can still plan for some elsewhere.

        Raises:
            ScenarioError: it asks for something that its data or its method cannot give.
        """
        prepared, scenario = prepare(trial), trial.scenario
        wish = Wish(scenario.placement, width_of(trial, prepared.data), scenario.numerics.device)
        cuda = torch.cuda.is_available()
        if scenario.numerics.device == "cuda" and not cuda:
            numerics = scenario.numerics.model_copy(update={"device": "auto"})
            scenario = scenario.model_copy(update={"numerics": numerics})
        cohort = cohort_size(scenario.federation, prepared.data.eligible)
        scenario = resolved(replace(trial, scenario=scenario), prepared.data.dataset, cohort, cuda=cuda)
        data = replace(prepared.data)  # what is looked up of clients is soon forgotten
        return cls(trial, replace(trial, scenario=scenario), prepared.info, data, wish)

    @property
    def cohort(self) -> int:
        """Clients in a round."""
        return cohort_size(self.trial.scenario.federation, self.data.eligible)

    def job(self) -> Job:
        """With new networks, which nobody keeps, and judges that have learnt nothing."""
        wanted = self.trial.scenario.evaluation.generation
        judges = unlearnt(self.data.dataset) if wanted is not None and wanted.judges else None
        return Job(self.trial, self.data, judges)


@dataclass(frozen=True)
class Outline:
    """What a trial takes.

    Attributes:
        info: as events name it.
        wish: what it asks of a cluster.
        method: the method's name.
        stack, cohort: clients that are trained together, and that take part in a round.
        parameters: of all networks that travel.
        rehearsed: its rounds.
        disk_bytes: what it leaves there, about.
        data: which dataset it has, and the bytes of its inputs.
        apart: whether actors of their own evaluate where clients have GPUs.
        judged: whether judges have to learn first.
        speed: how fast its work is done; None where nobody measured it.
    """

    info: TrialInfo
    wish: Wish
    method: str
    stack: int
    cohort: int
    parameters: int
    rehearsed: Rehearsed
    disk_bytes: int
    data: tuple[str, int]
    apart: bool
    judged: bool
    speed: Speed | None

    @property
    def key(self) -> tuple[str, ...]:
        """What seeds have in common."""
        return (self.info.scenario, *(f"{name}={value}" for name, value in self.info.grid.items()))


def outline(ready: Ready, speed: Speed | None) -> Outline:
    """Goes through a trial's rounds without training."""
    threads = torch.get_num_threads()
    job, scenario = ready.job(), ready.trial.scenario
    torch.set_num_threads(threads)  # as they were: nothing is computed here
    elements = sum(job.layouts[name].size for name in job.shared)
    generation = scenario.evaluation.generation
    return Outline(
        ready.info, ready.wish, scenario.method.name, int(scenario.numerics.stack), ready.cohort, elements,
        rehearse(job, None if speed is None else speed.shared), _disk(ready, job, elements),
        (data_key(scenario), data_bytes(ready.data.dataset)), scenario.numerics.evaluation_device == "cpu",
        generation is not None and generation.judges, speed,
    )  # fmt: skip


def data_bytes(dataset: Dataset) -> int:
    """Of its inputs."""
    splits = (dataset.split(name) for name in SPLITS)
    found = (x.values if isinstance(x, Ragged) else x for split in splits for x in split.inputs.values())
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in found)


def _disk(ready: Ready, job: Job, elements: int) -> int:
    """Of a trial: kept networks, predictions as float16, and its lines of metrics."""
    wish = ready.trial.scenario.evaluation
    rows = sum(len(view.mask) for view in ready.data.views.values())
    kept = FLOAT_BYTES * elements * (wish.keep_model != "none") + 2 * rows * job.task.classes * wish.predictions
    return kept + LINE_BYTES * ready.cohort * job.rounds
