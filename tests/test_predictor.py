"""What a finished trial keeps, from files: new samples, the command, starting from it, and what is wrong with it."""

import csv
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import yaml

import raysim
from raysim.cli.app import main
from raysim.data.dataset import DataError, Dataset, Modality, Split
from raysim.data.given import given
from raysim.data.seen import seen
from raysim.predictor import Unfit
from raysim.report.events import ModelKept, RoundFinished, StudyStarted, TrialFinished, Warned
from raysim.report.files import FileSink
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load as load_trials
from raysim.seeding import stream
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.prepare import forget, prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job
from raysim.training.kept import ModelError

SCENARIO = {
    "name": "own", "partition": {"name": "iid", "clients": 3}, "missing": {"name": "per_sample", "rate": 0.3},
    "method": {"name": "feature_imputation", "layers": 1, "heads": 2, "hidden": 8},
    "model": {"dim": 8, "head": {"hidden": 8}},
    "federation": {"rounds": 3, "batch_size": 8, "optimizer": {"name": "adam", "lr": 0.01}},
    "evaluation": {"missing": "same"}, "numerics": {"device": "cpu", "stack": 3, "evaluation_batch": 16},
}  # fmt: skip


def written(folder, several=False):
    """Ninety samples: a vector far from 0, a padded sequence, images of bytes, tokens."""
    rng, n = stream(0, "given"), 90
    y = rng.integers(3, size=n)
    arrays = {
        "x.vitals": 1000 + 50 * rng.standard_normal((n, 4)) + 20 * y[:, None],
        "x.sound": rng.standard_normal((n, 7, 2)).astype(np.float32), "length.sound": rng.integers(3, 8, size=n),
        "x.scan": rng.integers(256, size=(n, 1, 6, 6), dtype=np.uint8),
        "x.text": rng.integers(5, size=(n, 4)), "length.text": rng.integers(1, 5, size=n),
        "y": np.eye(3, dtype=int)[y] | (rng.random((n, 3)) < 0.3) if several else y,
        "split": np.repeat(["train", "validation", "test"], n // 3),
        "classes": np.array(["low", "mid", "high"]),
    }  # fmt: skip
    np.savez(folder / "own.npz", **arrays)
    return arrays


def trained(folder, **more):
    """A trial of the data there, as `raysim run` leaves it; its folder and what was told."""
    data = {"name": "arrays", "path": str(folder / "own.npz"), "standardize": {"vitals": "train"}}
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(SCENARIO | {"dataset": data} | more))
    prepared = prepare(load_trials(path)[0])
    job = Job(prepared.trial, prepared.data)
    sink, told = FileSink(folder / "out"), []
    sink.handle(StudyStarted((prepared.info,), str(folder / "out"), "this machine"))
    for event in Simulation(job, LocalExecutor(job), prepared.info).run():
        told.append(event)
        sink.handle(event)
    return folder / "out" / "own" / prepared.info.name, told


