import numpy as np
import pytest

from raysim.evaluation.clients import ClientScores, spread, spreads

NAN = np.nan


def test_over_clients_by_hand():
    # Three clients with 1, 3 and 2 rows; a fourth with 5, on which it is undefined.
    values, rows = np.array([1.0, 0.5, 0.0, NAN]), np.array([1, 3, 2, 5])
    assert spread(values, rows, ["a", "a+b", "a", "b"], low=False) == {
        "mean": 0.5,
        "weighted": pytest.approx(2.5 / 6),
        "std": pytest.approx((0.5 / 3) ** 0.5),
        "worst_tenth": 0.0,
        "undefined": 1,
        "roles": {"a": 0.5, "a+b": 0.5, "b": None},
    }


def test_the_worst_tenth_is_rounded_up_and_of_a_loss_the_largest():
    values, rows = np.arange(25.0), np.ones(25)
    assert spread(values, rows, ["a"] * 25, low=False)["worst_tenth"] == 1.0  # of 0, 1, 2
    assert spread(values, rows, ["a"] * 25, low=True)["worst_tenth"] == 23.0  # of 22, 23, 24
    assert spread(values[:20], rows[:20], ["a"] * 20, low=False)["worst_tenth"] == 0.5


def test_nothing_defined_is_nothing():
    assert spread(np.array([NAN, NAN]), np.array([1, 2]), ["a", "b"], low=True) == {
        "mean": None, "weighted": None, "std": None, "worst_tenth": None, "undefined": 2,
        "roles": {"a": None, "b": None},
    }  # fmt: skip


def test_each_metric_has_its_direction():
    scores = ClientScores(np.array([2, 2]), {"accuracy": np.array([0.25, 0.75]), "loss": np.array([1.0, 3.0])})
    found = spreads(scores, ["a", "b"], ("loss",))
    assert (found["accuracy"]["worst_tenth"], found["loss"]["worst_tenth"]) == (0.25, 3.0)
    assert found["loss"]["roles"] == {"a": 1.0, "b": 3.0}
