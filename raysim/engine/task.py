"""A trial of a study that could start."""

from dataclasses import dataclass

from raysim.engine.room import Wish
from raysim.report.events import TrialInfo
from raysim.scenario.trial import Trial
from raysim.simulation.prepare import prepare
from raysim.simulation.stacks import width_of


@dataclass(frozen=True)
class Task:
    """A trial that could start.

    Attributes:
        index: its place in the study.
        trial: what to run.
        info: the trial as events name it.
        width: see `width_of`.
    """

    index: int
    trial: Trial
    info: TrialInfo
    width: int

    @classmethod
    def of(cls, index: int, trial: Trial) -> "Task":
        """Checks a trial's data and method.

        Raises:
            ScenarioError: something does not fit.
        """
        prepared = prepare(trial)
        return cls(index, trial, prepared.info, width_of(trial, prepared.data))

    @property
    def wish(self) -> Wish:
        """What decides on its client actors."""
        return Wish(self.trial.scenario.placement, self.width, self.trial.scenario.numerics.device)
