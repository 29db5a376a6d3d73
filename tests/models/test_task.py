from types import SimpleNamespace

import pytest
import torch
from torch import nn

from raysim.data.dataset import Modality
from raysim.models.layers import stackable
from raysim.models.task import Task, build_head, check_encoders, classify, encode, separate, task_modules
from raysim.scenario.model import Model

TEXT = Modality("sequence", (64, 512))


def meld(dim):
    modalities = {"audio": Modality("sequence", (1000, 80)), "text": TEXT}
    model = {"dim": dim, "encoders": {"audio": "conv_gru"}, "fusion": "attention"}
    return Task(modalities, 4, False, Model.model_validate(model))


def crisis(dim):
    modalities = {"image": Modality("vector", (1280,)), "text": TEXT}
    return Task(modalities, 8, False, Model.model_validate({"dim": dim, "fusion": "attention"}))


@pytest.mark.parametrize(
    ("task", "count"), [(meld(128), 528_426), (meld(64), 273_706), (crisis(128), 545_870), (crisis(64), 258_638)]
)
def test_sizes_of_fedmultimodals_models(task, count):
    modules = task_modules(task)
    assert sum(p.numel() for m in modules.values() for p in m.parameters()) == count
    assert all(stackable(m) for m in modules.values())


def small(**model):
    modalities = {"a": Modality("vector", (2,)), "b": Modality("sequence", (3, 2))}
    return task_modules(Task(modalities, 5, False, Model(dim=4, **model)))


def test_names_and_heads():
    modules = small()
    assert list(modules) == ["task.a", "task.b", "task.fusion", "task.head"]
    assert list(modules["task.fusion"].parameters()) == []
    assert build_head(8, 5, Model.model_validate({"head": {"hidden": None}})).weight.shape == (5, 8)


def test_unknown_modality_in_the_model():
    with pytest.raises(ValueError, match="the data has no modality 'c'; there are: a, b"):
        small(encoders={"c": "mlp"})


def test_absent_rows_leak_into_nothing():
    modules = {k: m.eval() for k, m in small().items()}
    present = torch.tensor([True, False])
    batch = SimpleNamespace(
        x={"a": torch.ones(2, 2), "b": torch.ones(2, 3, 2)},
        lengths={"b": torch.tensor([2, 0])},
        present={"a": present, "b": present},
        nowhere=lambda m: False,
    )
    clean = classify(modules, encode(modules, batch))
    for x in batch.x.values():
        x[1] = 1e6
    streams = encode(modules, batch)
    assert streams["a"].valid.tolist() == [[True], [False]]
    assert streams["b"].valid.tolist() == [[True, True, False], [False] * 3]
    logits = classify(modules, streams)
    assert torch.equal(logits, clean)
    logits.sum().backward()
    assert all(p.grad.isfinite().all() for m in modules.values() for p in m.parameters())


def test_a_stack_is_its_clients(same_as_alone):
    modules = small()
    names = list(modules)
    present = torch.tensor([[True, False], [True, True], [False, False]])

    def call(nets, a, b, present):
        batch = SimpleNamespace(
            x={"a": a, "b": b}, lengths={}, present={"a": present, "b": ~present}, nowhere=lambda m: False
        )
        named = dict(zip(names, nets, strict=True))
        return classify(named, encode(named, batch))

    same_as_alone(nn.ModuleList(modules.values()), torch.randn(3, 2, 2), torch.randn(3, 2, 3, 2), present, call=call)


def test_what_is_no_modality_or_does_not_suit_one_is_said_before_anything_is_built():
    with pytest.raises(ValueError, match="encoder 'cnn' is for image, 'a' is vector; use 'mlp'"):
        check_encoders({"a": "vector"}, Model.model_validate({"encoders": {"a": "cnn"}}))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (
            ("a", "head"),
            "a modality cannot be called 'head', which is also the name of the model's head; give it another",
        ),
        (("fusion", "a"), "a modality cannot be called 'fusion'"),
        (("*", "a"), r"a modality cannot be called '\*', which means all networks"),
        (("a", "b_c", "a_b", "c"), "networks from 'a' to 'b_c' and from 'a_b' to 'c' would both be called 'a_b_c'"),
    ],
)
def test_names_that_two_networks_would_share_are_refused(names, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        separate(names)


def test_any_other_names_will_do():
    separate(("imu[0]", "a*", "left.wrist", "right hand", "猫", "task.head", "a_b", "a", "labels"))
