"""Modules of one's own as encoders and fusions, and what is said of those that do not fit."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import torch
from torch import nn

from raysim import registry
from raysim.data.dataset import Modality
from raysim.models.encoders import build_encoder
from raysim.models.feature import Feature
from raysim.models.layers import Linear, obstacle, stackable
from raysim.models.own import try_encoder, try_fusion
from raysim.models.task import Task, encode, task_modules
from raysim.registry import UnknownNameError, find, listed
from raysim.scenario.model import Model

IMAGE = Modality("image", (3, 9, 8))
SEQUENCE = Modality("sequence", (6, 4))
VECTOR = Modality("vector", (5,))
TOKENS = Modality("tokens", (7,), vocabulary=11)


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """`ray_modules` of the tests with Ray, and a module `own_made` for classes of a test."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "engine" / "material")
    made = ModuleType("own_made")
    monkeypatch.setitem(sys.modules, "own_made", made)
    return made


def model(encoder=None, **more):
    return Model.model_validate({"dim": 5, "encoders": {"m": encoder} if encoder else {}, **more})


def build(encoder, modality, **more):
    torch.manual_seed(0)
    return build_encoder("m", modality, model(encoder, **more)).eval()


def tried(encoder, modality):
    found = model(encoder)
    try_encoder("m", found.encoders["m"], modality, found)


def refused(encoder, modality):
    with pytest.raises(ValueError, match=r".") as caught:
        tried(encoder, modality)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("normalize", [False, True])
def test_a_stack_of_raysims_layers_is_its_clients(normalize, same_as_alone):
    encoder = build({"name": "ray_modules:Tower", "width": 3}, IMAGE, normalize=normalize).train()
    assert stackable(encoder)
    assert not encoder.selective
    assert encoder.net.head.weight.shape == (5, 3)
    same_as_alone(encoder, torch.randn(3, 2, *IMAGE.shape), call=lambda net, x: net(x).tokens)


def test_a_fusion_of_raysims_layers_is_its_clients(same_as_alone):
    task = Task({"a": VECTOR, "b": VECTOR}, 3, False, model(fusion={"name": "ray_modules:Gate", "hidden": 2}))
    modules = task_modules(task)
    assert modules["task.fusion"].width == 5
    assert modules["task.head"][0].weight.shape[-1] == 5
    assert modules["task.fusion"].net.gates["a"][0].weight.shape == (2, 5)
    call = lambda net, a, b: net({"a": Feature.of(a), "b": [Feature.of(b, weight=0.5)]})  # noqa: E731
    same_as_alone(modules["task.fusion"], torch.randn(3, 2, 5), torch.randn(3, 2, 5), call=call)


def test_a_module_of_torch_is_taken_as_it_is():
    encoder = build("ray_modules:Plain", IMAGE)
    assert type(obstacle(encoder)) is nn.Conv2d
    assert encoder.selective
    x = torch.randn(2, *IMAGE.shape)
    feature = encoder(x)
    assert feature.valid.tolist() == [[True], [True]]
    assert torch.equal(feature.tokens[:, 0], encoder.net(x))


def test_it_is_given_the_rows_alone_that_are_there():
    encoder, seen = build("ray_modules:Recurrent", SEQUENCE), []
    encoder.net.register_forward_pre_hook(lambda net, args: seen.append(args[0].shape[0]))
    x, lengths = torch.randn(3, 6, 4), torch.tensor([6, 1, 3])
    for present, rows in (([True, False, True], [2]), ([False] * 3, [])):
        batch = SimpleNamespace(x={"m": x}, lengths={"m": lengths}, present={"m": torch.tensor(present)},
                                nowhere=lambda m: False)  # fmt: skip
        feature = encode({"task.m": encoder}, batch)["m"]
        assert feature.valid.any(1).tolist() == present
        assert seen == rows
        seen.clear()
    alone = encoder(x[2:], lengths[2:])
    both = encode({"task.m": encoder}, SimpleNamespace(
        x={"m": x}, lengths={"m": lengths}, present={"m": torch.tensor([True, False, True])}, nowhere=lambda m: False
    ))["m"]  # fmt: skip
    torch.testing.assert_close(both.tokens[2], alone.tokens[0])
    assert both.valid.tolist() == [[True] * 3, [False] * 3, [True, False, False]]


def test_features_are_taken_as_they_are():
    encoder = build("ray_modules:Patches", IMAGE, normalize=True)
    feature = encoder(torch.randn(2, 3, *IMAGE.shape))
    assert feature.valid[..., 0].all()
    assert not feature.valid[..., 1].any()
    torch.testing.assert_close(feature.pooled().norm(dim=-1), torch.ones(2, 3))
    tried("ray_modules:Patches", IMAGE)


def test_tokens_with_lengths_of_their_own(modules):
    class Halves(nn.Module):
        def __init__(self, vocabulary: int, dim: int):
            super().__init__()
            self.table = nn.Embedding(vocabulary, dim)

        def forward(self, x, lengths):
            return self.table(x[:, ::2]), (lengths + 1) // 2

    modules.Halves = Halves
    tried("own_made:Halves", TOKENS)
    feature = build("own_made:Halves", TOKENS)(torch.randint(11, (3, 7)), torch.tensor([0, 3, 7]))
    assert feature.valid.sum(-1).tolist() == [1, 2, 4]
    assert build("own_made:Halves", TOKENS)(torch.randint(11, (3, 7))).valid.all()


