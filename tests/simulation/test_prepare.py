import json
from dataclasses import replace

import numpy as np
import pytest

from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation import prepare as preparing
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import data_key, forget, instead, let_go, prepare


@pytest.fixture
def write(tmp_path):
    """The first trial of a scenario of three modalities, m0 to m2, of which some take part."""

    def make(modalities, **more):
        path = tmp_path / "s.yaml"
        settings = {
            "name": "s", "dataset": {"name": "polydigits", "modalities": 3}, "modalities": modalities,
            "partition": {"name": "iid", "clients": 2}, "method": "zero_fill", "federation": {"rounds": 1},
        }  # fmt: skip
        path.write_text(json.dumps(settings | more))
        return load(path)[0]

    return make


def test_some_of_the_modalities_in_the_data_s_order(write):
    dataset = prepare(write(["m2", "m0"])).data.dataset
    assert dataset.names == ("m0", "m2")
    assert all(list(s.inputs) == ["m0", "m2"] for s in (dataset.train, dataset.validation, dataset.test))
    assert prepare(write(None)).data.dataset.names == ("m0", "m1", "m2")


@pytest.mark.parametrize("look", [check_kinds, prepare])
def test_a_modality_that_is_not_there(write, look):
    with pytest.raises(ScenarioError, match="modalities: the data has no modality 'm9'; there are: m0, m1, m2"):
        look(write(["m0", "m9"]))


def test_a_method_is_asked_about_those_that_take_part(write):
    with pytest.raises(ScenarioError, match="feature_imputation needs at least 2 modalities, the data has 1"):
        check_kinds(write(["m0"], method="feature_imputation"))


def test_an_encoder_of_one_that_does_not_take_part(write):
    with pytest.raises(ScenarioError, match=r"model\.encoders: the data has no modality 'm1'"):
        check_kinds(write(["m0", "m2"], model={"encoders": {"m1": "cnn"}}))


@pytest.mark.parametrize(
    ("optimizer", "line"),
    [
        ({"schedule": {"name": "cosine", "t_max": 2}},
         "federation.optimizer.schedule: 'cosine' has no learning rate left in round 3 of 3 of phase 'train'; let it"),
        ({"name": "adam", "schedule": {"name": "step", "step_size": 1, "gamma": 1e-10}},
         "federation.optimizer.schedule: 'step' has no learning rate left in round 2 of 3"),
    ],
)  # fmt: skip
def test_a_rate_that_comes_to_nothing(write, optimizer, line):
    with pytest.raises(ScenarioError, match=line):
        prepare(write(None, federation={"rounds": 3, "optimizer": optimizer}))


def test_a_rate_that_comes_to_nothing_in_a_methods_own_optimiser(write):
    method = {"name": "feature_imputation", "optimizer": {"schedule": {"name": "cosine", "t_max": 2}}}
    with pytest.raises(ScenarioError, match="method: 'cosine' has no learning rate left in round 3 of"):
        prepare(write(None, method=method, federation={"rounds": 3}))


def test_a_metric_that_validation_leaves_undefined_decides_no_round(write, tmp_path):
    arrays = {
        "x.m0": np.eye(6),
        "x.m1": np.eye(6),
        "y": np.array([0, 1, 0, 1, 1, 1]),
        "split": np.array([0, 0, 2, 2, 1, 1]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    data = {"dataset": {"name": "arrays", "path": str(tmp_path / "a.npz")}}
    line = "evaluation.metric: 'macro_auc' is not defined on the 2 validation samples, which lack some outcome of every"
    with pytest.raises(ScenarioError, match=line):
        prepare(write(None, **data, evaluation={"metric": "macro_auc"}))
    prepare(write(None, **data, evaluation={"metric": "macro_auc", "select": "last"}))
    prepare(write(None, **data))


def test_a_method_that_predicts_nothing_is_judged_by_its_loss(write, tmp_path):
    x, y, split = np.eye(6), np.array([0, 1, 0, 1, 1, 1]), np.array([0, 0, 2, 2, 1, 1])
    np.savez(tmp_path / "a.npz", **{"x.m0": x, "x.m1": x, "y": y, "split": split})
    settings = {"dataset": {"name": "arrays", "path": str(tmp_path / "a.npz")},
                "method": {"name": "generate", "generator": "mvae"}}  # fmt: skip
    info = prepare(write(None, **settings, evaluation={"metric": "macro_auc"})).info
    assert (info.metric, info.metrics, info.select) == ("loss", ("loss",), "best")
    line = r"evaluation\.features: are of a task model, and 'generate' trains none; remove it"
    with pytest.raises(ScenarioError, match=line):
        check_kinds(write(None, **settings, evaluation={"features": 2}))


def test_two_arrays_of_pictures_need_two_names(write, tmp_path):
    arrays = {
        "x.labels": np.eye(6),
        "x.m1": np.eye(6),
        "y": np.array([0, 1, 0, 1, 0, 1]),
        "split": np.array([0, 0, 2, 2, 1, 1]),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    data = {"dataset": {"name": "arrays", "path": str(tmp_path / "a.npz")}}
    check_kinds(write(None, **data))
    with pytest.raises(ScenarioError, match=r"evaluation\.features: would keep two arrays 'labels'; give the modality"):
        check_kinds(write(None, **data, evaluation={"features": 2}))


def test_more_clients_a_round_than_natural_ones_are_refused(write):
    trial = write(
        None, dataset={"name": "synthetic", "clients": 3, "held_out": 10}, partition="natural",
        federation={"rounds": 1, "clients_per_round": 5},
    )  # fmt: skip
    check_kinds(trial)  # nobody knows how many there are
    with pytest.raises(
        ScenarioError, match=r"federation.clients_per_round: is 5, but there are 3 clients; write 3 or less"
    ):
        prepare(trial)


def test_a_trial_is_dealt_out_once_while_there_is_room(write, monkeypatch):
    first, second = write(["m0", "m1"]), write(["m0", "m1"], federation={"rounds": 2})
    before = prepare(first)
    assert prepare(second) is not before
    assert prepare(first) is before
    monkeypatch.setattr(preparing, "KEPT_BYTES", 1)
    newest = prepare(write(["m1", "m2"]))
    assert prepare(newest.trial) is newest
    again = prepare(first)
    assert again is not before
    assert (again.data.rows == before.data.rows).all()


def test_what_was_dealt_out_follows_the_data_to_where_it_lies(write):
    trial = write(["m0", "m1"])
    before = prepare(trial)
    moved = replace(before.data.dataset)
    instead(data_key(trial.scenario), moved)
    assert prepare(trial).data.dataset is moved
    assert prepare(trial).data.rows is before.data.rows
    for drop, stays in ((let_go, True), (forget, False)):
        drop()
        assert (prepare(trial).data.dataset is moved) is stays
