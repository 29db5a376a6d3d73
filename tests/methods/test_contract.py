"""What every method in `methods/` must keep to."""

import sys
from dataclasses import replace
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from sizes import FITS, SECTIONS, SMALL

from raysim import predictor, registry
from raysim.data.federated import View
from raysim.method import Method
from raysim.models.feature import pooled
from raysim.planning.rehearsal import rehearse
from raysim.planning.speed import measured
from raysim.report.events import ModelKept, Warned
from raysim.seeding import stream
from raysim.training.kept import ModelError
from raysim.training.trainer import Trainer
from raysim.training.units import plan_units

METHODS = [entry.name for entry in registry.listed("method")]
DATA = ("mixed", "vectors")
MISSING = {"name": "per_sample", "rate": 0.3}
ROUNDS = {"rounds": 2, "batch_size": 12}
"""Two of the four clients of `tiny_data` take one step in each, two take another one with the few samples left."""


@pytest.fixture(params=METHODS)
def name(request):
    return request.param


@pytest.fixture
def trial(name, tiny_data, make_job):
    """`trial(data, **sections)`: two rounds of the method under test, all four clients in one stack."""

    def make(data="mixed", multi_label=False, plain_steps=False, regression=False, options=None, stack=4, **sections):
        data = tiny_data(FITS.get(name, data), multi_label=multi_label, regression=regression)
        method = {"name": name} | SMALL.get(name, {}) | (options or {})
        if name == "unimodal":
            method["modality"] = next(iter(data.modalities))
        if plain_steps:
            fields = registry.find("method", name).Options.model_fields
            method |= {f: {"name": "sgd", "lr": 0.01} for f in fields if f.endswith("optimizer")}
        defaults = {"missing": MISSING, "federation": ROUNDS, "evaluation": {"every_rounds": 2}}
        return make_job(data, method, stack=stack, **(defaults | SECTIONS.get(name, {}) | sections))

    return make


def test_the_file_says_what_it_is_and_where_it_comes_from(name):
    kind = registry.find("method", name)
    assert issubclass(kind, Method)
    summary, *rest = sys.modules[kind.__module__].__doc__.splitlines()
    assert summary.endswith(".")
    assert any(line.startswith("Source: ") for line in rest)


def test_defaults_are_valid_options(trial):
    options = trial().method.options
    again = registry.options(type(trial().method), options.model_dump(mode="json"))
    assert again == options


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize(("fusion", "multi_label"), [("concat", True), ("attention", False)])
def test_what_it_trains_changes_and_nothing_else(trial, new_run, data, fusion, multi_label):
    run = new_run(trial(data, multi_label, model={"dim": 8, "head": {"hidden": 8}, "fusion": fusion})).go()
    job = run.job
    trained = {n for phase in job.phases for n in job.trained(phase) if job.owners(n).any()}
    changed = {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()}
    assert changed <= trained
    # Attention over a single token has nothing to learn.
    assert (trained & set(job.shared)) - changed <= {"task.fusion"}
    losses = [loss for record in run.records for loss in record["loss"].values()]
    assert losses
    assert np.isfinite(losses).all()


@pytest.mark.parametrize("stack", [1, 4])
def test_what_nobody_could_learn_from_pairs_is_not_filled_in(trial, new_run, tiny_data, name, monkeypatch, stack):
    names = list(tiny_data(FITS.get(name, "vectors")).modalities)
    roles = [{"modalities": [m], "clients": 2} for m in names[:2]]
    job = trial("vectors", missing={"name": "roles", "roles": roles}, stack=stack)
    if not job.teachers:
        pytest.skip("no network of it learns from samples with several modalities")
    filled, fill = [], type(job.method).fill

    def spy(self, batch, nets, features):
        streams = fill(self, batch, nets, features)
        for m, present in batch.present.items():
            filled.append(pooled(streams[m])[~present & batch.rows].abs().sum().item())
        return streams

    run = new_run(job)  # which tries a prediction with networks as if they had learnt
    monkeypatch.setattr(type(job.method), "fill", spy)
    run.go()
    assert len(filled) >= 4 * job.rounds
    assert set(filled) == {0.0}
    assert set(job.teachers.values()) == {0}
    warnings = [e.text for e in run.told if isinstance(e, Warned)]
    assert warnings == [f"no client has samples that teach {', '.join(job.teachers)}: they fill nothing in"]


