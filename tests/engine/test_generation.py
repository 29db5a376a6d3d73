"""What a generator makes is measured the same in process, on Ray, by other chunks and by a plain script."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import ray
import torch
from sklearn.metrics import accuracy_score, recall_score

from raysim.engine import judging
from raysim.engine.judging import judges_for
from raysim.generation import inception
from raysim.generation.judges import JudgeSettings, train_judges
from raysim.generation.plan import measured_rows
from raysim.generators.base import Generator
from raysim.generators.mopoe import Mopoe
from raysim.report.events import PicturesMade, RoundFinished, TrialFinished
from raysim.scenario.errors import ScenarioError
from raysim.seeding import stream
from raysim.simulation import fitting
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job
from raysim.training.trainer import Trainer

ASKED = {
    "rows": 20, "subsets": "all", "retrieval": True, "bound": 3, "prior_draws": 12, "pictures": 2, "judge_floor": 0.0,
    "judge_epochs": 2, "every_rounds": 2,
}  # fmt: skip
MATERIAL = Path(__file__).parent / "material"
SINGLES = [f"{s}>{t}" for s in ("image", "sequence", "vector") for t in ("image", "sequence", "vector")]
JOINT = ["image+sequence>vector", "image+vector>sequence", "sequence+vector>image"]
PRIOR = [">image", ">sequence", ">vector", ">"]


def settings(*more, generator="{name: mopoe, latent: 3, hidden: 8, channels: [4]}", **asked):
    return (
        f"method={{name: generate, generator: {generator}}}", "federation.optimizer={name: adam, lr: 0.005}",
        "numerics.evaluation_batch=8", f"evaluation.generation={json.dumps(ASKED | asked)}", *more,
    )  # fmt: skip


@pytest.fixture
def told(small):
    """The events of a trial in process."""

    def run(*words):
        events = []
        small.run(small.trial(*words), watch=events.append)
        return events

    return run


def generations(events):
    return {e.round: e.record["generation"] for e in events if isinstance(e, RoundFinished) if "generation" in e.record}


def test_each_subject_has_the_figures_that_make_sense_of_it(told):
    events = told(*settings())
    found = generations(events)
    assert list(found) == [2, 3]
    assert set(found[3]) == {*SINGLES, *JOINT, *PRIOR, "all"}
    ranks = {"top1", "top5", "top10", "median_rank", "mean_rank"}
    assert set(found[3]["image>image"]) == {"coherence", "frechet", "reconstruction"}
    assert set(found[3]["vector>image"]) == {"coherence", "frechet", "reconstruction", *ranks}
    assert set(found[3]["image>vector"]) == {"coherence", "uar", "frechet", "reconstruction", "cosine", *ranks}
    assert set(found[3]["image+vector>sequence"]) == {"coherence", "uar", "frechet", "reconstruction", "cosine"}
    assert [set(found[3][name]) for name in (">image", ">", "all")] == [{"frechet"}, {"coherence"}, {"bound"}]
    assert found[2] != found[3]
    (finished,) = [e for e in events if isinstance(e, TrialFinished)]
    summary = finished.summary["generation"]
    assert (summary["round"], summary["figures"]) == (3, found[3])
    assert set(summary["judges"]) == {"image", "sequence", "vector"}


class Script:
    """The networks of a trial's end, and its samples, for plain code that takes all at once."""

    def __init__(self, small, *words, rows=20):
        trial = small.trial(*words)
        prepared = prepare(trial)
        data = prepared.data.dataset
        self.judges = train_judges(data, JudgeSettings(epochs=2))
        job = Job(trial, prepared.data, self.judges)
        simulation = Simulation(job, LocalExecutor(job), prepared.info)
        self.events = [e for e in simulation.run() if e is not None]
        self.found = generations(self.events)[3]
        trainer = Trainer(job)
        self.nets = trainer.networks.bind(trainer.networks.receive(simulation._broadcast(0)))
        for group in job.groups:
            self.nets[group].requires_grad_(False)
        self.rows = measured_rows(data, rows, trial.seed)
        self.x = {m: torch.from_numpy(data.test.inputs[m][self.rows]) for m in data.names}
        self.lengths = torch.from_numpy(data.test.lengths["sequence"][self.rows])
        self.labels = data.test.labels[self.rows]
        self.real = {m: self.features(m, self.x[m], self.lengths if m == "sequence" else None) for m in data.names}

    def noise(self, ids, given, name, width, purpose="made"):
        return torch.tensor(np.stack([
            stream(0, "draw", "generation", purpose, *given, int(i), name).standard_normal(width, dtype=np.float32)
            for i in ids
        ]))  # fmt: skip

    def encoder(self, m):
        encoder = self.nets[f"gen.{m}.encoder"]
        mean, logvar = encoder(encoder.target(self.x[m], self.lengths if m == "sequence" else None))
        return mean, logvar

    def decode(self, z, m):
        return self.nets[f"gen.{m}.decoder"](z)

    def features(self, m, x, lengths=None):
        return self.judges.by_modality[m].features(x, lengths).double().numpy()

    def classes(self, m, x, lengths=None):
        return self.judges.by_modality[m](x, lengths).argmax(-1).numpy()


