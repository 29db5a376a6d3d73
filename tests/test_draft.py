"""Drafts: for each dataset with each method that suits it a scenario that is valid, and on data that is there runs."""

import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from sizes import shrunk

from raysim.api import validate
from raysim.cli.app import main
from raysim.data.dataset import DataError
from raysim.data.recipe import Recipe
from raysim.datasets.polydigits import Polydigits
from raysim.draft.draft import draft, name_of
from raysim.draft.text import Wish
from raysim.editor import schema
from raysim.registry import find, listed
from raysim.scenario.clients import Dirichlet, Groups, Iid, Natural
from raysim.scenario.schema import Scenario
from raysim.scenario.source import document
from raysim.scenario.trial import load
from raysim.simulation.prepare import prepare
from raysim.training.job import Job

METHODS = [e.name for e in listed("method")]
DATASETS = [e.name for e in listed("dataset") if e.name != "arrays"]
REFUSED = {
    ("report_generation", "polydigits"): "writes tokens from an image",
    ("report_generation", "synthetic"): "writes tokens from an image",
    ("unimodal", "fin_heterogeneous"): "needs one of the modalities of fin_heterogeneous, which are known when",
    **{(m, "chexpert"): "needs at least 2 modalities, chexpert has 1" for m in METHODS if find("method", m).least > 1},
}
WORDS = 9


@pytest.fixture(scope="module")
def validator():
    return Draft202012Validator(schema())


@pytest.fixture(scope="module", autouse=True)
def digits():
    """The default dataset is drawn once: every draft of it looks at the samples."""
    options, load = Polydigits.Options(), Polydigits.load
    drawn = Polydigits(options).load()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Polydigits, "load", lambda self: drawn if self.options == options else load(self))
        yield


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder to work in, and nothing prepared."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAYSIM_CACHE", str(tmp_path / "cache"))


def uncommented(text):
    """With all settings that stand behind a #."""
    return re.sub(r"^( *)# ( *[\w.]+:( |$))", r"\1\2", text, flags=re.MULTILINE)


