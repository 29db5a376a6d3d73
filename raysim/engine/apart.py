"""Client actors train on GPUs while others evaluate on CPUs."""

from collections.abc import Generator, Iterator, Mapping, Sequence

from raysim.engine.ray_executor import TICK_S, RayExecutor, Result
from raysim.report.events import Printed, Warned
from raysim.simulation.executor import Evaluation, Handle, Measured
from raysim.training.results import Broadcast, ClientState
from raysim.training.units import Unit
from raysim.training.workload import Work


class Apart:
    """Two executors as one: the evaluation of a round goes on while the next one is trained.

    Args:
        clients: trains.
        evaluators: predicts.
    """

    waits = True

    def __init__(self, clients: RayExecutor, evaluators: RayExecutor) -> None:
        self._clients, self._evaluators = clients, evaluators
        self._evaluation: Evaluation | None = None
        self._steps: Iterator[Warned | Printed | None] = iter(())

    @property
    def busy_s(self) -> float:
        """Of the client actor that had most to do."""
        return self._clients.busy_s

    @property
    def peak_bytes(self) -> int:
        """Of a client actor."""
        return self._clients.peak_bytes

    def train(
        self,
        broadcast: Broadcast,
        units: Sequence[Unit],
        states: Mapping[int, Handle],
        spare: Evaluation | None = None,
    ) -> Iterator[Result | Warned | Printed | None]:
        """As the client actors return results; whenever they have none, the evaluation is looked after."""
        if spare is not None:
            self._begin(spare)
        self._evaluators.tick_s = 0.0  # the GPUs wait for nobody
        for step in self._clients.train(broadcast, units, states):
            yield step
            if step is None and (told := next(self._steps, None)) is not None:
                yield told

    def evaluate(self, evaluation: Evaluation) -> Iterator[Warned | Printed | None]:
        """What is left of it."""
        if evaluation is not self._evaluation:
            self._begin(evaluation)
        self._evaluators.tick_s = TICK_S
        yield from self._steps

    def measure(self, works: Sequence[Work]) -> Generator[None, None, Measured | None]:
        """By a client actor."""
        return self._clients.measure(works)

    def states(self, handles: Mapping[int, Handle]) -> Mapping[int, ClientState]:
        """From wherever they lie."""
        return self._clients.states(handles)

    def _begin(self, evaluation: Evaluation) -> None:
        self._evaluation, self._steps = evaluation, self._evaluators.evaluate(evaluation)