@pytest.mark.parametrize("name", ["Tower", "Plain"])
def test_what_fits_passes_a_trial_that_draws_nothing(name):
    before = torch.random.get_rng_state()
    tried(f"ray_modules:{name}", IMAGE)
    found = model(fusion="ray_modules:Gate")
    try_fusion(found.fusion, ("a", "b"), 5)
    assert torch.equal(torch.random.get_rng_state(), before)


class Gives(nn.Module):
    def __init__(self, dim: int, give):
        super().__init__()
        self.dim, self.give = dim, give

    def forward(self, x):
        return self.give(x, self.dim)


@pytest.mark.parametrize(
    ("modality", "give", "line"),
    [
        (VECTOR, lambda x, d: x[:, :3], "gives the shape (3, 3), and (3, 5) is wanted, or (3, T, 5) for T tokens"),
        (VECTOR, lambda x, d: x.sum(), "gives the shape (), and (3, 5) is wanted, or (3, T, 5) for T tokens"),
        (IMAGE, lambda x, d: x[..., :5], "gives the shape (3, 3, 9, 5), and (3, 5) is wanted, or"),
        (VECTOR, lambda x, d: {"x": x}, "gives a dict, and (3, 5) is wanted, or"),
        (SEQUENCE, lambda x, d: x.new_zeros(3, 4, d), "gives the shape (3, 4, 5) for 6 steps, and 6 tokens are wanted"),
        (SEQUENCE, lambda x, d: (x.new_zeros(3, 4, d), x), "gives tokens and something else; integers of the shape (3"),
        (VECTOR, lambda x, d: Feature.of(x[:2]), "gives the shape (2, 1, 5), and (3, 5) is wanted, or"),
    ],
)  # fmt: skip
def test_what_comes_and_what_is_wanted(modules, modality, give, line):
    class Wrong(Gives):
        def __init__(self, dim: int):
            super().__init__(dim, give)

    modules.Wrong = Wrong
    assert refused("own_made:Wrong", modality).startswith(f"'own_made:Wrong' {line}")


def test_a_client_axis_that_is_claimed_wrongly(modules):
    class Left(nn.Module):
        def __init__(self, in_features: int, dim: int):
            super().__init__()
            self.linear = Linear(in_features, dim)

        def forward(self, x):
            return self.linear(x) - x.mean(0).sum()

    class Alone(Left):
        client_axis = False

    class Sized(Left):
        """Remembers how many samples come."""

        count = 3

        def forward(self, x):
            return self.linear(x.reshape(self.count, 5))

    modules.Left, modules.Alone, modules.Sized = Left, Alone, Sized
    assert refused("own_made:Left", VECTOR) == (
        "'own_made:Left' takes a client axis by its parts, but gives other numbers for clients together (K, B, ...) "
        "than for each alone; count dimensions from the right and take sizes from the input, or write client_axis = "
        "False in the class"
    )
    assert refused("own_made:Sized", VECTOR).startswith(
        "'own_made:Sized' takes a client axis by its parts, but fails on clients together (K, B, ...): "
    )
    tried("own_made:Alone", VECTOR)
    assert type(obstacle(build("own_made:Alone", VECTOR))) is Alone


CODE = """from torch import nn
class Raises(nn.Module):
    def __init__(self, dim: int, depth: int = 2):
        super().__init__()
        raise RuntimeError(
            f"no depth {depth}")
class Fails(nn.Module):
    def __init__(self, in_features: int, dim: int):
        super().__init__()
        self.linear = nn.Linear(in_features + 1, dim)
    def forward(self, x):
        return self.linear(x)
class Sum(nn.Module):
    def forward(self, streams):
        return sum(f.pooled().sum() for f in streams.values())
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    name = f"own_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    yield name, tmp_path / f"{name}.py"
    sys.modules.pop(name, None)


def test_a_failure_is_one_line_with_the_place_in_the_authors_file(written):
    name, path = written
    line = refused({"name": f"{name}:Raises", "depth": 7}, VECTOR)
    assert line == f"'{name}:Raises' cannot be built: {path}:5: RuntimeError: no depth 7"
    line = refused(f"{name}:Fails", VECTOR)
    assert line.startswith(
        f"'{name}:Fails' fails on 3 samples of the shape (5,): {path}:12: RuntimeError: mat1 and mat2"
    )
    assert refused("ray_modules:Tower", VECTOR) == (
        "'ray_modules:Tower' takes in_channels, which 'm', vector of the shape (5,), has not; write one that takes "
        "modality"
    )
    with pytest.raises(ValueError, match=rf"^'{name}:Sum' gives the shape \(\), and \(3, any width\) is wanted$"):
        try_fusion(model(fusion=f"{name}:Sum").fusion, ("a",), 5)


def test_classes_that_are_no_modules_are_refused():
    with pytest.raises(UnknownNameError, match=r"has no encoder class 'Towr'; did you mean 'Tower'\?$"):
        find("encoder", "ray_modules:Towr")
    with pytest.raises(UnknownNameError, match=r"is no Module; write class Modality\(Module\)$"):
        find("fusion", "raysim.data.dataset:Modality")
    assert listed("encoder") == []


def test_an_entry_point_is_a_short_name(monkeypatch):
    point = EntryPoint("tower", "ray_modules:Tower", "raysim.encoders")
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: EntryPoints([point]).select(**wanted))
    registry._points.cache_clear()
    try:
        assert build({"name": "tower", "width": 2}, IMAGE).net.head.weight.shape == (5, 2)
        assert [e.name for e in listed("encoder")] == ["tower"]
        assert model("cnn").encoders["m"].name == "cnn"
    finally:
        registry._points.cache_clear()