def arrays(path, names, *, clients=None, count=120, **more):
    """Four kinds of data, by name, that tell three classes."""
    rng, y = np.random.default_rng(0), np.arange(count) % 3
    shapes = {"image": (1, 16, 16), "vector": (6,), "sequence": (8, 4), "tokens": (8,)}
    found = {f"x.{m}": (rng.normal(size=(count, *shapes[m])) + y.reshape(-1, *[1] * len(shapes[m]))) for m in names}
    found = {key: x.astype(np.float32) for key, x in found.items()}
    if "tokens" in names:
        found["x.tokens"] = rng.integers(WORDS, size=(count, 8))
    split = np.repeat(["train", "validation", "test"], [count // 2, count // 4, count - count // 2 - count // 4])
    if clients is not None:
        found["client"] = np.arange(count) % clients
    np.savez(path, **found, **{"y": y, "split": split, **more})
    return path


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dataset", DATASETS)
def test_every_pair_that_suits_makes_a_valid_scenario(validator, dataset, method):
    if (method, dataset) in REFUSED:
        with pytest.raises(DataError, match=REFUSED[method, dataset]) as caught:
            draft(dataset, method, name="first", schema="schema.json")
        assert "\n" not in str(caught.value)
        return
    text = draft(dataset, method, name="first", schema="schema.json")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")
    assert max(map(len, text.splitlines())) <= 200
    (trial,) = load(Path("first.yaml"), (), text)
    assert (trial.scenario.dataset.name, trial.scenario.method.name) == (dataset, method)
    validator.validate(document(text, "first.yaml").plain())
    assert ("# The data is not prepared here" in text) == (
        issubclass(find("dataset", dataset), Recipe) or dataset == "fin_heterogeneous"
    )


@pytest.mark.parametrize(
    ("dataset", "method"),
    [
        *(("polydigits", m) for m in METHODS if (m, "polydigits") not in REFUSED),
        *((d, "zero_fill") for d in DATASETS if d != "polydigits"),
    ],
)
def test_what_stands_behind_a_sign_is_valid_without_it(validator, dataset, method):
    text = uncommented(draft(dataset, method, name="first", schema="schema.json"))
    assert "# layers:" not in text
    Path("first.yaml").write_text(text)
    assert len(validate("first.yaml")) == 6
    validator.validate(document(text, "first.yaml").plain())


@pytest.mark.parametrize("method", METHODS)
def test_a_draft_for_own_data_runs(toy, method):
    if method == "report_generation":
        pytest.importorskip("torchvision", reason="its encoder is torchvision's")
    names = ("image", "tokens") if method == "report_generation" else ("image", "vector")
    path = arrays(Path("mine.npz"), names, clients=4)
    text = draft("arrays", method, name="first", data=path, schema="schema.json")
    (trial,) = load(Path("first.yaml"), (), text)
    assert isinstance(trial.scenario.partition, Natural)
    said = trial.scenario.model_dump(mode="json")
    said["model"]["dim"] = 8
    said["method"] = shrunk(said["method"])
    said["federation"] |= {"rounds": 1, "local_epochs": 1}
    said["numerics"] |= {"device": "cpu", "stack": 2}
    small = replace(trial, scenario=Scenario.model_validate(said))
    prepared = prepare(small)
    test = toy.run(Job(small, prepared.data)).tally.best["splits"]["test"]
    assert math.isfinite(test["loss"])


def test_all_settings_are_there_with_their_defaults_and_meaning():
    text = draft("polydigits", "feature_imputation", name="first", schema="schema.json")
    assert "  # layers: 6                         # Decoder layers.\n" in text
    assert "  # source: mean                      # With more than two modalities: the mean over those" in text
    assert "  #   m0: cnn                         # It is an image.\n" in text
    generator = draft("polydigits", "vae_fill", name="first", schema="schema.json")
    assert "    name: mopoe\n    # latent: 64                      # Width of the shared latent space.\n" in generator


@pytest.mark.parametrize(
    ("clients", "count", "more", "partition"),
    [
        (4, 120, {}, Natural(name="natural")),  # 15 training samples each
        (60, 120, {}, Groups(name="groups", clients=6)),  # of one sample each
        (None, 600, {}, Dirichlet(name="dirichlet", clients=10, alpha=0.5, min_size=7)),
        (None, 60, {}, Iid(name="iid", clients=3)),  # 30 training samples
        (None, 600, {"y": np.eye(3, dtype=int)[np.arange(600) % 3], "one": 1}, Iid(name="iid", clients=10)),
    ],
)
def test_the_partition_fits_the_data(clients, count, more, partition):
    if more.pop("one", 0):
        more["y"][0] = 1  # several labels
    path = arrays(Path("mine.npz"), ("image", "vector"), clients=clients, count=count, **more)
    text = draft("arrays", "zero_fill", name="first", data=path, schema="schema.json")
    (trial,) = load(Path("first.yaml"), (), text)
    assert trial.scenario.partition == partition
    assert trial.scenario.evaluation.metric == ("macro_auc" if more else "uar")


def test_vectors_and_sequences_are_standardised_and_one_modality_lacks_nothing():
    text = draft("arrays", "zero_fill", name="a", data=arrays(Path("v.npz"), ("sequence",)), schema="s")
    assert "\n  standardize: true  " in text
    assert "\n# There is but one modality, so nothing can be missing.\n" in text
    assert "missing: same" not in text
    images = draft("arrays", "zero_fill", name="a", data=arrays(Path("i.npz"), ("image",)), schema="s")
    assert "\n  # standardize: false  " in images


def test_several_methods_and_rates_are_a_grid_and_what_is_said_is_there(validator):
    path = arrays(Path("mine.npz"), ("image", "vector"), clients=4)
    wish = Wish(rates=(0.3, 0.7), seeds=3, rounds=5)
    text = draft("arrays", "zero_fill", "vae_fill", name="first", data=path, schema="schema.json", wish=wish)
    validator.validate(document(text, "first.yaml").plain())
    trials = load(Path("first.yaml"), (), text)
    assert len(trials) == 2 * 2 * 3
    assert {(t.scenario.method.name, t.scenario.missing.rate, t.seed) for t in trials} == {
        (method, rate, seed) for method in ("zero_fill", "vae_fill") for rate in (0.3, 0.7) for seed in (1, 2, 3)
    }
    assert {t.scenario.federation.rounds for t in trials} == {5}
    assert {t.scenario.description for t in trials} == {"Experiments on mine.npz."}
    alone = draft("arrays", "zero_fill", name="first", data=path, schema="schema.json", wish=Wish(rates=(0.3,)))
    assert load(Path("first.yaml"), (), alone)[0].scenario.missing.rate == 0.3
    with pytest.raises(DataError, match=r"^v\.npz has one modality, so nothing can be missing; leave --rate out$"):
        draft("arrays", "zero_fill", name="a", data=arrays(Path("v.npz"), ("vector",)), schema="s", wish=wish)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_real_labels_are_a_regression(shape):
    y = np.random.default_rng(0).normal(size=(120, *shape))
    path = arrays(Path("real.npz"), ("image", "vector"), y=y)
    text = draft("arrays", "feature_imputation", name="first", data=path, schema="schema.json")
    (trial,) = load(Path("first.yaml"), (), text)
    assert trial.scenario.evaluation.metrics == ("mae", "r2", "pearson")
    assert trial.scenario.evaluation.metric == "mae"
    assert prepare(trial).data.dataset.outcome == "regression"


def test_labels_that_could_be_either_are_asked_for():
    path = arrays(Path("whole.npz"), ("image", "vector"), y=np.arange(120) % 3 * 1.0)
    with pytest.raises(DataError, match=r"y\.astype\(int\); for real numbers say --task regression$"):
        draft("arrays", "zero_fill", name="first", data=path, schema="schema.json")
    wish = Wish(task="regression")
    text = draft("arrays", "zero_fill", name="first", data=path, schema="schema.json", wish=wish)
    assert "\n  task: regression " in text


def test_names():
    assert name_of("my data", "mine:Gate") == "my_data_Gate"
    assert name_of("…") == "scenario"


def test_the_command_writes_once(capfd):
    arrays(Path("my data.npz"), ("image", "vector"))
    command = ["new", "--data", "my data.npz", "--method", "zero_fill"]
    assert main(command) == 0
    told = capfd.readouterr().out
    assert told.startswith("my_data_zero_fill.yaml: written; check it: raysim validate my_data_zero_fill.yaml; ")
    path = Path("my_data_zero_fill.yaml")
    assert validate(str(path))[0].scenario.name == "my_data_zero_fill"
    path.write_text("mine\n")
    assert main(command) == 2
    assert capfd.readouterr().err.startswith("raysim: my_data_zero_fill.yaml is there already; name another file")
    assert path.read_text() == "mine\n"
    assert main([*command, "--force"]) == 0
    assert path.read_text().partition("\n")[0].endswith("/scenarios/schema.json")


def test_a_schema_beside_it_is_taken(capfd):
    Path("schema.json").write_text("{}")
    assert main(["new", "--dataset", "polydigits", "--method", "zero_fill", "--out", "first.yaml"]) == 0
    assert Path("first.yaml").read_text().startswith(["# yaml-language-server: $schema=schema.json", "name: "][0])
    assert "\nname: first\n" in Path("first.yaml").read_text()


def test_several_methods_are_named_by_the_data_unless_one_says_how(capfd):
    command = ["new", "--dataset", "polydigits", "--method", "zero_fill", "--method", "uniform_fill"]
    assert main(command) == 0
    assert main([*command, "--name", "mine"]) == 0
    assert [validate(f"{name}.yaml")[0].scenario.name for name in ("polydigits", "mine")] == ["polydigits", "mine"]
    capfd.readouterr()


def test_on_the_screen(capfd):
    assert main(["new", "--dataset", "polydigits", "--method", "zero_fill", "--out", "-"]) == 0
    out = capfd.readouterr().out
    assert "\nname: polydigits_zero_fill\n" in out
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--method", "zero_fill"], "name the dataset: --dataset NAME (raysim list datasets), or --data FILE.npz"),
        (
            ["--dataset", "arrays", "--method", "zero_fill"],
            "'arrays' needs the path of your data; write --data FILE.npz",
        ),
        (["--dataset", "meld", "--data", "x.npz", "--method", "zero_fill"], "'meld' has its data already"),
        (["--data", "no.npz", "--method", "zero_fill"], "no.npz does not exist"),
        (
            ["--dataset", "polydigit", "--method", "zero_fill"],
            "there is no dataset 'polydigit'; did you mean 'polydigits'",
        ),
        (["--dataset", "polydigits", "--method", "zero"], "there is no method 'zero'; "),
        (
            ["--dataset", "polydigits", "--method", "zero_fill", "--task", "regression"],
            "'polydigits' has a task of its own; leave --task out",
        ),
        (["--dataset", "polydigits", "--method", "zero_fill", "--task", "x"], "write classification or regression"),
        (["--dataset", "polydigits", "--method", "zero_fill", "--name", "a b"], "and . alone, such as a_b"),
    ],
)
def test_what_is_wrong_is_one_line(capfd, arguments, line):
    assert main(["new", *arguments]) == 2
    out, err = capfd.readouterr()
    assert out == ""
    assert line in err
    assert err.count("\n") == 1


def test_what_is_odd_in_the_data_is_said():
    rng, y = np.random.default_rng(0), np.arange(60) % 3
    x = rng.integers(256, size=(60, 1, 8, 8)).astype(np.float32)
    np.savez("bright.npz", **{"x.image": x, "x.v": rng.normal(size=(60, 3)), "y": y, "split": np.repeat([0, 1, 2], 20)})
    text = draft("arrays", "zero_fill", name="a", data=Path("bright.npz"), schema="s")
    (line,) = [line for line in text.splitlines() if "Look at the data" in line]
    assert line.startswith("  # Look at the data: image 'image' has values up to 255 as floats; ")
