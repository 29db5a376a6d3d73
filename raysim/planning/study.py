"""The plan of a study that begins: what is known of it without measuring."""

from collections.abc import Sequence

from raysim.engine.nodes import Cluster
from raysim.planning.plan import as_dict, plan_of
from raysim.planning.told import first
from raysim.report.events import StudyPlanned
from raysim.scenario.trial import Trial
from raysim.simulation.prepare import let_go


def foreseen(trials: Sequence[Trial], cluster: Cluster, slots: int) -> StudyPlanned:
    """What the trials of a study will take that has so many slots; memory and time are not known.

    Raises:
        ScenarioError: a trial cannot run.
    """
    try:
        plan = plan_of(trials, cluster, slots=slots)
    finally:
        let_go()
    return StudyPlanned(first(plan), as_dict(plan))
