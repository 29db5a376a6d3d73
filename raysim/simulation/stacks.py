"""How many clients are trained together where a scenario leaves that open. The machine has no say: it decides bits."""

from raysim.data.dataset import Dataset
from raysim.data.federated import Federated
from raysim.draws import undisturbed
from raysim.models.layers import stackable
from raysim.scenario.trial import Trial
from raysim.simulation.rounds import cohort_size
from raysim.training.job import method_of, task_of
from raysim.training.units import pieces

FULL = 8
"""From so many on a stack of usual networks gains little."""
LIGHT = 400_000
"""Parameters of a whole stack below which calling the kernels costs more than they do."""
MOST = 64


def automatic(cohort: int, parameters: int) -> int:
    """The stack of a cohort: two units of it or, where each would be more than full, four, six or more.

    Args:
        cohort: clients in a round.
        parameters: of one client's networks.

    Example:
        >>> [automatic(cohort, 200_000) for cohort in (1, 6, 10, 20, 40, 100)]
        [1, 3, 5, 10, 7, 9]
        >>> automatic(100, 9_000)
        50
    """
    full = min(max(FULL, LIGHT // max(parameters, 1)), MOST)
    pairs = max((cohort + full) // (2 * full), 1)
    return -(-cohort // (2 * pairs))


def stack_of(trial: Trial, dataset: Dataset, cohort: int) -> int:
    """`numerics.stack` as it will be used.

    Args:
        trial: what to run.
        dataset: its data.
        cohort: clients in a round.
    """
    stack = trial.scenario.numerics.stack
    if stack != "auto":
        return stack
    with undisturbed():
        groups = method_of(trial.scenario).modules(task_of(trial.scenario, dataset)).values()
    if not all(stackable(group.net) for group in groups):
        return 1
    return automatic(cohort, sum(p.numel() for group in groups for p in group.net.parameters()))


def width_of(trial: Trial, data: Federated) -> int:
    """Into how many parts a round can be cut: units, about, or clients where the scenario counts those.

    More client actors than that would idle.
    """
    cohort = cohort_size(trial.scenario.federation, data.eligible)
    if trial.scenario.placement.clients_per_actor != "auto":
        return cohort
    clients = data.having[:: max(data.eligible // max(cohort, 1), 1)][:cohort]
    return len(pieces(data, clients, stack_of(trial, data.dataset, cohort))[1])