def frechet(a, b):
    """The root's trace is the sum of the singular values of the product of both deviations."""
    x, y = ((v - v.mean(0)) / np.sqrt(len(v) - 1) for v in (a, b))
    shared = np.linalg.norm(x @ y.T, "nuc")
    return np.square(a.mean(0) - b.mean(0)).sum() + np.square(x).sum() + np.square(y).sum() - 2 * shared


@pytest.mark.parametrize("draws", ["sample", "mean"])
def test_figures_are_those_of_a_plain_script(small, draws):
    script = Script(small, *settings("missing=none", "evaluation.missing=none", draws=draws))
    (mean, logvar), x = script.encoder("image"), script.x["vector"]
    z = mean if draws == "mean" else mean + script.noise(script.rows, ("image",), "z", 3) * (logvar / 2).exp()
    made, found = script.decode(z, "vector"), script.found["image>vector"]
    guess = script.classes("vector", made)
    assert found["coherence"] == pytest.approx(accuracy_score(script.labels, guess))
    assert found["uar"] == pytest.approx(recall_score(script.labels, guess, average="macro", zero_division=0))
    assert found["reconstruction"] == pytest.approx(((made - x).square().sum() / (x - x.mean(0)).square().sum()).item())
    assert found["cosine"] == pytest.approx(torch.cosine_similarity(made, x).mean().item(), abs=1e-6)
    assert found["frechet"] == pytest.approx(frechet(script.features("vector", made), script.real["vector"]), rel=1e-4)

    codes = {m: script.encoder(m)[0].double().numpy() for m in ("image", "vector")}
    cosines = (codes["image"] / np.linalg.norm(codes["image"], axis=1, keepdims=True)) @ (
        codes["vector"] / np.linalg.norm(codes["vector"], axis=1, keepdims=True)
    ).T
    ranks = [int((row > row[i]).sum()) for i, row in enumerate(cosines)]
    assert found["mean_rank"] == pytest.approx(np.mean(ranks))
    assert found["top5"] == pytest.approx(np.mean(np.array(ranks) < 5))

    nothing = script.noise(range(12), (), "z", 3)
    picture = script.decode(nothing, "image")
    assert script.found[">image"]["frechet"] == pytest.approx(
        frechet(script.features("image", picture), script.real["image"]), rel=1e-4
    )
    agree = [script.classes(m, script.decode(nothing, m)) for m in ("image", "sequence", "vector")]
    assert script.found[">"]["coherence"] == np.mean((agree[0] == agree[1]) & (agree[1] == agree[2]))

    (pictures,) = [e for e in script.events if isinstance(e, PicturesMade)]
    assert pictures.round == 3
    assert set(pictures.arrays) == {"real/image", "image/image", "prior/image"}
    eight = {"real": script.x["image"], "image": script.decode(z, "image"), "prior": picture}
    for name, images in eight.items():
        wanted = np.round(images[:2, 0, :, :, None].clamp(0, 1).numpy() * 255)
        assert np.abs(pictures.arrays[f"{name}/image"].astype(int) - wanted).max() <= 1