def rows(arrays, split="test", **but):
    """Inputs, presence and lengths of a split, as a user has them."""
    at = arrays["split"] == split
    inputs = {k.removeprefix("x."): v[at] for k, v in arrays.items() if k.startswith("x.")}
    lengths = {k.removeprefix("length."): v[at] for k, v in arrays.items() if k.startswith("length.")}
    return inputs | but, {}, lengths


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Arrays, a trial of them, what was told."""
    folder = tmp_path_factory.mktemp("home")
    return written(folder), *trained(folder)


@pytest.mark.parametrize("several", [False, True])
def test_the_reported_round_again_from_its_own_and_from_new_samples(tmp_path, several):
    arrays = written(tmp_path, several)
    trial, told = trained(tmp_path)
    summary = next(e.summary for e in told if isinstance(e, TrialFinished))
    model = raysim.load(trial)
    assert model.kept.round == summary["round"]
    assert model.evaluate() == summary["splits"]
    logits, labels = model.own("test_unmasked")
    assert model.figures(logits, labels) == summary["splits"]["test_unmasked"]
    inputs, present, lengths = rows(arrays)
    assert model.logits(inputs, present, lengths).tobytes() == logits.tobytes()
    chances = model.predict(inputs, present, lengths)
    assert chances.shape == (30, 3)
    assert several or chances.sum(1) == pytest.approx(np.ones(30), abs=1e-6)


@pytest.mark.parametrize("by", ["client", "fedmultimodal"])
def test_new_samples_are_scaled_by_themselves_where_evaluated_ones_were(tmp_path, capsys, by):
    arrays = written(tmp_path)
    clients = np.tile(["ann", "bob", "cy"], len(arrays["y"]) // 3)
    np.savez(tmp_path / "own.npz", **arrays, client=clients)
    data = {"name": "arrays", "path": str(tmp_path / "own.npz"), "standardize": {"vitals": by}}
    trial, _ = trained(tmp_path, dataset=data)
    model = raysim.load(trial)
    wanted, own = model.own("test_unmasked")[0].tobytes(), clients[arrays["split"] == "test"]
    inputs, present, lengths = rows(arrays)
    assert model.logits(inputs, present, lengths, own).tobytes() == wanted
    assert (model.logits(inputs, present, lengths).tobytes() == wanted) == (by == "fedmultimodal")
    np.savez(tmp_path / "new.npz", client=own, **{k: v[arrays["split"] == "test"] for k, v in arrays.items()
                                                  if k != "classes"})  # fmt: skip
    assert main(["predict", str(trial), str(tmp_path / "new.npz"), "--out", str(tmp_path / "said.npz")]) == 0
    assert np.load(tmp_path / "said.npz")["logits"].tobytes() == wanted
    assert "30 samples; accuracy 0." in capsys.readouterr().out  # y has the classes' numbers, as in training
    with pytest.raises(ModelError, match=r"clients are <U3 of shape \(3,\); write one for each of 30 samples"):
        model.logits(inputs, present, lengths, own[:3])


OWN_HEAD = """from dataclasses import replace

from raysim.method import Method


class OwnHead(Method):
    def modules(self, task):
        groups = super().modules(task)
        return groups | {"task.head": replace(groups["task.head"], shared=False)}
