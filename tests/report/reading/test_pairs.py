"""Which arms are compared, on folders that were written by hand."""

import itertools
import json

import numpy as np
import pytest
from studies import grid_study, keep, small_study, summary, write_study

from raysim.report.reading.arms import UnknownArm
from raysim.report.reading.folders import read
from raysim.report.reading.pairs import compared
from raysim.report.statistics import percentiles

LABELS = [0, 1, 2, 0]
RIGHT, ONE_WRONG, TWO_WRONG = [0, 1, 2, 0], [0, 1, 2, 1], [0, 0, 0, 0]


def pairs(out, split="test", **more):
    found = compared(read([out]), "study", split, **more)
    return found and ([(dict(p.where), p.arm, p.against, p.seeds) for p in found.pairs], list(found.notes))


def kept_study(out, seeds=(1, 2)):
    """Zero fill is wrong on one sample, and fin on none; with seed 2 on two and one."""
    trials = [("zero", 1, 0.75, ONE_WRONG), ("zero", 2, 0.5, TWO_WRONG), ("fin", 1, 1.0, RIGHT),
              ("fin", 2, 0.75, ONE_WRONG)]  # fmt: skip
    trials = [t for t in trials if t[1] in seeds]
    write_study(out, [summary(m, seed, value) for m, seed, value, _ in trials])
    for method, seed, _, predicted in trials:
        keep(out, f"method={method},seed={seed}", LABELS, test=predicted)
    return out


def test_common_seeds_and_a_line_of_what_is_not_there(tmp_path):
    assert pairs(small_study(tmp_path)) == (
        [({}, "fin", "zero", (1,))], ["3 of 3 trials kept no predictions for test: no interval over samples there"],
    )  # fmt: skip
    (pair,) = compared(read([tmp_path]), "study", "test").pairs
    assert (pair.values, pair.others, pair.replicates, pair.discordant) == (((0.75, 0.25),), 1, None, None)


def test_samples_are_drawn_together_under_both_arms_and_all_seeds(tmp_path):
    (pair,) = compared(read([kept_study(tmp_path)]), "study", "test").pairs
    assert pair.differences == (0.25, 0.25)
    assert pair.discordant == ((1, 0), (2, 1))
    right = np.array([[1, 1, 1, 1], [1, 1, 1, 0], [1, 1, 1, 0], [1, 0, 0, 1]])  # fin 1, fin 2, zero 1, zero 2
    gain = (right[0] + right[1] - right[2] - right[3]) / 2
    every = np.array([gain[list(draw)].mean() for draw in itertools.product(range(4), repeat=4)])
    assert set(pair.replicates) <= set(every)
    assert pair.replicates.mean() == pytest.approx(every.mean(), abs=0.02)
    assert pair.replicates.std() == pytest.approx(every.std(), rel=0.05)
    assert percentiles(pair.replicates) == percentiles(every) == (0.0, 0.5)
    again = compared(read([tmp_path]), "study", "test").pairs[0].replicates
    assert np.array_equal(again, pair.replicates)


def test_any_metric_is_computed_anew_on_each_draw(tmp_path):
    kept_study(tmp_path, seeds=(1,))
    for method, uar in (("zero", 5 / 6), ("fin", 1.0)):
        path = tmp_path / f"study/method={method},seed=1/summary.json"
        said = json.loads(path.read_text())
        said["splits"]["test"]["uar"] = uar
        path.write_text(json.dumps(said))
    found = compared(read([tmp_path]), "study", "test", "uar")
    (pair,) = found.pairs
    assert found.notes == ()
    assert pair.discordant is None
    labels, wrong = np.array(LABELS), np.array([0, 0, 0, 1])

    def uar(draw):
        classes = [c for c in range(3) if (labels[draw] == c).any()]
        return np.mean([1 - wrong[draw][labels[draw] == c].mean() for c in classes])

    every = np.array([1 - uar(np.array(draw)) for draw in itertools.product(range(4), repeat=4)])
    assert set(np.round(pair.replicates, 9)) <= set(np.round(every, 9))
    assert pair.replicates.mean() == pytest.approx(every.mean(), abs=0.01)
    assert percentiles(pair.replicates) == pytest.approx(percentiles(every))


def test_arms_are_paired_within_the_other_axes(tmp_path):
    found, _ = pairs(grid_study(tmp_path))
    assert found == [
        ({"missing.rate": "0.5"}, "fin", "zero", (1, 2)),
        ({"missing.rate": "0.25"}, "fin", "zero", (1, 2)),
    ]


def test_arms_whose_labels_hold_the_rate_are_paired_by_what_is_missing(tmp_path):
    arms = [("zero 0.5", 0.5), ("fin 0.5", 0.5), ("zero 0.8", 0.8), ("fin 0.8", 0.8)]
    trials = [summary(label, 1, value) for (label, _), value in zip(arms, (0.5, 0.6, 0.3, 0.4), strict=True)]
    write_study(tmp_path, trials)
    study = json.loads((tmp_path / "study.json").read_text())
    for (label, rate), name in zip(arms, study["trials"], strict=True):
        assert label in name
        study["trials"][name] = study["trials"][name] | {"missing": {"name": "per_client", "rate": rate}}
    (tmp_path / "study.json").write_text(json.dumps(study))
    assert pairs(tmp_path)[0] == [({}, "fin 0.5", "zero 0.5", (1,)), ({}, "fin 0.8", "zero 0.8", (1,))]


