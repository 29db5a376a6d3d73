from itertools import zip_longest
from types import SimpleNamespace

import numpy as np
import pytest

from raysim.report.events import (
    CheckpointWritten,
    ClientsFinished,
    Resources,
    RoundFinished,
    RoundStarted,
    StudyFinished,
    StudyStarted,
    TrialFailed,
    TrialFinished,
    TrialInfo,
    TrialStarted,
    Warned,
)

METRICS = ("accuracy", "uar")
PLAN = "3 clients on 2 actors, stack 1, cpu"


def info(method, seed, rounds=2):
    name = f"method={method},seed={seed}"
    return TrialInfo("study", name, seed, {"method": method}, rounds, "best", "accuracy", METRICS)


def scores(value):
    return {"accuracy": value, "uar": value - 0.1, "loss": 1.0}


def splits(value):
    return {"validation": scores(value), "test": scores(value), "test_unmasked": scores(value + 0.2)}


def trial_events(trial, index, values):
    """A trial whose rounds are evaluated at these values."""
    yield TrialStarted(trial, index, 3, 2, PLAN)
    for number, value in enumerate(values, start=1):
        yield RoundStarted(trial, number, "train", (0, 1, 2))
        for client in np.arange(3):
            columns = (client, 10 + client, 1.5 - client / 10, 0.25)
            yield ClientsFinished(trial, number, *(np.array([value]) for value in columns))
        record = {
            "round": number, "phase": "train", "cohort": [0, 1, 2], "loss": {"task": 2.0 - number / 4}, "clients": [],
            "bytes_up": 1, "bytes_down": 2, "train_s": 1.5, "evaluate_s": 0.5, **splits(value),
        }  # fmt: skip
        yield RoundFinished(trial, number, record)
    costs = {"parameters": 1234, "bytes_up": 2_000_000, "bytes_down": 4_000_000, "steps": 60, "seconds_s": 4.0}
    yield TrialFinished(trial, {"round": len(values), "selected_by": "x", "splits": splits(values[-1]), **costs})


def interleaved(*streams):
    """One event of each in turn."""
    for events in zip_longest(*streams):
        yield from (event for event in events if event is not None)


@pytest.fixture
def resumed():
    """A trial of four rounds that was killed in its third, before it has reached its checkpoint, and goes on."""
    trial = info("zero", 1, rounds=4)
    first = StudyStarted((info("zero", 0, rounds=4), trial), "out", "2 cores, no GPU, 1 node")
    begun = list(trial_events(trial, 0, (0.25, 0.5, 0.75, 0.875)))
    done = tuple({k: v for k, v in e.record.items() if k != "clients"} for e in begun[5:6])
    earlier = {"round": 1, "selected_by": "x", "splits": splits(0.5), "seconds_s": 9.0}
    events = [
        first, TrialFinished(first.trials[0], earlier, earlier=True), *begun[:12],
        TrialStarted(trial, 1, 3, 2, PLAN, done), *begun[6:16], CheckpointWritten(trial, 3, 1_200_000, 0.02),
    ]  # fmt: skip
    return SimpleNamespace(trial=trial, events=events, begun=begun)


@pytest.fixture
def side_by_side():
    """Eight trials that run at a time, of four rounds each; all are in their third round."""
    trials = tuple(info("fin" if seed % 2 else "zero", seed, rounds=4) for seed in range(10))
    first = StudyStarted(trials, "out", "8 cores, no GPU, 1 node, 8 trials at a time", 8)
    streams = [list(trial_events(t, i, (0.25, 0.5, 0.75)))[:-3] for i, t in enumerate(trials[:8])]
    return SimpleNamespace(trials=trials, events=[first, *interleaved(*streams)])


@pytest.fixture
def study():
    """Two methods, two seeds; the last trial fails."""
    trials = (info("zero", 1), info("zero", 2), info("fin", 1), info("fin", 2))
    first = StudyStarted(trials, "out", "2 cores, no GPU, 1 node")
    begun = [first, *trial_events(trials[0], 0, (0.25, 0.5))]
    middle = [*trial_events(trials[1], 1, (0.5, 0.75)), Warned("client 7 has few samples")]
    rest = [*trial_events(trials[2], 2, (0.5, 0.875)), TrialStarted(trials[3], 3, 3, 2, PLAN)]
    failed = TrialFailed(trials[3], "round 1, client 2, stage 'task': the loss is nan", "  method.py line 3\nOops")
    last = [Resources(0.5, None, 10**9, 4 * 10**9, 10**6, 10**9), failed, StudyFinished(3, 1, 61.2)]
    return SimpleNamespace(trials=trials, begun=begun, events=[*begun, *middle, *rest, *last])
