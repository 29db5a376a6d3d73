"""Figures out of rows, by hand."""

import numpy as np
import pytest

from raysim.generation.figures import Real, figures
from raysim.generation.measure import joined

LABELS = np.array([0, 1, 1, 2])
KINDS = {"a": "image", "b": "vector", "t": "tokens"}
NOTHING = {"squares": np.zeros(4), "total": np.zeros((1, 1))}


def found(rows, real=None, labels=LABELS, classes=3):
    real = dict.fromkeys(KINDS, NOTHING) | (real or {})
    return dict(figures(rows, Real(real, labels), KINDS, classes))


def test_coherence_is_by_the_real_class_and_of_vectors_the_recall_stands_beside():
    guess = np.array([0, 1, 0, 0])
    assert found({"a>b": {"guess": guess}, "b>a": {"guess": guess}}) == {
        "a>b": {"coherence": 0.5, "uar": pytest.approx((1 + 0.5 + 0) / 3)}, "b>a": {"coherence": 0.5},
    }  # fmt: skip


def test_of_several_labels_each_counts():
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 1]], dtype=np.float32)
    guess = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=bool)
    assert found({"b>a": {"guess": guess}}, labels=labels, classes=2) == {"b>a": {"coherence": 6 / 8}}


def test_joint_coherence_is_where_all_judges_agree_and_nothing_made_has_a_class():
    guesses = [[0, 1, 2], [0, 2, 2], [0, 1, 2]]
    rows = {f">{m}": {"guess": np.array(guess)} for m, guess in zip("abc", guesses, strict=True)}
    assert found(rows) == {">": {"coherence": pytest.approx(2 / 3)}}
    assert found({">a": rows[">a"]}) == {}
    several = {">a": {"guess": np.array([[1, 0], [1, 1]])}, ">b": {"guess": np.array([[1, 0], [1, 0]])}}
    assert found(several) == {">": {"coherence": 0.5}}


def test_the_error_is_a_share_of_the_variance():
    values = np.array([[1.0, 0.0], [3.0, 0.0], [1.0, 2.0], [3.0, 2.0]])  # of variance 1 each
    real = {"b": {"squares": np.square(values).sum(1), "total": np.array([values[:2].sum(0), values[2:].sum(0)])}}
    rows = {"a>b": {"wrong": np.array([1.0, 1.0, 0.0, 2.0]), "cosine": np.array([1.0, 0.0, 0.5, 0.5])}}
    assert found(rows, real) == {"a>b": {"reconstruction": 4 / 8, "cosine": 0.5}}
    assert found({"b>a": {"wrong": np.ones(4)}}) == {}  # all real ones are equal


def test_distances_are_by_name_to_the_real_samples_of_what_is_made():
    features = np.array([[0.0], [2.0], [0.0], [2.0]])
    real = {"a": NOTHING | {"features": features, "inception": 3 * features}, "b": NOTHING | {"features": features + 9}}
    rows = {"b>a": {"features": features + 2, "inception": features}, ">a": {"features": features[:1]}}
    deviation = 2 / np.sqrt(3)  # of 0, 2, 0, 2
    # |m1 - m2|^2 + (s1 - s2)^2; of one draw there is no variance.
    assert found(rows, real) == {
        "b>a": {"frechet": pytest.approx(4.0), "fid": pytest.approx((3 - 1) ** 2 + (2 * deviation) ** 2)}
    }


def test_ranks_are_by_the_sources_code_among_the_targets():
    own = np.array([[1.0, 0], [0, 1], [-1, 0], [0, -1]])
    turned = own[[1, 2, 3, 0]]  # the right one is at a right angle, two others are nearer or as near
    first = {"top1": 1.0, "top5": 1.0, "top10": 1.0, "median_rank": 0.0, "mean_rank": 0.0}
    rows = {"a>a": {"code": own}, "t>t": {"code": own}, "a>t": {"guess": LABELS}, "t>a": {}}
    assert found(rows)["a>t"] == {"coherence": 1.0, "uar": 1.0} | first
    mapped = found({"a>a": {"code": turned}, "t>t": {"code": own}, "a>t": {"code": own}})["a>t"]
    assert {n: v for n, v in mapped.items() if "unmapped" not in n} == first
    assert mapped["top1_unmapped"] == 0.0
    assert mapped["mean_rank_unmapped"] == 2.0


def test_ranks_need_nothing_but_codes():
    codes = {"a>a": {"code": np.eye(4)}, "t>t": {"code": np.eye(4)[[0, 1, 3, 2]]}}
    assert {name: figure["top1"] for name, figure in found(codes).items()} == {"a>t": 0.5, "t>a": 0.5}


def test_colours_are_shares_of_each_and_their_mean():
    coherent = np.zeros((8, 4), dtype=bool)
    coherent[0], coherent[7, 2] = True, True
    figure = found({"t>a": {"colours": coherent.flatten()}})["t>a"]
    assert (figure["colours"], figure["colours_white"], figure["colours_black"]) == ((1 + 1 / 4) / 8, 1.0, 0.25)
    assert (len(figure), figure["colours_red"]) == (9, 0.0)


def test_codes_of_unlike_width_are_not_compared():
    assert found({"a>a": {"code": np.ones((4, 2))}, "t>t": {"code": np.ones((4, 3))}, "a>t": {}}) == {}


def test_the_bound_is_a_mean():
    assert found({"all": {"bound": np.array([-3.0, -5.0])}}) == {"all": {"bound": -4.0}}


def test_slices_are_joined_in_their_order():
    answers = [
        {("a>b", "guess"): np.array([1])},
        {("a>b", "guess"): np.array([2, 3]), ("all", "bound"): np.array([0.5])},
    ]
    rows = joined(answers)
    assert rows["a>b"]["guess"].tolist() == [1, 2, 3]
    assert rows["all"]["bound"].tolist() == [0.5]
