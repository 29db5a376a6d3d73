"""Judges of what generators make: they learn once for a dataset, in a process of their own, and stay on the disk."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from raysim.data.cache import cache_folder
from raysim.data.dataset import Dataset
from raysim.generation.judges import Judges, JudgeSettings, judged, judges_of
from raysim.scenario.errors import ScenarioError
from raysim.scenario.generation import Generation
from raysim.scenario.trial import Trial
from raysim.simulation.loaded import data_key

_ray: Any = ray  # only partly typed


def judges_for(trial: Trial, dataset: Dataset) -> Judges | None:
    """In this process: for `Job`; None where the trial wants none.

    Raises:
        ScenarioError: one of them is too poor.
    """
    wanted = trial.scenario.evaluation.generation
    if wanted is None or not wanted.judges:
        return None
    judges = _learned(dataset, data_key(trial.scenario), wanted)
    if (error := too_poor(trial, judges)) is not None:
        raise error
    return judges


def learning(trial: Trial, dataset: Any, here: str) -> Any:
    """A reference to judges that learn in another process, or come from the disk, of the dataset that is referred to.

    It takes no core of its own: what trials are under way may be slower meanwhile. Its node is the driver's, whose disk
    keeps them.
    """
    strategy = NodeAffinitySchedulingStrategy(here, soft=False) if here else "DEFAULT"
    remote = _ray.remote(_learned).options(num_cpus=0, scheduling_strategy=strategy)
    return remote.remote(dataset, data_key(trial.scenario), trial.scenario.evaluation.generation)


def too_poor(trial: Trial, judges: Judges) -> ScenarioError | None:
    """Why the trial's judges are of no use; None where they are."""
    wanted = trial.scenario.evaluation.generation
    floor = 0.0 if wanted is None else wanted.judge_floor
    poor = {m: accuracy for m, accuracy in judges.accuracy.items() if accuracy < floor}
    if not poor:
        return None
    worst = min(poor, key=poor.__getitem__)
    return trial.error(
        "evaluation.generation.judge_floor",
        f"is {floor:g}, and the judge of '{worst}' is right about {poor[worst]:.3f} of the real test samples; raise "
        "judge_epochs, or lower the floor, to 0 for any, and read the figures by it",
    )


def _learned(dataset: Dataset, key: str, wanted: Generation) -> Judges:
    """Judges of all modalities that have one."""
    settings = JudgeSettings(epochs=wanted.judge_epochs)
    return judges_of(judged(dataset), key, settings, cache_folder("judges").parent)
