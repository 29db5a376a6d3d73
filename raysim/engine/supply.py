"""What a study supplies its trials with: each dataset once in Ray's store, and judges that learn of it."""

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import ray

from raysim.aside import aside
from raysim.data.dataset import in_memory, maps_files
from raysim.data.digest import data_digest
from raysim.data.federated import Federated
from raysim.data.remarks import remarks
from raysim.engine.judging import learning
from raysim.report.events import Event, Warned
from raysim.scenario.trial import Trial
from raysim.simulation.loaded import data_key
from raysim.simulation.prepare import instead

_ray: Any = ray  # only partly typed
LEARNING = (
    "judges of what is made come first: kept ones, or they learn from the real training samples, once for a dataset"
)


class Supply:
    """The datasets of a study.

    Args:
        here: this node.
        tell: where remarks go.
    """

    def __init__(self, here: str, tell: Callable[[Event], None]) -> None:
        self._here, self._tell = here, tell
        self._datasets: dict[str, Any] = {}
        self._mapped: set[str] = set()  # those of which samples are files of this node
        self._bound: set[int] = set()
        self._digests: dict[str, Future[str]] = {}
        self._judges: dict[tuple[str, int], Any] = {}

    def data(self, trial: Trial, index: int, data: Federated, *, alone: bool) -> list[Any]:
        """References to a trial's dataset and to how it is dealt out.

        Args:
            trial: the trial.
            index: its place in the study.
            data: what it has.
            alone: whether this is the only node; on several all samples travel, as files are only sure to be here.
        """
        key = data_key(trial.scenario)
        if key not in self._datasets:
            dataset = data.dataset if alone else in_memory(data.dataset)
            if maps_files(dataset):
                self._mapped.add(key)
            self._datasets[key] = _ray.put(dataset)
            instead(key, _ray.get(self._datasets[key]))  # one copy on this machine, not two
            if key not in self._digests:
                for text in remarks(data.dataset):
                    self._tell(Warned(f"{trial.scenario.name}: {text}"))
                # not of the one in Ray's store, which may go first
                self._digests[key] = aside(lambda: data_digest(dataset))
        if key in self._mapped:
            self._bound.add(index)
        return [self._datasets[key], _ray.put(data.parts())]

    def judges(self, trial: Trial) -> Any:
        """A reference to the judges of a trial, the same for all that agree on them; None where it wants none."""
        wanted = trial.scenario.evaluation.generation
        if wanted is None or not wanted.judges:
            return None
        key = data_key(trial.scenario), wanted.judge_epochs
        if key not in self._judges:
            self._judges[key] = learning(trial, self._datasets[key[0]], self._here)
            self._tell(Warned(f"{trial.scenario.name}: {LEARNING}"))
        return self._judges[key]

    def binds(self, index: int) -> bool:
        """Whether a trial was handed files of this node, and so stays here."""
        return index in self._bound

    def spread(self) -> None:
        """There are more nodes: trials that are still to come run there, too, where no file of ours is."""
        for key in self._mapped:
            del self._datasets[key]
        self._mapped.clear()

    def digest(self, trial: Trial) -> Future[str]:
        """Of a trial's dataset."""
        return self._digests[data_key(trial.scenario)]