@pytest.mark.parametrize("data", DATA)
def test_it_predicts_whatever_is_missing(trial, new_run, data):
    count = len(trial(data).task.modalities)
    subsets = np.array(list(product([True, False], repeat=count)))

    def all_subsets(federated):
        return replace(federated, views=federated.views | {"test": View("test", subsets)})

    job = trial(data, change=all_subsets)
    broadcast = new_run(job).simulation._broadcast(0)
    logits = Trainer(job).predict(broadcast, "test", 0, len(subsets))
    assert logits.shape == ((2**count,) if job.method.has("losses") else (2**count, 3))
    assert np.isfinite(logits).all()


def test_kept_networks_predict_the_same_bits(trial, new_run, tmp_path, monkeypatch):
    run = new_run(trial(evaluation={"missing": 0.5, "select": "last"})).go()
    job, path = run.job, tmp_path / "model.safetensors"
    path.write_bytes(next(e.data for e in run.told if isinstance(e, ModelKept)))
    monkeypatch.setattr(predictor, "prepare", lambda trial: SimpleNamespace(data=job.data))
    kept, broadcast = predictor.load(path), run.simulation._broadcast(len(job.phases) - 1)
    view, split = job.data.views["test"], job.data.dataset.test
    present = {m: view.mask[:, i] for i, m in enumerate(job.task.modalities)}
    samples = (split.inputs, present, split.lengths)
    assert {g: {n: t.shape for n, t in tensors.items()} for g, tensors in kept.state_dicts().items()} == {
        g: {n: t.shape for n, t in kept.networks[g].state_dict().items() if t.is_floating_point()} for g in job.shared
    }
    if job.method.has("losses"):
        with pytest.raises(ModelError, match="predicts nothing"):
            kept.predict(*samples)
        return
    logits = np.concatenate(
        [Trainer(job).predict(broadcast, "test", i, min(i + 8, len(split))) for i in range(0, len(split), 8)]
    )
    assert kept.logits(*samples).tobytes() == logits.tobytes()
    assert kept.evaluate()["test"] == {k: pytest.approx(v, abs=0) for k, v in run.records[-1]["test"].items()}
    embedded = kept.embed(*samples)
    assert all(np.isfinite(embedded[m][present[m]]).all() for m in embedded)
    if job.method.fills != "input":
        with pytest.raises(ModelError, match="makes no inputs up"):
            kept.fill(*samples)
        return
    for m, spec in job.task.modalities.items():
        made = kept.fill(*samples)[f"x.{m}"]
        assert made.shape == (len(split), *spec.shape)
        assert np.isnan(made[present[m]]).all()


REFUSE = {
    "cacmrn": "cacmrn is for multi_label and single_label data, and this is regression; use another method",
    "mmfedmc": "mmfedmc is for multi_label and single_label data, and this is regression; use another method",
    "car_mfl": "car_mfl refines by labels, which are no classes here; set refine: false",
}
"""Why a method has nothing to do with a regression."""
MENDED = {"car_mfl": {"refine": False}}
"""Options with which it has."""


