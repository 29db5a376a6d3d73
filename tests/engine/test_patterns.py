"""Trials with partitions, missing patterns and augmentations of one's own, and with raysim's that change inputs."""

import json
import sys

import numpy as np
import pytest

from raysim.cli.app import main
from raysim.engine.origin import own_code
from raysim.report.events import RoundFinished
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

OWN = (
    'partition={name: "ray_parts:by_size", clients: 5}',
    'missing={name: "ray_parts:Late", modality: sequence}',
    'model.augment={image: {name: "ray_parts:jitter", sigma: 0.2, flip: 0.5}, sequence: "ray_parts:Dimmed"}',
)
CHANGING = (
    "missing={name: per_sample, rate: 0.2, client_rate: 0.3, by_class: {a: 0.7}, changing: {every_rounds: 2, rates: "
    "[0.6]}}",
    "evaluation.missing=0.3",
)
ALTERED = (
    "missing={name: per_sample, rate: 0.2, parts: {rate: {image: 1.0, vector: 0.5}, share: 0.4}}",
    "feature_noise=0.5",
)
CASES = pytest.mark.parametrize("settings", [OWN, CHANGING, ALTERED], ids=["own", "changing", "altered"])


def numbers(found):
    return {name: np.frombuffer(x, np.float32) for name, x in found["weights"].items()}


@CASES
def test_a_stack_of_four_is_one_after_another(small, settings):
    one, four = (numbers(small.run(small.trial(*settings, f"numerics.stack={stack}"))) for stack in (1, 4))
    for name, weights in one.items():
        np.testing.assert_allclose(four[name], weights, rtol=0, atol=1e-6, err_msg=name)


def test_who_has_nothing_of_a_modality_in_a_round_sends_nothing_of_it_in_a_stack_either(small):
    """A method that selects uploads averages those that there are."""
    settings = (
        "missing={name: per_sample, rate: 0.5, changing: {every_rounds: 1}}", "federation.algorithm=scaffold",
        "partition={name: dirichlet, clients: 30, alpha: 1.0, min_size: 1}", "method=mmfedmc",
    )  # fmt: skip
    one, four = (small.run(small.trial(*settings, f"numerics.stack={stack}")) for stack in (1, 4))
    assert any(len(c["loss"]) < 3 for c in one["records"][0]["clients"] if c["offer"]["loss.vector"] == 0)
    uploads = [[(c["id"], c["bytes_up"]) for r in run["records"] for c in r["clients"]] for run in (one, four)]
    assert uploads[0] == uploads[1]
    for name, weights in numbers(one).items():
        np.testing.assert_allclose(numbers(four)[name], weights, rtol=0, atol=1e-5, err_msg=name)


@CASES
def test_each_changes_the_result(small, settings):
    same = [s for s in settings if s.startswith("evaluation")]
    plain = numbers(small.run(small.trial(*same)))
    for setting in settings[: len(settings) - len(same)]:
        found = numbers(small.run(small.trial(setting, *same)))
        assert any((found[name] != plain[name]).any() for name in plain)


@pytest.mark.ray
@CASES
def test_the_same_bits_on_ray_as_in_process(small, local_ray, settings):
    trial = small.trial(*settings, "numerics.stack=2")
    small.same_on_ray(trial)


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("partition=ray_parts:by_siz",
         "partition.name: 'ray_parts' has no partition function 'by_siz'; did you mean 'by_size'?"),
        ('partition={name: "ray_parts:by_size", client: 3}', "partition.client: unknown key; did you mean 'clients'?"),
        ("missing=ray_parts:Late", "missing.modality: is required; write text"),
        ('missing={name: "ray_parts:Late", modality: image, parts: {rate: 2, share: 0.1}}',
         "missing.parts.rate: must be a number from 0 to 1 or a mapping, is 2"),
        ("missing=nowhere:Late",
         "missing.name: there is no module 'nowhere'; put it beside the scenario, in the current folder, or install "
         "it"),
        ("missing=per_sampel", "missing: there is none named 'per_sampel'; did you mean 'per_sample'?"),
        ("partition={name: iidd, clients: 3}", "partition: there is none named 'iidd'; did you mean 'iid'?"),
        ('model.augment.image={name: "ray_parts:jitter", sigma: much}',
         "model.augment.image.sigma: must be a number, is 'much'"),
        ("model.augment.image={flop: 0.5}", "model.augment.image.flop: unknown key; did you mean 'flip'?"),
        ("missing={name: per_sample, rate: 0.5, empty: drop, changing: {every_rounds: 2}}",
         "missing.empty: samples stay while missing.changing hides other modalities of them; write keep_one"),
        ("missing={name: per_sample, rate: 0.5, changing: {every_rounds: 2, rates: [0.7]}}",
         "evaluation.missing: 'same' needs one rate, and missing.changing has several; write one"),
        ("missing={name: none}", "evaluation.missing: 'same' needs a rate, and missing 'none' has none; write one"),
    ],
)  # fmt: skip
def test_a_mistake_in_its_settings(small, setting, line):
    with pytest.raises(ScenarioError) as caught:
        small.trial(setting)
    assert str(caught.value).partition(": ")[2] == line or str(caught.value) == f"--set {setting}: {line}"


