"""Trials whose clients are judged by rows of their own, in this process, and what is told of them."""

from raysim.data.dealing import federate
from raysim.report.events import ClientsScored, TrialFinished

SPLITS = ("validation", "test")


def dealt(toy, stack=1, seed=0, method="zero_fill", federation=None, partition=None, **evaluation):
    """A job of three clients with two modalities, whose data is dealt out as its scenario says."""
    model = {"dim": 8, "dropout": 0.2, "encoders": {"image": {"name": "cnn", "channels": [4]}}}
    settings = {
        "seed": seed, "stack": stack, "evaluation": evaluation, "model": model, "evaluation_batch": 4,
        "optimizer": {"name": "sgd", "lr": 0.1}, "rounds": 4, **(federation or {}),
    }  # fmt: skip
    first = toy.job(toy.data((9, 12, 15), classes=2), method, **settings)
    missing = first.scenario.model_validate({
        **first.scenario.model_dump(), "missing": {"name": "per_sample", "rate": 0.4},
        **({"partition": partition} if partition else {}),
    })  # fmt: skip
    data = federate(
        first.data.dataset, missing, seed, lambda mask, present: first.method.observe(mask, present, first.task)
    )
    return toy.job(data, method, **settings)


def told(simulation):
    return [e for e in simulation.run() if e is not None]


def summary(events):
    (found,) = [e.summary for e in events if isinstance(e, TrialFinished)]
    return found


def table(events):
    (found,) = [e for e in events if isinstance(e, ClientsScored)]
    return found