@pytest.mark.parametrize("loss", ["mse", "huber"])
def test_of_a_regression_it_learns_or_says_why_not(trial, new_run, name, loss, tmp_path, monkeypatch):
    evaluation = {"metrics": ["mae", "r2"], "metric": "mae", "missing": 0.5, "select": "last"}
    model = {"dim": 8, "head": {"hidden": 8, "loss": loss}}
    if name in REFUSE:
        with pytest.raises(ValueError, match=f"^{REFUSE[name]}$"):
            trial(regression=True, model=model, evaluation=evaluation)
    if name in REFUSE.keys() - MENDED.keys():
        return
    job = trial(regression=True, model=model, evaluation=evaluation, options=MENDED.get(name))
    run = new_run(job).go()
    trained = {n for phase in job.phases for n in job.trained(phase) if job.owners(n).any()} & set(job.shared)
    assert {n for n in trained if run.x[n].tobytes() == run.start[n].tobytes()} <= {"task.fusion"}
    found = run.records[-1]["test"]
    if job.method.has("losses"):
        assert list(found) == ["loss"]
        return
    path, split = tmp_path / "model.safetensors", job.data.dataset.test
    path.write_bytes(next(e.data for e in run.told if isinstance(e, ModelKept)))
    monkeypatch.setattr(predictor, "prepare", lambda trial: SimpleNamespace(data=job.data))
    kept = predictor.load(path)
    assert (kept.classes, kept.targets) == ((), ("height", "weight"))
    present = {m: job.data.views["test"].mask[:, i] for i, m in enumerate(job.task.modalities)}
    made = kept.predict(split.inputs, present, split.lengths)
    assert made.shape == split.labels.shape == (len(split), 2)
    error = np.abs(made.astype(np.float64) - split.labels)
    wanted = (error**2).mean() if loss == "mse" else np.where(error <= 1, error**2 / 2, error - 0.5).mean()
    assert found["loss"] == pytest.approx(wanted)
    assert found["mae"] == pytest.approx(error.mean())
    assert kept.evaluate()["test"] == found


def test_equal_seeds_give_equal_bits(trial, new_run):
    bits = new_run(trial()).go().bits()
    assert new_run(trial()).go().bits() == bits
    assert new_run(trial(seed=1)).go().bits() != bits


@pytest.mark.parametrize("algorithm", ["fedavg", "scaffold"])
def test_what_travels_is_known_before_anything_starts(trial, new_run, algorithm):
    run = new_run(trial(federation=ROUNDS | {"clients_per_round": 3, "algorithm": algorithm}))
    known = rehearse(run.job, measured(run.job, run.simulation.info).shared)
    run.go()
    down, up = (sum(record[f"bytes_{way}"] for record in run.records) for way in ("down", "up"))
    assert (known.bytes_down, sum(load.rounds for load in known.loads)) == (down, run.job.rounds)
    assert known.bytes_up == up if known.exact else known.bytes_up >= up
    assert known.exact is not run.job.method.has("select")
    unmeasured = rehearse(run.job, None)
    assert unmeasured.bytes_up == known.bytes_up
    assert (unmeasured.bytes_down < known.bytes_down) is unmeasured.unshared
    assert unmeasured.exact is (known.exact and not unmeasured.unshared)


@pytest.mark.parametrize(("algorithm", "stack"), [("fedavg", 1), ("scaffold", 4)])
def test_two_rounds_are_one_round_and_another(trial, new_run, algorithm, stack):
    def made():
        return trial(federation=ROUNDS | {"algorithm": algorithm}, stack=stack)

    at_once = new_run(made()).go()
    assert new_run(made()).go(until=1).move(made()).go().bits() == at_once.bits()


@pytest.mark.parametrize("stack", [1, 4])
def test_absent_rows_never_leak(trial, new_run, poison, stack):
    rng = stream(0, "poison")
    zeros, *others = (
        new_run(trial(change=poison(make), stack=stack)).go().bits()
        for make in (np.zeros, lambda shape: np.nan, lambda shape: 1e30 * rng.standard_normal(shape))
    )
    assert others == [zeros, zeros]


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("level", ["samples", "roles"])
def test_a_stack_is_its_clients_one_after_another(trial, new_run, tiny_data, name, data, level):
    names = list(tiny_data(FITS.get(name, data)).modalities)
    roles = [{"modalities": names[:1], "clients": 2}, {"modalities": names, "clients": 2}]
    missing = MISSING if level == "samples" else {"name": "roles", "roles": roles}
    # Plain steps: Adam makes a visible step of a gradient that is nothing but rounding.
    one, four = (new_run(trial(data, plain_steps=True, stack=stack, missing=missing)).go(until=1) for stack in (1, 4))
    units = plan_units(four.job.data, range(4), 4, {})
    assert max(len(unit.clients) for unit in units) > 1
    for group, values in one.x.items():
        np.testing.assert_allclose(four.x[group], values, rtol=0, atol=1e-5, err_msg=group)