@pytest.mark.parametrize(
    ("setting", "line"),
    [
        ("model.augment.image=ray_parts:first_client", "model.augment.image: 'ray_parts:first_client' gives other "
         "numbers for clients together (K, B, ...) than for each alone; count dimensions from the right"),
        ("model.augment.vector=ray_parts:elsewhere", "model.augment.vector: 'ray_parts:elsewhere' gives other numbers "
         "when it is called again; draw from noise alone"),
        ("model.augment.vector=ray_parts:Dimmed", "model.augment.vector: 'ray_parts:Dimmed' fails: "),
        ('model.augment.vector={name: "ray_parts:jitter", flip: 0.5}',
         "model.augment: is for images, and 'vector' is vector; remove it"),
        ("model.augment.video=ray_parts:jitter", "model.augment: is for images, and 'video' is no modality; remove it"),
        ("missing={name: per_sample, rate: 0.5, by_class: {aa: 0.5}}", "missing: by_class: no class 'aa'; "),
        ("missing={name: none, parts: {rate: {imge: 0.5}, share: 0.5}}", "missing: parts: no modality 'imge'; did you"),
        ('missing={name: "ray_parts:Late", modality: video}', "missing: 'ray_parts:Late' fails: "),
        ("partition=ray_parts:overlapping", "partition: 'ray_parts:overlapping': client 1 gets row 2, which client 0 "
         "has; give each sample to one client"),
    ],
)  # fmt: skip
def test_what_is_found_before_anything_starts(small, setting, line):
    with pytest.raises(ScenarioError) as caught:
        prepare(small.trial(setting))
    assert str(caught.value).startswith(f"--set {setting}: {line}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        (("method={name: unimodal, modality: image}",),
         "missing: the method leaves modalities out, so samples would come and go between rounds; remove changing"),
        (("method=ray_parts:Keeps",), "missing.changing: stage 'task' of 'ray_parts:Keeps' computes once for all "),
    ],
)  # fmt: skip
def test_a_method_that_does_not_go_with_changing(small, settings, line):
    with pytest.raises(ScenarioError, match=line):
        prepare(small.trial(*CHANGING, *settings))


def test_what_a_client_has_in_a_round_is_within_what_it_ever_has(small):
    data = prepare(small.trial(*CHANGING)).data
    rounds = [data.mask_in(r, lambda mask, present: mask) for r in (1, 2, 3)]
    assert (rounds[0] == rounds[1]).all()
    assert (rounds[1] != rounds[2]).any()
    assert all((m <= data.mask).all() and (data.always <= m).all() for m in rounds)
    assert (data.mask.any(axis=1)[data.rows]).all()
    for client in range(data.clients):
        info, rows = data.info(client), data.part(client)
        had = {m for i, m in enumerate(data.dataset.names) if any(mask[rows, i].any() for mask in rounds)}
        assert had <= info.modalities
        assert all(mask[rows][:, data.dataset.names.index(m)].all() for m in info.always for mask in rounds)
    full = prepare(small.trial(*CHANGING, "method=complete")).data
    assert (full.mask_in(3, lambda mask, present: present)).all()


EXAMPLE = '''import numpy as np


def by_size(samples, rng, clients: int = 4):
    """Client i has i times as many samples as the first."""
    shares = np.arange(1, clients + 1)
    return np.split(rng.permutation(samples), shares.cumsum()[:-1] * samples // shares.sum())


def broken_sensor(present, parts, names, rng, modality: str, rate: float = 0.5):
    """Some clients lack a modality from one of their samples on."""
    mask = present.copy()
    for rows in parts:
        if rng.random() < rate:
            mask[rows[rng.integers(len(rows) + 1) :], names.index(modality)] = False
    return mask


def jitter(x, noise, sigma: float = 0.1):
    return x + sigma * noise("jitter", x.shape)
'''
SCENARIO = """name: own_parts
dataset: {name: polydigits, modalities: 2, copies: 1}
partition: {name: "myparts:by_size", clients: 5}
feature_noise: 0.1
missing: {name: "myparts:broken_sensor", modality: m1, rate: 0.8, parts: {rate: 0.3, share: 0.2}}
model:
  augment: {m0: {name: "myparts:jitter", sigma: 0.05, flip: 0.5}}
method: zero_fill
federation: {rounds: 2}
evaluation: {missing: same}
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The example's files, where one works."""
    (tmp_path / "myparts.py").write_text(EXAMPLE)
    (tmp_path / "own_parts.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("myparts", None)


def test_the_example_works_as_it_stands(home, capsys):
    assert main(["validate", "own_parts.yaml"]) == 0
    taken = {("partition", "by_size"): "clients", ("missing", "broken_sensor"): "modality",
             ("augmentation", "jitter"): "sigma"}  # fmt: skip
    for (kind, name), option in taken.items():
        assert main(["info", kind, f"myparts:{name}", "--json"]) == 0
        assert json.loads(capsys.readouterr().out.splitlines()[-1])["options"][0]["name"] == option
    (trial,) = load(home / "own_parts.yaml", ["numerics.device=cpu", "federation.rounds=1", "numerics.stack=1"])
    check(trial)
    prepared = prepare(trial)
    data = prepared.data
    assert data.sizes.tolist() == pytest.approx((len(data.rows) * np.arange(1, 6) / 15).tolist(), abs=1)
    broken = [(~data.mask[data.part(c), 1]).any() for c in range(5)]
    assert 1 <= sum(broken) < 5
    assert data.mask[data.rows, 0].all()
    assert data.hidden["test"] == pytest.approx(0.2, abs=0.03)  # m1's: 0.8 times a half
    job = Job(trial, data)
    (record,) = [
        e.record for e in Simulation(job, LocalExecutor(job), prepared.info).run() if isinstance(e, RoundFinished)
    ]
    assert np.isfinite(record["loss"]["task"])
    assert own_code([str(home)]) == {"myparts.py": EXAMPLE.encode()}
