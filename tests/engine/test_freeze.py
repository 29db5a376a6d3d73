"""What is frozen of an encoder: it stays as it is, travels once, and has no optimiser state."""

import numpy as np
import pytest
import torch

from raysim.models.encoder import fixed_tensors
from raysim.scenario.errors import ScenarioError
from raysim.simulation.prepare import prepare
from raysim.training.job import Job
from raysim.training.keeping import networks, saved
from raysim.training.kept import ModelError, read
from raysim.training.results import Broadcast

ADAM = "federation.optimizer={name: adam, lr: 0.01, persistent: true}"
WHOLE = "model.encoders.image={name: cnn, channels: [4], freeze: true}"
PART = "model.encoders.image={name: cnn, channels: [4], freeze: ['net.0.*']}"
PLAIN = "model.encoders.image={name: ray_modules:Plain, freeze: ['net.*']}"
CONVOLUTION, LINEAR = 4 * (4 * 9 + 4), 4 * (8 * 4 * 4 * 4 + 8)
"""Bytes of the encoder's layers; images have one channel of 8 x 8."""


def made(small, *settings):
    trial = small.trial(*settings)
    return Job(trial, prepare(trial).data)


def test_what_is_frozen_travels_once_to_each_client_and_nothing_comes_back(small):
    """Six clients, four a round: in three rounds all are new once."""
    found = small.run(small.trial(ADAM, WHOLE, "federation.clients_per_round=6"))
    size = CONVOLUTION + LINEAR
    assert [r["traffic"]["task.image"] for r in found["records"]] == [[6 * size, 0], [0, 0], [0, 0]]
    assert "task.image" not in found["weights"]
    known = set()
    for record in small.run(small.trial(WHOLE))["records"]:
        new = set(record["cohort"]) - known
        known |= new
        assert record["traffic"]["task.image"] == [len(new) * size, 0]


def test_an_optimiser_keeps_no_moments_of_it(small):
    def moments(*settings):
        states = small.run(small.trial(ADAM, *settings))["states"]
        return {n: len(v) for s in states.values() for n, v in s.items() if n.startswith("optimizer/")}

    bare, part, whole = moments(), moments(PART), moments(WHOLE)
    assert {n for n in whole if "task.image" in n} == set()
    assert len([n for n in bare if "/mean/task.image" in n]) == 4
    assert sorted(v for n, v in part.items() if "/mean/task.image" in n) == [4 * 8, LINEAR - 4 * 8]
    assert sum(whole.values()) < sum(part.values()) < sum(bare.values())


def test_of_a_part_the_rest_travels_and_is_trained(small):
    found = small.run(small.trial(PART, "federation.clients_per_round=6"))
    assert [r["traffic"]["task.image"] for r in found["records"]] == [
        [6 * (CONVOLUTION + LINEAR), 6 * LINEAR], [6 * LINEAR, 6 * LINEAR], [6 * LINEAR, 6 * LINEAR],
    ]  # fmt: skip
    job = made(small, PART)
    assert job.frozen == {"task.image": CONVOLUTION // 4}
    first = job.layouts["task.image"].flatten(job.layouts["task.image"].tensors(job.groups["task.image"].net))
    assert (np.frombuffer(found["weights"]["task.image"], np.float32) != first.numpy()).any()


@pytest.mark.parametrize("settings", [(PART,), (WHOLE, "federation.algorithm=scaffold")], ids=["part", "whole"])
def test_a_stack_of_four_is_one_after_another(small, settings):
    one, four = (small.run(small.trial(*settings, f"numerics.stack={stack}"))["weights"] for stack in (1, 4))
    for name in one:
        np.testing.assert_allclose(
            *(np.frombuffer(w, np.float32) for w in (four[name], one[name])), rtol=0, atol=1e-6, err_msg=name
        )


def test_a_layer_of_which_a_part_is_frozen_takes_no_client_axis(small):
    job = made(small, "model.encoders.image={name: cnn, channels: [4], freeze: ['*.weight']}")
    assert job.obstacle == "task.image has a Conv2d, which takes no client axis"
    assert made(small, PART).obstacle == ""


def test_running_statistics_of_a_frozen_norm_stay(small):
    job = made(small, PLAIN)
    net = job.groups["task.image"].net.train()
    assert not net.net.net[1].training
    assert not net.net.net[3].training  # dropout inside of what is frozen
    assert net.net.head.training
    assert set(fixed_tensors(net)) == {
        "net.net.0.weight", "net.net.0.bias", "net.net.1.weight", "net.net.1.bias", "net.net.1.running_mean",
        "net.net.1.running_var",
    }  # fmt: skip
    assert job.layouts["task.image"].names == ("net.head.weight", "net.head.bias")


@pytest.mark.parametrize("setting", [WHOLE, PART])
def test_it_is_kept_with_the_rest(small, tmp_path, setting):
    """A file of one start gives another start its weights."""
    first, other = made(small, setting), made(small, setting, "seeds=[5]")
    x = {n: other.layouts[n].flatten(other.layouts[n].tensors(other.groups[n].net)).numpy() for n in other.shared}
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved(other, Broadcast(0, 1, x)))
    kept = read(path)
    fixed = [fixed_tensors(job.groups["task.image"].net)["net.0.weight"] for job in (first, other)]
    assert not torch.equal(*fixed)
    found = networks(first, kept)
    assert torch.equal(*fixed)
    assert set(found.x) == set(x)
    assert all((found.x[n] == x[n]).all() for n in x)
    assert kept.groups["task.image"][-2:] == ["net.0.weight", "net.0.bias"] or setting == WHOLE
    with pytest.raises(ModelError, match=r"'task\.image/net\.\d\.weight' has the shape .* there, and the shape"):
        networks(made(small, setting.replace("[4]", "[5]")), kept)
    started = made(small, setting, f"model.start={path}")
    assert torch.equal(fixed_tensors(started.groups["task.image"].net)["net.0.weight"], fixed[1])


def test_a_glob_that_names_nothing(small):
    with pytest.raises(ScenarioError) as caught:
        prepare(small.trial("model.encoders.image={name: cnn, channels: [4], freeze: [conv*]}"))
    assert str(caught.value).endswith(
        "model.encoders.image: freeze: 'conv*' names no tensor; there are: net.0.weight, net.0.bias, net.4.weight, "
        "net.4.bias"
    )