@pytest.mark.skipif(not inception.available(), reason=inception.MISSING)
@pytest.mark.slow
def test_the_fid_is_that_of_a_plain_script(small):
    """On the published network, of images alone: those made of each modality and of nothing."""
    asked = {"rows": 4, "prior_draws": 3, "subsets": "singles", "bound": 0, "every_rounds": None}
    words = settings("missing=none", "evaluation.missing=none", frechet=["inception"], **asked)
    script = Script(small, *words, rows=4)
    (mean, logvar), network = script.encoder("image"), inception.load()
    z = mean + script.noise(script.rows, ("image",), "z", 3) * (logvar / 2).exp()
    made = {
        "image>image": script.decode(z, "image"),
        ">image": script.decode(script.noise(range(3), (), "z", 3), "image"),
    }
    real = network.features(script.x["image"]).double().numpy()
    for name, pictures in made.items():
        wanted = frechet(network.features(pictures).double().numpy(), real)
        assert script.found[name]["fid"] == pytest.approx(wanted, rel=1e-3)
    assert {name for name, figures in script.found.items() if "fid" in figures} == {
        *(f"{m}>image" for m in ("image", "sequence", "vector")), ">image",
    }  # fmt: skip


def test_codes_that_are_mapped_are_ranked_beside_those_that_are_not(told, monkeypatch):
    plain = generations(told(*settings()))[3]

    def turned(self, nets, batch, source, target):
        code = Generator.code(self, nets, batch, source, target)
        return code if source == target else -code

    monkeypatch.setattr(Mopoe, "code", turned, raising=False)
    mapped = generations(told(*settings()))[3]
    for name in SINGLES:
        ranks = {n for n in plain[name] if n.startswith("top") or n.endswith("_rank")}
        assert {n: mapped[name][f"{n}_unmapped"] for n in ranks} == {n: plain[name][n] for n in ranks}
        # Turned round, what was nearest is farthest.
        assert not ranks or mapped[name]["mean_rank"] == pytest.approx(19 - plain[name]["mean_rank"])


def test_chunks_change_nothing_but_the_last_digits(told):
    small_, large = (generations(told(*settings(f"numerics.evaluation_batch={n}")))[3] for n in (3, 20))
    for subject, figures in large.items():
        for name, value in figures.items():
            assert small_[subject][name] == pytest.approx(value, rel=1e-3, abs=1e-3), (subject, name)


def test_generation_may_be_measured_where_nothing_else_is(told):
    events = told(*settings("evaluation.every_rounds=3", every_rounds=1, subsets="singles"))
    records = [e.record for e in events if isinstance(e, RoundFinished)]
    assert [("generation" in r, "test" in r) for r in records] == [(True, False), (True, False), (True, True)]


@pytest.mark.parametrize(
    "name", [
        "mmvae_plus",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("mvae", "mvtcae", "mmjsd", "mmvae", "mmvm")),
    ],
)  # fmt: skip
def test_every_generator_can_be_judged(told, name):
    events = told(*settings(generator=f"{{name: {name}, latent: 3, hidden: 8, channels: [4]}}", every_rounds=None))
    found = generations(events)
    assert set(found) == {3}
    assert set(found[3]) == {*SINGLES, *JOINT, *PRIOR, "all"}
    assert np.isfinite([v for figures in found[3].values() for v in figures.values()]).all()


