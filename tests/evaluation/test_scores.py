import numpy as np
import pytest

from raysim.data.federated import View
from raysim.evaluation.scores import added, better, score
from raysim.evaluation.slices import Slice, slices


def test_views_are_cut_into_slices_of_at_most_a_batch(toy):
    data = toy.data()  # six samples in each of validation and test
    assert slices(data.views, 4) == [
        Slice("validation", 0, 4), Slice("validation", 4, 6), Slice("test", 0, 4), Slice("test", 4, 6),
    ]  # fmt: skip
    assert slices(data.views, 6) == [Slice("validation", 0, 6), Slice("test", 0, 6)]


def scored(toy, logits, labels, **settings):
    """The test scores of logits, or losses, that come in two slices."""
    data = toy.data(classes=logits.shape[-1], **settings)
    data.dataset.test.labels[:] = labels
    data = type(data)(data.dataset, data.mask, data.rows, data.offsets, {"test": View("test", data.views["test"].mask)})
    parts = slices(data.views, 4)
    scenario = toy.job(data, evaluation={"metrics": ["accuracy", "macro_auc"]}).scenario
    return score(data, scenario, parts, [logits[p.start : p.stop].astype(np.float32) for p in parts])["test"]


def test_scores_by_hand(toy):
    # The odds are 3 : 1 for the first class in each row.
    logits = np.tile([np.log(3.0), 0.0], (6, 1))
    found = scored(toy, logits, [0, 0, 0, 0, 0, 1])
    assert found == {
        "accuracy": pytest.approx(5 / 6), "macro_auc": 0.5, "loss": pytest.approx((5 * np.log(4 / 3) + np.log(4)) / 6),
    }  # fmt: skip


def test_several_labels_by_hand(toy):
    logits = np.tile([np.log(3.0), -np.log(3.0)], (6, 1))
    found = scored(toy, logits, np.tile([1.0, 1.0], (6, 1)), multi_label=True)
    loss = (np.log(4 / 3) + np.log(4)) / 2
    assert found == {"accuracy": 0.5, "macro_auc": None, "loss": pytest.approx(loss)}


@pytest.mark.parametrize("multi_label", [False, True])
def test_large_logits_do_not_overflow(toy, multi_label):
    logits = np.tile([1e4, -1e4], (6, 1))
    labels = np.tile([0.0, 1.0], (6, 1)) if multi_label else np.ones(6, int)
    assert scored(toy, logits, labels, multi_label=multi_label)["loss"] == (1e4 if multi_label else 2e4)


def test_a_loss_without_end_is_undefined(toy):
    assert scored(toy, np.tile([np.inf, 0.0], (6, 1)), np.ones(6, int))["loss"] is None


@pytest.mark.parametrize(
    ("new", "old", "wins"),
    [
        (0.5, 0.4, True),
        (0.5, 0.5, False),
        (0.4, 0.5, False),
        (0.0, None, True),
        (None, 0.0, False),
        (None, None, False),
    ],
)
def test_better_is_strictly_more(new, old, wins):
    assert better({"accuracy": new}, {"accuracy": old}, "accuracy") is wins


@pytest.mark.parametrize(
    ("new", "old", "wins"), [(0.4, 0.5, True), (0.5, 0.5, False), (0.5, 0.4, False), (None, 0.5, False)]
)
def test_of_a_loss_less_is_better(new, old, wins):
    assert better({"loss": new}, {"loss": old}, "loss") is wins


def test_losses_have_a_mean_and_no_metrics(toy):
    assert scored(toy, np.array([1.0, 2.0, 3.0, 4.0, 5.0, 9.0]), np.zeros(6, int)) == {"loss": 4.0}
    assert scored(toy, np.array([1.0, np.inf, 3.0, 4.0, 5.0, 9.0]), np.zeros(6, int)) == {"loss": None}


def test_sums_of_slices_are_added_where_they_are():
    parts = [{("a",): np.array([1.0, 2.0])}, {("a",): np.array([3.0, 4.0]), ("b",): np.array(5.0)}]
    found = added(parts)
    assert (found["a",].tolist(), found["b",].tolist()) == ([4, 6], 5)
    assert added([]) == {}


def test_the_first_is_better_than_nothing():
    assert better({"accuracy": None}, None, "accuracy")