"""


@pytest.mark.ray
def test_clients_own_groups_are_kept_where_they_are_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_head.py").write_text(OWN_HEAD)
    arrays = written(tmp_path)
    served = {"clients": {"share": 0.2}, "missing": "same", "keep_model": "last", "keep_private": True}
    wish = {"method": "own_head:OwnHead", "evaluation": served}
    trial, _ = trained(tmp_path, **wish)
    study = raysim.run(tmp_path / "own.yaml", out=tmp_path / "ray", progress="none", overrides={"placement.actors": 2})
    assert (study.trials[0].folder / "private.npz").read_bytes() == (trial / "private.npz").read_bytes()
    inputs, present, lengths = rows(arrays)
    nobody, *clients = (raysim.load(trial, client) for client in (None, 0, 1, 2))
    said = [model.logits(inputs, present, lengths).tobytes() for model in clients]
    assert len(set(said)) == 3
    for ask in (lambda: nobody.logits(inputs, present, lengths), nobody.evaluate):
        with pytest.raises(ModelError, match=r"task\.head stay with the clients; say whose, by client"):
            ask()
    assert main(["predict", str(trial), "test", "--out", "p.csv", "--client", "1"]) == 0
    assert "p.csv: 30 samples; accuracy 0." in capsys.readouterr().out
    assert main(["predict", str(trial), "test", "--out", "p.csv"]) == 2
    assert "say whose, by client (--client)" in capsys.readouterr().err
    with np.load(trial / "private.npz") as kept:
        assert sorted(kept) == ["0/task.head", "1/task.head", "2/task.head"]
        head = np.concatenate([t.detach().reshape(-1) for t in clients[1].networks["task.head"].parameters()])
        assert head.tobytes() == kept["1/task.head"].tobytes()
    with pytest.raises(ModelError, match=r"private.npz: has nothing of client 7; there are 3, from 0 to 2$"):
        raysim.load(trial, client=7)
    (trial / "private.npz").unlink()
    with pytest.raises(ModelError, match=r"private.npz: is not there; the trial had no evaluation.keep_private: true"):
        raysim.load(trial, client=0)
    assert main(["validate", "own.yaml", "--set", "evaluation.keep_model=best"]) == 2
    assert capsys.readouterr().err.endswith("is of the last round; set evaluation.keep_model: last, too\n")


@pytest.mark.ray
@pytest.mark.slow
def test_a_trials_folder_has_all_that_its_model_needs_and_notices_what_has_changed(tmp_path):
    for name in ("study", "elsewhere"):
        (tmp_path / name).mkdir()
    study, code = tmp_path / "study", tmp_path / "study" / "own_head.py"
    code.write_text(OWN_HEAD.replace("shared=False", "shared=True"))
    arrays = written(study)
    data = {"name": "arrays", "path": str(study / "own.npz")}
    (study / "own.yaml").write_text(yaml.safe_dump(SCENARIO | {"dataset": data, "method": "own_head:OwnHead"}))

    def command(*words, folder=study):
        line = [sys.executable, "-c", "import sys; from raysim.cli.app import main; sys.exit(main())", *map(str, words)]
        return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)

    assert command("run", "own.yaml", "--out", "out").returncode == 0
    trial = study / "out" / "own" / "seed=0"
    for words in (["predict", trial, "test", "--out", "p.csv"], ["validate", trial / "scenario.yaml"]):
        found = command(*words, folder=tmp_path / "elsewhere")
        assert (found.returncode, found.stderr) == (0, "")
    np.savez(study / "own.npz", **arrays | {"x.vitals": arrays["x.vitals"][::-1]})
    found = command("predict", trial, "test", "--out", "p.csv")
    assert found.returncode == 2
    assert found.stderr.endswith("the data is another one now than the trial had; give new samples\n")
    code.write_text(code.read_text() + "# changed\n")
    found = command("predict", trial, study / "own.npz", "--out", "p.csv")
    assert found.returncode == 2
    assert f"{code} has changed since; the trial had {trial / 'code' / 'own_head.py'}" in found.stderr
    found = command("run", "own.yaml", "--out", "out", "--resume", "--set", "seeds=[0,1]")
    assert found.returncode == 0, found.stderr
    for what in ("own_head.py", "the data"):
        assert f"**{what} changed between seed=0 and seed=1; their" in (study / "out" / "report.md").read_text()
        assert f"own: {what} changed between seed=0 and seed=1; their" in command("report", "out").stderr


def test_it_says_what_it_is(home):
    modalities = "scan (image), sound (sequence), text (tokens), vitals (vector)"
    model = raysim.load(home[1])
    assert repr(model) == (
        f"<Predictor feature_imputation: modalities {modalities}; classes low, mid, high, round {model.kept.round} of "
        "seed=0>"
    )


def test_a_modality_that_is_not_given_is_absent(home):
    arrays, trial, _ = home
    model = raysim.load(trial / "model.safetensors")
    inputs, _, lengths = rows(arrays)
    nothing = np.zeros(30, dtype=bool)
    poisoned = inputs | {"vitals": np.full((30, 4), np.nan)}
    absent = model.predict(poisoned, {"vitals": nothing}, lengths)
    del inputs["vitals"]
    assert model.predict(inputs, None, lengths).tobytes() == absent.tobytes()
    assert not np.array_equal(absent, model.predict(*rows(arrays)))
    embedded = model.embed(inputs, None, lengths)
    assert embedded["vitals"].shape == (30, 8)
    assert np.isfinite(embedded["vitals"]).all()  # imputed
    alone = model.embed({"vitals": rows(arrays)[0]["vitals"]}, {"vitals": nothing})
    assert all(np.isnan(e).all() for e in alone.values())  # of nothing nothing is made


def test_weights_by_name_are_usable_without_raysim(home):
    trial = home[1]
    script = (
        "import sys, safetensors.torch as s\n"
        f"t = s.load_file({str(trial / 'model.safetensors')!r})\n"
        "print(sorted({k.split('/')[0] for k in t}), 'raysim' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.startswith("['fin.scan_sound', ")
    assert said.endswith("'task.vitals'] False\n")
    for group, tensors in raysim.load(trial).state_dicts().items():
        raysim.load(trial).networks[group].load_state_dict(tensors)


@pytest.mark.parametrize(("keep", "round_"), [("best", "reported"), ("last", 3), ("none", None)])
def test_which_round_is_kept(tmp_path, keep, round_):
    written(tmp_path)
    trial, told = trained(tmp_path, evaluation={"keep_model": keep, "metric": "macro_auc"})
    summary = next(e.summary for e in told if isinstance(e, TrialFinished))
    kept = [e.round for e in told if isinstance(e, ModelKept)]
    assert kept == ([] if round_ is None else [summary["round"] if round_ == "reported" else round_])
    assert (trial / "model.safetensors").exists() == bool(kept)


def test_a_large_model_is_not_kept_and_that_is_said(tmp_path):
    written(tmp_path)
    trial, told = trained(tmp_path, evaluation={"keep_model_mb": 0.001})
    assert [e.text for e in told if isinstance(e, Warned)] == [
        "the model of 0.0631 MB is not kept; see evaluation.keep_model_mb"
    ]
    assert not (trial / "model.safetensors").exists()


def test_a_trial_that_starts_from_it_goes_on_with_the_same_loss(tmp_path):
    written(tmp_path)
    trial, told = trained(tmp_path, evaluation={"select": "last"})
    last = next(e.summary for e in told if isinstance(e, TrialFinished))["splits"]["test"]["loss"]
    (tmp_path / "later").mkdir()
    written(tmp_path / "later")
    still = {"rounds": 1, "batch_size": 8, "optimizer": {"name": "sgd", "lr": 1e-12}}
    model = SCENARIO["model"] | {"start": str(trial)}
    _, told = trained(tmp_path / "later", model=model, federation=still, evaluation={"select": "last"})
    record = next(e.record for e in told if isinstance(e, RoundFinished))
    assert record["test"]["loss"] == pytest.approx(last, abs=1e-6)
    again = raysim.load(tmp_path / "later" / "out" / "own" / "seed=0")
    (trial / "model.safetensors").unlink()  # it needs the one that it started from no more
    assert again.evaluate()["test"] == record["test"]


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ({"start": "none"}, "/none cannot be read: No such file or directory; relative paths begin at"),
        ({"start": "."}, "/model.safetensors cannot be read: No such file or directory"),
        ({"dim": 16}, "'task.scan/.*' has the shape .* there, and the shape .* is needed"),
        ({"start": {"groups": ["task.heed"]}}, "'task.heed' names no group that both have; these are: task."),
    ],
)
def test_what_does_not_fit_to_start_from_is_one_line(home, tmp_path, model, says):
    written(tmp_path)
    start = model.get("start", {})
    start = {"path": str(home[1])} | start if isinstance(start, dict) else start
    with pytest.raises(ScenarioError, match=rf"own.yaml:\d+: model.start(.path)?: .*{says}"):
        trained(tmp_path, model=SCENARIO["model"] | model | {"start": start})


@pytest.mark.parametrize(
    ("inputs", "present", "lengths", "says"),
    [
        ({}, {}, {}, "no modality is given; the model knows scan, sound, text, vitals"),
        ({"vital": np.zeros((2, 4))}, {}, {}, "a modality 'vital' that the model does not know; did you mean 'vitals'"),
        ({"vitals": np.zeros((2, 5))}, {}, {}, r"is float64 of shape \(2, 5\); the model takes floats \(2, 4\)"),
        ({"vitals": np.zeros((2, 4), int)}, {}, {}, r"'vitals' is int64 of shape \(2, 4\); the model takes floats"),
        ({"vitals": np.full((2, 4), np.nan)}, {}, {}, "'vitals' is not finite in samples that have it"),
        ({"vitals": np.full((2, 4), 1e300)}, {}, {}, "'vitals' holds .*, which a float32 cannot"),
        ({"vitals": np.zeros((2, 4)), "scan": np.zeros((3, 1, 6, 6))}, {}, {}, r"uint8 or floats \(2, 1, 6, 6\)"),
        ({"sound": np.zeros((2, 9, 2))}, {}, {}, r"the model takes floats \(2, T, 2\), T at most 7"),
        ({"sound": np.zeros((2, 5, 2))}, {}, {"sound": [3, 6]}, r"write integers \(2,\) from 1 to 5"),
        ({"sound": np.zeros((2, 5, 2))}, {}, {"sounds": [3, 5]}, "lengths have a modality 'sounds'"),
        ({"text": np.array([[0, 5]])}, {}, {"text": [2]}, "'text' has the token 5; the model knows 0 to 4"),
        ({"text": np.array([[0, -1]])}, {}, {"text": [2]}, "'text' has the token -1; the model knows 0 to 4"),
        ({"vitals": np.zeros((2, 4))}, {"vitals": [True]}, {}, r"present of 'vitals' is bool of shape \(1,\)"),
        ({"vitals": np.zeros((2, 4))}, {"scan": [True, True]}, {}, "present has a modality 'scan'"),
    ],
)  # fmt: skip
def test_samples_that_do_not_fit_are_one_line(home, inputs, present, lengths, says):
    with pytest.raises(ModelError, match=says) as error:
        raysim.load(home[1]).predict(inputs, present, lengths)
    assert "\n" not in str(error.value)


PIXELS = np.arange(72, dtype=np.uint8).reshape(2, 1, 6, 6)


@pytest.mark.parametrize(
    ("inputs", "says"),
    [
        (
            {"sound": np.zeros((2, 7, 2))},
            r"'sound' has no lengths, and .* had 3 to 7 valid steps of 7: give lengths of",
        ),
        ({"text": np.zeros((2, 1), int)}, r"'text' has no lengths.*also where all steps are valid$"),
        ({"scan": PIXELS / 1.0}, r"from 0 to 71, and in training it had bytes, read as 0 to 1: give x / 255, or bytes"),
        ({"scan": PIXELS / 36.0 - 1}, r"from -1 to 0.97.* give that scale$"),
    ],
)
def test_what_training_cannot_have_seen_is_refused(home, inputs, says):
    with pytest.raises(Unfit, match=says) as error:
        raysim.load(home[1]).predict(inputs)
    assert "\n" not in str(error.value)


def test_bytes_and_the_same_from_0_to_1_are_alike_and_steps_may_all_be_valid(home):
    model = raysim.load(home[1])
    pixels, floats = (model.predict({"scan": x}) for x in (PIXELS, PIXELS / 255))
    assert pixels == pytest.approx(floats, abs=1e-6)
    sound = np.ones((2, 7, 2))
    assert model.predict({"sound": sound}, lengths={"sound": [7, 7]}).shape == (2, 3)
    assert model.predict({"sound": sound}, {"sound": np.zeros(2, bool)}).shape == (2, 3)


@pytest.mark.parametrize(
    ("scale", "x", "says"),
    [
        (lambda x: x / 1.0, PIXELS, "'scan' has bytes, which are read as 0 to 1, and in training it had 0 to 255"),
        (lambda x: x / 1.0, PIXELS / 255, r"from 0 to 0.27.*, and in training it had 0 to 255: give that scale"),
        (lambda x: x / 1.0, PIXELS * 1.0, None),
        (lambda x: x / 255, PIXELS, None),
        (lambda x: x / 255, PIXELS * 1.0, "from 0 to 71, and in training it had 0 to 1: give x / 255, or bytes"),
        (lambda x: x / 64 - 2, PIXELS, "has bytes, which are read as 0 to 1, and in training it had -2 to 1.98"),
        (lambda x: x / 64 - 2, PIXELS / 255, None),
    ],
)
def test_floats_have_the_scale_of_training(home, scale, x, says):
    arrays, _, _ = home
    y = np.zeros(90, np.int64)
    split = Split({"scan": scale(arrays["x.scan"])}, y)
    modality = Modality("image", (1, 6, 6))
    like = seen(Dataset({"scan": modality}, ("a",), False, split, split, split))

    def new():
        return given({"scan": modality}, {"scan": x}, {}, {}, y[:2], {}, seen=like)

    if says is None:
        new()
    else:
        with pytest.raises(DataError, match=says):
            new()


def test_a_model_that_does_not_say_what_training_had_takes_what_fits(home):
    model = raysim.load(home[1])
    model.kept = replace(model.kept, seen={})
    assert model.predict({"sound": np.ones((2, 5, 2)), "scan": PIXELS / 1.0}).shape == (2, 3)


def test_the_command(home, tmp_path, capsys):
    arrays, trial, told = home
    summary = next(e.summary for e in told if isinstance(e, TrialFinished))["splits"]
    table, packed, new = tmp_path / "p.csv", tmp_path / "p.npz", tmp_path / "new.npz"
    assert main(["predict", str(trial), "test", "--out", str(table)]) == 0
    assert f"p.csv: 30 samples; accuracy {summary['test']['accuracy']:.4f}, uar" in capsys.readouterr().out
    lines = list(csv.reader(table.read_text().splitlines()))
    assert len(lines) == 31
    assert lines[0] == ["row", "predicted", "p.low", "p.mid", "p.high"]
    at = arrays["split"] == "test"
    fresh = {k: v[at] for k, v in arrays.items() if k not in ("split", "classes")}
    np.savez(new, **fresh | {"y": np.array(["low", "mid", "high"])[fresh["y"]]})
    assert main(["predict", str(trial), str(new), "--out", str(packed)]) == 0
    assert f"accuracy {summary['test_unmasked']['accuracy']:.4f}" in capsys.readouterr().out
    with np.load(packed) as found:
        model = raysim.load(trial)
        assert found["logits"].tobytes() == model.own("test_unmasked")[0].tobytes()
        assert found["predicted"].tolist() == found["probabilities"].argmax(1).tolist()
        assert found["labels"].tolist() == fresh["y"].tolist()


@pytest.mark.parametrize(
    ("data", "out", "says"),
    [
        ("test", "p.txt", "is neither .csv nor .npz; write --out"),
        ("tests", "p.csv", "tests: no such file; name an .npz or a folder of arrays, or test"),
        ("odd.npz", "p.csv", "'y' has 'huge', which is no class of the model; "),
        ("short.npz", "p.csv", "'length.sound' has shape (2,), but 'x.vitals' has 30 rows"),
        ("bare.npz", "p.csv", "has no modality; name one x.<modality>"),
        ("odd.npz", "p.csv", "odd.npz: 'y' has 'huge'"),
        ("endless.npz", "p.csv", "endless.npz: 'sound' has no lengths, and samples in training had 3 to 7 valid steps"),
    ],
)
def test_what_the_command_cannot_do_is_one_line(home, tmp_path, monkeypatch, capsys, data, out, says):
    arrays, trial, _ = home
    fresh = {k: v[arrays["split"] == "test"] for k, v in arrays.items() if k not in ("split", "classes")}
    np.savez(tmp_path / "odd.npz", **fresh | {"y": np.array(["low"] * 29 + ["huge"])})
    np.savez(tmp_path / "short.npz", **fresh | {"length.sound": np.ones(2, int)})
    np.savez(tmp_path / "bare.npz", y=fresh["y"])
    np.savez(tmp_path / "endless.npz", **{k: v for k, v in fresh.items() if k != "length.sound"})
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(trial), data, "--out", out]) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not (tmp_path / out).exists()


def test_data_that_was_moved_is_one_line_with_the_file_once(tmp_path):
    written(tmp_path)
    trial, _ = trained(tmp_path)
    (tmp_path / "own.npz").unlink()
    forget()
    with pytest.raises(ModelError) as error:
        raysim.load(trial).own("test")
    assert str(error.value) == (
        f"{trial / 'model.safetensors'}: dataset: {tmp_path / 'own.npz'} does not exist; correct the path"
    )


def test_files_that_are_no_kept_model_are_one_line(tmp_path):
    written(tmp_path)
    trial, _ = trained(tmp_path)
    path = trial / "model.safetensors"
    data = path.read_bytes()
    for content, says in (
        (data[:100], "cannot be read: "),
        (data.replace(b"raysim model 1", b"raysim model 9"), r"is of another format \(raysim model 9\)"),
    ):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=says):
            raysim.load(trial)
    with pytest.raises(ModelError, match="name the folder of one trial of this study"):
        raysim.load(tmp_path / "out")
    path.unlink()
    with pytest.raises(ModelError, match=r"the trial is not finished, or had evaluation\.keep_model: none"):
        raysim.load(trial)
