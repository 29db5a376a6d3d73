"""Federations of whole networks: what travels, what is kept, and the same bits everywhere."""

import shutil

import numpy as np
import pytest
import tiny_bert
import torch
import yaml
from safetensors.numpy import load_file

import raysim
from raysim.models.encoder import fixed_tensors
from raysim.report.events import StudyStarted, TrialFinished
from raysim.report.files import FileSink
from raysim.scenario.check import check
from raysim.scenario.errors import ScenarioError
from raysim.scenario.identity import digest, settings
from raysim.scenario.trial import load
from raysim.seeding import stream
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job
from raysim.training.layout import Replica

SCENARIO = {
    "name": "notes", "partition": {"name": "iid", "clients": 4},
    "method": "zero_fill",
    "model": {"dim": 8, "head": {"hidden": None}, "encoders": {"text": {"name": "transformers", "model": "tiny"}}},
    "federation": {"rounds": 3, "batch_size": 4, "optimizer": {"name": "adam", "lr": 0.01, "persistent": True}},
    "numerics": {"device": "cpu", "stack": 4, "evaluation_batch": 16},
}  # fmt: skip
LORA = "model.encoders.text.lora={rank: 3, dropout: 0.2}"
FROZEN = "model.encoders.text.freeze=true"
PART = "model.encoders.text.freeze=['embeddings.*', 'encoder.layer.0.*']"
WIDTH, LAYERS = tiny_bert.WIDTH, tiny_bert.LAYERS
ADAPTERS = 4 * LAYERS * 2 * (2 * 3 * WIDTH)
"""Bytes: in each layer query and value get A and B of rank 3."""
LINEAR = 4 * (8 * WIDTH + 8)
"""Of raysim's own layer."""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A scenario, its data and its network, in a folder each to itself."""
    folder = tmp_path_factory.mktemp("home")
    tiny_bert.write(folder / "tiny")
    rng, n = stream(0, "notes"), 60
    y = rng.integers(2, size=n)
    ids = rng.integers(9, 13, size=(n, 6))
    ids[:, 0], ids[:, 1] = 2, np.where(y, 7, 8)
    np.savez(
        folder / "notes.npz",
        **{"x.text": ids, "length.text": rng.integers(2, 7, size=n), "x.vitals": rng.standard_normal((n, 3)), "y": y,
           "split": np.repeat(["train", "validation", "test"], n // 3)},
    )  # fmt: skip
    data = {"dataset": {"name": "arrays", "path": str(folder / "notes.npz")}}
    (folder / "notes.yaml").write_text(yaml.safe_dump(SCENARIO | data))
    return folder


@pytest.fixture(scope="module")
def trial(home):
    def made(*changes):
        (one,) = load(home / "notes.yaml", changes)
        check(one)
        return one

    return made


@pytest.fixture
def refused(trial):
    def line(*changes, validate=False):
        with pytest.raises(ScenarioError) as caught:
            (check_kinds if validate else prepare)(trial(*changes))
        return str(caught.value)

    return line


def size_of(job):
    """Bytes of the network alone."""
    return 4 * sum(p.numel() for p in job.groups["task.text"].net.net.parameters())


def moments(found):
    """Bytes that each client's optimiser keeps for the text's encoder; they are the same for all."""
    sizes = []
    for state in found["states"].values():
        held = {n.split("/")[3]: 0 for n in state if "/task.text/" in n}
        for name in (n for n in state if "/task.text/" in n):
            held[name.split("/")[3]] += len(state[name])
        sizes.append(held)
    assert all(held == sizes[0] for held in sizes)
    return sizes[0]


def test_adapters_alone_travel_and_have_moments(small, trial):
    job = Job(trial(LORA), prepare(trial(LORA)).data)
    found = small.run(trial(LORA))
    once = 4 * (size_of(job) - ADAPTERS)
    both = 4 * (ADAPTERS + LINEAR)
    assert [r["traffic"]["task.text"] for r in found["records"]] == [[both + once, both], [both, both], [both, both]]
    assert moments(found) == {"mean": ADAPTERS + LINEAR, "square": ADAPTERS + LINEAR}
    assert len(found["weights"]["task.text"]) == ADAPTERS + LINEAR
    first = job.layouts["task.text"].flatten(job.layouts["task.text"].tensors(job.groups["task.text"].net))
    assert (np.frombuffer(found["weights"]["task.text"], np.float32) != first.numpy()).mean() > 0.9


def test_a_frozen_network_travels_once_and_has_no_moments(small, trial):
    found = small.run(trial(FROZEN))
    size = size_of(Job(trial(FROZEN), prepare(trial(FROZEN)).data))
    assert [r["traffic"]["task.text"] for r in found["records"]] == [
        [4 * (size + LINEAR), 4 * LINEAR], [4 * LINEAR, 4 * LINEAR], [4 * LINEAR, 4 * LINEAR]
    ]  # fmt: skip
    assert moments(found) == {"mean": LINEAR, "square": LINEAR}
    whole = small.run(trial())["records"]
    assert [r["traffic"]["task.text"] for r in whole] == [[4 * (size + LINEAR)] * 2] * 3


@pytest.mark.ray
@pytest.mark.parametrize("change", [LORA, PART])
def test_the_same_bits_on_ray_as_in_process(small, trial, local_ray, change):
    one = trial(change, "federation.rounds=2")
    small.same_on_ray(one)


def kept(trial, folder):
    """The folder of a trial that has run, and its summary."""
    prepared = prepare(trial)
    job, sink, told = Job(prepared.trial, prepared.data), FileSink(folder), []
    sink.handle(StudyStarted((prepared.info,), str(folder), "this machine"))
    for event in Simulation(job, LocalExecutor(job), prepared.info).run():
        told.append(event)
        sink.handle(event)
    (finished,) = [event for event in told if isinstance(event, TrialFinished)]
    return folder / "notes" / prepared.info.name, finished.summary


@pytest.mark.parametrize("change", [LORA, PART, FROZEN])
def test_a_kept_model_needs_no_files_of_the_network(home, trial, tmp_path, change):
    """It predicts the same bits when the folder is away, merges its adapters, and starts another trial."""
    copied = shutil.copytree(home, tmp_path / "home")
    (one,) = load(copied / "notes.yaml", (change,))
    folder, summary = kept(one, tmp_path / "out")
    shutil.rmtree(copied / "tiny")
    predictor = raysim.load(folder)
    assert predictor.evaluate() == summary["splits"]
    encoder = predictor.networks["task.text"]
    state = predictor.state_dicts()["task.text"]
    words = "net.embeddings.word_embeddings.weight"
    published = load_file(home / "tiny" / "model.safetensors")
    assert np.array_equal(state[words].numpy(), published[words.removeprefix("net.")])
    with np.load(home / "notes.npz") as arrays:
        rows = {m: arrays[f"x.{m}"][:5] for m in ("text", "vitals")}
        lengths = {"text": arrays["length.text"][:5]}
    first = predictor.predict(rows, lengths=lengths)
    assert np.array_equal(first, raysim.load(folder).predict(rows, lengths=lengths))

    from transformers import AutoModel

    plain = AutoModel.from_pretrained(home / "tiny").eval()
    plain.load_state_dict(encoder.merged(), strict=False)
    x = torch.from_numpy(rows["text"])
    found = plain(input_ids=x, attention_mask=torch.ones_like(x)).last_hidden_state[:, 0]
    torch.testing.assert_close(encoder.vectors(x, None), found, rtol=0, atol=1e-5)
    (again,) = load(home / "notes.yaml", (change, f"model.start={folder}"))
    net = Job(again, prepare(again).data).groups["task.text"].net.eval()
    assert torch.equal(net.vectors(x, None), encoder.vectors(x, None))


def test_replicas_have_what_is_frozen_in_common(trial):
    job = Job(trial(LORA), prepare(trial(LORA)).data)
    net, layout = job.groups["task.text"].net, job.layouts["task.text"]
    replica = Replica(net, layout, job.device)
    replica.bind([torch.zeros(shape) for shape in layout.shapes])
    mine, theirs = dict(net.named_parameters()), dict(replica.module.named_parameters())
    common = {n for n in mine if mine[n] is theirs[n]}
    assert common == set(fixed_tensors(net))
    assert not any("lora_" in n or "project" in n for n in common)


def test_the_plan_says_that_clients_are_trained_one_after_another(trial):
    job = Job(trial(LORA), prepare(trial(LORA)).data)
    assert job.obstacle.startswith("task.text has a ")
    assert job.obstacle.endswith(", which takes no client axis")


def test_a_folder_counts_by_what_it_holds(home, trial, tmp_path):
    copied = shutil.copytree(home, tmp_path / "home")
    (other,) = load(copied / "notes.yaml", ())
    elsewhere = trial()
    spec = elsewhere.scenario.model.encoders["text"]
    assert spec.model == str(home / "tiny")
    assert settings(elsewhere)["model"] == settings(other)["model"]
    assert spec.digest == settings(other)["model"]["encoders"]["text"]["digest"]
    tiny_bert.write(copied / "tiny", hidden_size=8)
    (changed,) = load(copied / "notes.yaml", ())
    assert digest(changed) != digest(other)
    assert trial(f"model.encoders.text.digest={spec.digest}").scenario.model.encoders["text"].digest == spec.digest


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("model.encoders.text.model=./tinny",
         "model.encoders.text.model: {cwd}/tinny is no folder; did you mean 'tiny'?"),
        ("model.encoders.text.model=./x/y",
         "model.encoders.text.model: {cwd}/x/y is no folder; relative paths begin at "
         "{cwd}/x; of a network on the hub write owner/name"),
        ("model.encoders.text.model=.", "model.encoders.text.model: {cwd} has no config.json; name a folder that "
         "save_pretrained wrote"),
        ("model.encoders.text.digest='00'",
         "model.encoders.text.digest: {cwd}/tiny has changed since this was written; "
         "undo that, or remove the digest"),
        ("model.encoders.text={name: torchvision, model: resnet18, weights: x.pth}",
         "model.encoders.text.weights: {cwd}/x.pth cannot be read: No such file or directory; relative paths begin at "
         "{cwd}"),
        ("model.encoders.text={name: transformer}", "did you mean 'transformers'?"),
        ("model.encoders.text={name: transformers}",
         "model.encoders.text: needs a model, or a config for one that begins "
         "at random; write for example model: FOLDER"),
        ("model.encoders.text={name: torchvision}",
         "model.encoders.text.model: is required; write for example 'model: resnet18'"),
        ("model.encoders.text.modle=x", "model.encoders.text.modle: unknown key; did you mean 'model'?"),
        ("model.encoders.text.take=first", "model.encoders.text.take: must be 'cls' or 'mean', is 'first'"),
        ("model.encoders.text.lora={rank: 0}",
         "model.encoders.text.lora.rank: must be a whole number of at least 1, is 0"),
        ("model.encoders.text.lora={rnak: 2}", "model.encoders.text.lora.rnak: unknown key; did you mean 'rank'?"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_the_file(home, trial, monkeypatch, change, line):
    monkeypatch.chdir(home)
    with pytest.raises(ScenarioError) as caught:
        trial(change)
    assert str(caught.value).endswith(line.format(cwd=home))


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("model.encoders.vitals={name: transformers, model: NET}",
         "model.encoders: encoder 'transformers' is for tokens and image, 'vitals' is vector"),
        ("model.encoders.text={name: torchvision, model: resnet18}",
         "model.encoders: encoder 'torchvision' is for image, 'text' is tokens"),
        ("model.encoders.text.lora={target_modules: [valeu]}",
         "model.encoders.text: lora.target_modules: 'valeu' names no "
         "layer that takes adapters; did you mean 'value'?"),
    ],
)  # fmt: skip
def test_what_does_not_fit_the_data(home, refused, validate, change, line):
    assert refused(change.replace("NET", str(home / "tiny")), validate=validate).endswith(line)


def test_more_tokens_than_the_network_knows(home, refused):
    with np.load(home / "notes.npz") as arrays:
        np.savez(home / "more.npz", **{**arrays, "x.text": arrays["x.text"] + 1})
    assert f"{home}/tiny knows 13 tokens, the data has 14; prepare it with" in refused(f"dataset.path={home}/more.npz")
