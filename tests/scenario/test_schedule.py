"""Against torch.optim.lr_scheduler, which only tests may import."""

import pytest
import torch
from pydantic import ValidationError
from torch.optim import lr_scheduler

from raysim.scenario.messages import explain
from raysim.scenario.schedule import Constant, Cosine, Step, Warmup
from raysim.scenario.schema import Federation

LR, LENGTH = 0.3, 30


def cosine(optimizer, t_max=LENGTH, eta_min=0.0):
    return lr_scheduler.CosineAnnealingLR(optimizer, t_max, eta_min)


def warmed(optimizer, then, total, **settings):
    first = lr_scheduler.LinearLR(optimizer, total_iters=total, **settings)
    return lr_scheduler.SequentialLR(optimizer, [first, then(optimizer)], [total])


CASES = [
    (Constant(), lambda o: lr_scheduler.ConstantLR(o, factor=1.0)),
    (Cosine(name="cosine"), cosine),
    (Cosine(name="cosine", eta_min=0.01), lambda o: cosine(o, eta_min=0.01)),
    (Cosine(name="cosine", t_max=7, eta_min=0.01), lambda o: cosine(o, 7, 0.01)),
    (Step(name="step", step_size=4), lambda o: lr_scheduler.StepLR(o, 4)),
    (Step(name="step", step_size=1, gamma=0.9), lambda o: lr_scheduler.StepLR(o, 1, 0.9)),
    (Warmup(name="warmup"), lambda o: lr_scheduler.LinearLR(o)),
    (
        Warmup(name="warmup", total_iters=6, start_factor=0.01, then=Cosine(name="cosine")),
        lambda o: warmed(o, lambda o: cosine(o, LENGTH - 6), 6, start_factor=0.01),
    ),
    (
        Warmup(name="warmup", total_iters=3, then=Step(name="step", step_size=5, gamma=0.5)),
        lambda o: warmed(o, lambda o: lr_scheduler.StepLR(o, 5, 0.5), 3),
    ),
]


@pytest.mark.parametrize(("schedule", "theirs"), CASES, ids=lambda case: repr(case) if not callable(case) else "")
def test_as_in_torch(schedule, theirs):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=LR)
    scheduler, expected = theirs(optimizer), []
    for _ in range(LENGTH):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    found = [schedule.rate(LR, at, LENGTH) for at in range(LENGTH)]
    assert found == pytest.approx(expected, rel=0, abs=1e-7)
    assert isinstance(schedule, Constant) or len(set(found)) > 3


def test_a_start_below_the_least_rate_stays():
    assert Cosine(name="cosine", eta_min=0.1).rate(0.05, 3, 10) == 0.05


@pytest.mark.parametrize(
    ("optimizer", "key", "message"),
    [
        ({"schedule": "cosin"}, "schedule", "there is none named 'cosin'; did you mean 'cosine'?"),
        ({"schedule": {"name": "step"}}, "schedule.step_size", "is required; write for example 'step_size: 10'"),
        ({"schedule": {"name": "cosine", "T_max": 3}}, "schedule.T_max", "unknown key; did you mean 't_max'?"),
        ({"local_schedule": {"name": "step", "step_size": 0}}, "local_schedule.step_size",
         "must be a whole number of at least 1, is 0"),
        ({"schedule": {"name": "warmup", "then": "warmup"}}, "schedule.then",
         "there is none named 'warmup'; there are: constant, cosine, step"),
        ({"lr": 0.05, "schedule": {"name": "cosine", "eta_min": 0.1}}, "schedule",
         "eta_min 0.1 is above the learning rate 0.05; write less"),
        ({"lr": 0.05, "schedule": {"name": "warmup", "then": {"name": "cosine", "eta_min": 0.1}}}, "schedule",
         "eta_min 0.1 is above the learning rate 0.05; write less"),
    ],
)  # fmt: skip
def test_wrong_settings_in_plain_words(optimizer, key, message):
    data = {"rounds": 1, "optimizer": optimizer}
    with pytest.raises(ValidationError) as caught:
        Federation.model_validate(data)
    assert explain(caught.value, Federation.model_json_schema(), data) == (f"optimizer.{key}", message)
