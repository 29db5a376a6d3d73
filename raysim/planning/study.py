"""The plan of a study that begins: what is known of it without measuring."""

from collections.abc import Sequence

from raysim.engine.nodes import Cluster
from raysim.planning.plan import as_dict, plan_of
from raysim.planning.told import first
from raysim.report.events import StudyPlanned
from raysim.scenario.trial import Trial


def foreseen(trials: Sequence[Trial], cluster: Cluster, slots: int) -> StudyPlanned:
    """What the trials of a study will take that has so many slots; memory and time are not known.

    Raises:
        ScenarioError: a trial cannot run.
    """
    plan = plan_of(trials, cluster, slots=slots)
    return StudyPlanned(first(plan), as_dict(plan))