def test_with_whom(tmp_path):
    write_study(tmp_path, [summary(m, 1, v) for m, v in (("vae", 0.5), ("fin", 0.6), ("unimodal", 0.4))])
    against_best = [({}, "vae", "fin", (1,)), ({}, "unimodal", "fin", (1,))]
    assert pairs(tmp_path)[0] == against_best
    assert pairs(tmp_path, against="fin")[0] == against_best
    assert [p[1:3] for p in pairs(tmp_path, against="all")[0]] == [
        ("fin", "vae"), ("unimodal", "vae"), ("unimodal", "fin"),
    ]  # fmt: skip
    with pytest.raises(
        UnknownArm, match=r"^study: has no finished 'gan' to compare with; there are: vae, fin, unimodal$"
    ):
        pairs(tmp_path, against="gan")


def test_a_single_arm_has_no_pair_and_a_bound_is_no_contestant(tmp_path):
    assert pairs(write_study(tmp_path / "one", [summary("fin", 1, 0.5)])) is None
    bound = summary("complete", 1, 0.9) | {"bound": True}
    out = write_study(tmp_path / "two", [summary("fin", 1, 0.5), bound])
    assert pairs(out) is None
    assert pairs(out, against="complete")[0] == [({}, "fin", "complete", (1,))]


def test_other_test_samples_are_refused(tmp_path):
    kept_study(tmp_path)
    keep(tmp_path, "method=fin,seed=1", [1, 1, 2, 0], test=[1, 1, 2, 0])
    assert pairs(tmp_path) == ([], ["fin and zero: have other test samples: not compared"])
    keep(tmp_path, "method=fin,seed=1", LABELS, scored=[True, True, True, False], test=RIGHT)
    assert pairs(tmp_path) == ([], ["fin and zero: have other test samples: not compared"])


def test_other_data_is_refused_without_predictions_too(tmp_path):
    write_study(tmp_path, [summary(m, 1, 0.5) | {"origin": {"data": m}} for m in ("zero", "fin")])
    assert pairs(tmp_path)[0] == []
    assert pairs(tmp_path)[1][-1] == "fin and zero: have other test samples: not compared"


def test_no_common_seed(tmp_path):
    write_study(tmp_path, [summary("zero", 1, 0.5), summary("fin", 2, 0.5)])
    assert pairs(tmp_path)[1][-1] == "fin and zero: have no seed in common: not compared"


def test_predictions_that_are_not_those_of_the_figures_are_told(tmp_path):
    kept_study(tmp_path, seeds=(1,))
    keep(tmp_path, "method=fin,seed=1", LABELS, test=TWO_WRONG)
    (pair,) = compared(read([tmp_path]), "study", "test").pairs
    assert pair.replicates is None
    assert pairs(tmp_path)[1] == [
        "method=fin,seed=1: its predictions give another accuracy than it reports: not resampled"
    ]
    (tmp_path / "study/method=fin,seed=1/predictions.npz").write_bytes(b"torn")
    assert pairs(tmp_path)[1][0].startswith(f"{tmp_path}/study/method=fin,seed=1/predictions.npz: cannot be read: ")


def test_several_labels_a_sample(tmp_path):
    labels = np.array([[1, 0], [0, 1], [1, 1]], np.float32)
    write_study(tmp_path, [summary("zero", 1, 4 / 6), summary("fin", 1, 5 / 6)])
    for method, wrong in (("zero", [(0, 0), (1, 1)]), ("fin", [(2, 0)])):
        logits = np.where(labels > 0, 1.5, -1.5)
        for place in wrong:
            logits[place] *= -1
        path = tmp_path / f"study/method={method},seed=1/predictions.npz"
        said = {"outcome": "multi_label", "outputs": ["a", "b"], "test": logits.astype(np.float16)}
        np.savez(path, labels=labels, rows=np.arange(3), round=np.array(2), **said)
    (pair,) = compared(read([tmp_path]), "study", "test").pairs
    assert pair.discordant is None  # no single right or wrong a sample
    assert set(np.round(pair.replicates * 6)) <= {-3, -2, -1, 0, 1, 2, 3}
    assert pair.replicates.mean() == pytest.approx(1 / 6, abs=0.03)


def test_a_metric_that_takes_too_long_is_left_out_and_told(tmp_path, monkeypatch):
    kept_study(tmp_path, seeds=(1,))
    monkeypatch.setattr("raysim.report.reading.pairs._CELLS", 2000)
    for method, uar in (("zero", 5 / 6), ("fin", 1.0)):
        path = tmp_path / f"study/method={method},seed=1/summary.json"
        path.write_text(path.read_text().replace(f'"uar": {json.loads(path.read_text())["splits"]["test"]["uar"]}',
                                                 f'"uar": {uar}'))  # fmt: skip
    found = compared(read([tmp_path]), "study", "test", "uar")
    assert found.notes == ("uar would take too long on resampled test samples: no interval over them",)


def test_a_function_of_one_s_own_is_not_recomputed(tmp_path):
    kept_study(tmp_path, seeds=(1,))
    study = json.loads((tmp_path / "study.json").read_text())
    for said in study["trials"].values():
        said["evaluation"] |= {"metrics": [{"name": "mine:accuracy"}], "metric": "mine:accuracy"}
    (tmp_path / "study.json").write_text(json.dumps(study))
    assert pairs(tmp_path)[1] == [
        "accuracy: only raysim's metrics without options are recomputed on resampled test samples"
    ]