@pytest.mark.parametrize(
    ("words", "place"),
    [
        (("method=zero_fill",), "evaluation.generation: judges what a generator makes, and 'zero_fill' trains none"),
        (settings(subsets=[["image"], ["picture"]]),
         "evaluation.generation.subsets.1: the data has no modality 'picture'; there are: image, sequence, vector"),
        (settings("modalities=[vector, sequence]", "model={}", frechet=["inception"]),
         "evaluation.generation.frechet: "),
    ],
)  # fmt: skip
def test_what_cannot_be_measured_is_said_before_anything_starts(small, words, place):
    if words[0] == "method=zero_fill":
        words = (*words, "evaluation.generation={rows: 5}")
    with pytest.raises(ScenarioError) as error:
        prepare(small.trial(*words))
    assert place in str(error.value)
    assert "\n" not in str(error.value)


def test_a_method_without_a_generator_is_told_before_data_is_read(small):
    with pytest.raises(ScenarioError, match="judges what a generator makes, and 'zero_fill' trains none"):
        check_kinds(small.trial("evaluation.generation={rows: 5}"))


def test_data_without_complete_test_samples_is_refused(small, monkeypatch):
    monkeypatch.setattr(fitting, "measured_rows", lambda data, count, seed: np.array([], dtype=np.int64))
    with pytest.raises(ScenarioError, match="generation: needs test samples with every modality, and there"):
        prepare(small.trial(*settings()))


def test_a_judge_that_knows_little_stops_the_trial(small):
    trial = small.trial(*settings(judge_floor=0.99))
    says = r"evaluation.generation.judge_floor: is 0.99, and the judge of '\w+' is right about 0.\d\d\d of the real"
    with pytest.raises(ScenarioError, match=says):
        judges_for(trial, prepare(trial).data.dataset)


def test_judges_learn_once(small, monkeypatch):
    trial = small.trial(*settings(judge_epochs=3))
    data = prepare(trial).data.dataset
    first = judges_for(trial, data)
    monkeypatch.setattr("raysim.generation.judges.train_judges", lambda *_: pytest.fail("it learns again"))
    again = judges_for(trial, data)
    assert again.accuracy == first.accuracy
    for m, judge in first.by_modality.items():
        for name, tensor in judge.state_dict().items():
            assert torch.equal(again.by_modality[m].state_dict()[name], tensor)


def test_a_job_without_judges_is_a_mistake(small):
    trial = small.trial(*settings())
    prepared = prepare(trial)
    job = Job(trial, prepared.data)
    with pytest.raises(ValueError, match="generation is measured by judges: "):
        Simulation(job, LocalExecutor(job), prepared.info)


@pytest.mark.ray
def test_the_same_bits_on_three_actors(small, local_ray):
    trial, pool = small.trial(*settings(frechet=["judge"])), small.warm("placement.actors=3")
    assert len(pool.actors) == 3
    here, there = [], []
    assert small.run(trial, pool, watch=there.append) == small.run(trial, watch=here.append)
    (one,), (other,) = ([e.arrays for e in events if isinstance(e, PicturesMade)] for events in (here, there))
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in other.items()}


@pytest.mark.slow
@pytest.mark.ray
def test_a_run_measures_what_this_process_does(small, marked, told):
    shutil.copy(MATERIAL / "ray_material.py", marked.folder)
    file = shutil.copy(MATERIAL / "small.yaml", marked.folder)
    words = settings("placement.actors=2")
    status, out, err = marked.run(
        "run", file, "--out", "out", "--progress", "plain", *(w for s in words for w in ("--set", s))
    )
    assert (status, err) == (0, "")
    assert "warning: small: judges of what is made come first" in out
    summary = json.loads((marked.folder / "out" / "small" / "seed=0" / "summary.json").read_text())
    (finished,) = [e for e in told(*words) if isinstance(e, TrialFinished)]
    assert summary["generation"] == finished.summary["generation"]


@pytest.mark.ray
def test_judges_learn_in_a_task_and_come_to_the_driver(small, local_ray):
    trial = small.trial(*settings(judge_epochs=1))
    data = prepare(trial).data.dataset
    judges = ray.get(judging.learning(trial, ray.put(data), ray.get_runtime_context().get_node_id()), timeout=60)
    assert judges.accuracy == judges_for(trial, data).accuracy
