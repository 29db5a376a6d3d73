import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.report_generation import TRUNK, WRITER
from raysim import registry
from raysim.data.dataset import Dataset, Modality, Split
from raysim.models.report import Writer
from raysim.seeding import stream
from raysim.simulation.rounds import shares

SIZES = {"dim": 16, "hidden": 16, "heads": 2, "layers": 1, "slots": 2, "dropout": 0.0,
         "trunk": {"name": "cnn", "channels": [8]}, "report_rounds": 1, "report_epochs": 1}  # fmt: skip
SMALL = {"name": "report_generation"} | SIZES
TEXTS = [[2, 4, 6, 3], [2, 4, 7, 3], [2, 5, 1, 6, 3], [2, 5, 1, 7, 3]]
"""What is said of two corners that are dark or bright: 2 begins, 3 ends, the others are words."""
MODALITIES = {"image": Modality("image", (1, 8, 8)), "text": Modality("tokens", (5,), vocabulary=8)}
WITHOUT = [{"modalities": ["image"], "clients": 3}, {"modalities": ["image", "text"], "clients": 1}]


def pictured(rng, clients):
    """Two corners, under noise; the class is whether they are equal, which no sum over corners tells."""
    case = rng.permutation(np.arange(len(clients)) % 4)
    images = 0.3 * rng.standard_normal((len(clients), 1, 8, 8))
    images[:, 0, :3, :3] += np.where(case < 2, -1.0, 1.0)[:, None, None]
    images[:, 0, 5:, 5:] += np.where(case % 2, 1.0, -1.0)[:, None, None]
    lengths = np.array([len(t) for t in TEXTS])[case]
    texts = np.array([t + [0] * (5 - len(t)) for t in TEXTS])[case]
    labels = ((case == 0) | (case == 3)).astype(np.int64)
    inputs = {"image": images.astype(np.float32), "text": texts}
    return Split(inputs, labels, {"text": lengths}, clients=np.array(clients))


@pytest.fixture
def data():
    """`data(sizes)`: natural clients of these sizes."""

    def make(sizes=(9, 9, 10, 11), tests=16):
        rng = stream(0, "pictured")
        train = pictured(rng, [c for c, size in enumerate(sizes) for _ in range(size)])
        validation, test = (pictured(rng, [0] * tests) for _ in range(2))
        return Dataset(MODALITIES, ("unlike", "like"), False, train, validation, test)

    return make


@pytest.fixture
def job(data, make_job):
    return make_job(data(), SMALL)


@pytest.fixture
def written(monkeypatch):
    """The shapes of the images that were written about so far."""
    seen, write = [], Writer.write

    def spy(self, patches, *args, **settings):
        seen.append(tuple(patches.shape[:-2]))
        return write(self, patches, *args, **settings)

    monkeypatch.setattr(Writer, "write", spy)
    return seen


class Says(Writer):
    """Writes the same text of two tokens, 6 and 1, whatever it sees."""

    def __init__(self):
        nn.Module.__init__(self)
        self.source, self.target, self.asked = "image", "text", []

    def write(self, patches, beam, *, trigrams):
        self.asked.append((beam, trigrams))
        rows = patches.shape[:-2]
        return torch.tensor([6, 1, 0]).expand(*rows, 3), torch.full(rows, 2)


def patterned(make_batch, job, image, text, **fields):
    """Four samples, of which these have an image and a text; texts are tokens 1 to 4."""
    tokens = torch.tensor([[1, 2, 3, 4]] * 4)
    return make_batch(
        job, {"image": torch.randn(4, 1, 8, 8), "text": tokens}, {"image": image, "text": text},
        lengths={"text": torch.tensor([4, 3, 2, 1])}, **fields,
    )  # fmt: skip


def test_the_defaults_are_the_papers():
    o = registry.options(registry.find("method", "report_generation"), {})
    assert (o.report_rounds, o.report_epochs, o.beam, o.block_trigrams) == (30, 3, 3, True)
    assert (o.trunk.name, o.dim, o.hidden, o.heads) == ("resnet50", 512, 512, 8)
    assert (o.layers, o.slots, o.dropout) == (3, 3, 0.1)
    assert (o.optimizer.name, o.optimizer.lr, o.optimizer.weight_decay) == ("adam", 1e-4, 5e-5)


def test_what_the_generator_is_made_for(data, make_job):
    job = make_job(data(), SMALL | {"max_length": 4, "report_rounds": 3})
    writer = job.groups[WRITER].net
    assert (writer.source, writer.target, writer.longest, writer.head.weight.shape[0]) == ("image", "text", 4, 9)
    assert make_job(data(), SMALL | {"max_length": 99}).groups[WRITER].net.longest == 5
    report, train = job.phases
    assert (report.rounds, report.evaluate, train.rounds, train.evaluate) == (3, False, None, True)
    assert job.trained(report) == (TRUNK, WRITER)
    assert job.trained(train) == ("task.image", "task.text", "task.fusion", "task.head")


def test_the_loss_is_the_mean_over_tokens_of_pairs(job, make_batch, make_nets):
    nets = make_nets(job)
    nn.init.zeros_(nets[WRITER].head.weight)
    nets[WRITER].head.bias.data = torch.arange(1.0, 10.0).log()  # index i has the chance (i + 1) / 45
    batch = patterned(make_batch, job, [True, False, False, True], [True, True, False, True])
    each = [math.log(45 / n) for n in (3, 4, 5, 6, 1)] + [math.log(45 / n) for n in (3, 1)]
    assert job.method.writing_loss(nets, batch).item() == pytest.approx(sum(each) / 7, rel=1e-6)
    assert job.method.writing_loss(nets, patterned(make_batch, job, [False] * 4, [True] * 4)).item() == 0.0


def test_only_clients_with_pairs_train_the_generator(data, make_job, new_run):
    run = new_run(make_job(data(), SMALL, missing={"name": "roles", "roles": WITHOUT})).go(until=1)
    (both,) = [k for k in range(4) if run.job.data.info(k).complete]
    (record,) = run.records
    assert [row["id"] for row in record["clients"] if "report" in row["loss"]] == [both]
    assert "test" not in record
    assert {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()} == {TRUNK, WRITER}
    found = shares(run.job, run.job.phases[0], range(4))
    assert found[TRUNK] == found[WRITER] == {both: 1.0}


def test_it_is_averaged_by_samples_and_frozen_afterwards(data, make_job, new_run):
    job = make_job(data(), SMALL)
    sizes = job.data.sizes / job.data.sizes.sum()
    assert list(shares(job, job.phases[0], range(4))[WRITER].values()) == pytest.approx(sizes.tolist())
    run = new_run(job).go(until=1)
    learnt = {n: run.x[n].tobytes() for n in (TRUNK, WRITER)}
    run.go()
    assert {n: run.x[n].tobytes() for n in learnt} == learnt


def test_clients_without_images_have_no_generator(data, make_job, new_run, written):
    roles = [{"modalities": ["text"], "clients": 3}, {"modalities": ["image", "text"], "clients": 1}]
    job = make_job(data(), SMALL, missing={"name": "roles", "roles": roles})
    infos = [job.data.info(k) for k in range(4)]
    reached = [job.groups[WRITER].reaches(info) for info in infos]
    assert reached == [info.complete > 0 for info in infos]
    assert np.isfinite(new_run(job).go().records[-1]["loss"]["task"])
    assert written == []  # nobody lacks a text that could be written


def test_a_written_text_is_embedded_like_a_real_one(job, make_batch, make_nets):
    nets = make_nets(job, report__writer=Says())
    batch = patterned(make_batch, job, [True, True, False, False], [True, False, True, False])
    logits = job.method.predict(nets, batch)
    assert nets[WRITER].asked == [(3, True)]
    texts = torch.tensor([[1, 2, 3, 4], [6, 1, 0, 0], [1, 2, 0, 0]])
    embedded = nets["task.text"](texts, torch.tensor([4, 2, 2])).pooled()
    zeros, images = torch.zeros(1, 8), nets["task.image"](batch.x["image"]).pooled()
    both = torch.cat([torch.cat([images[:2], zeros, zeros]), torch.cat([embedded, zeros])], dim=-1)
    torch.testing.assert_close(logits, nets["task.head"](both))


def test_while_training_kept_texts_are_read(job, make_batch, make_nets):
    nets = make_nets(job, report__writer=Says())
    client = replace(job.data.info(0), modalities=frozenset({"image"}), always=frozenset({"image"}))
    columns = {"tokens": torch.tensor([[7, 5]] * 4), "lengths": torch.tensor([1, 2, 2, 1])}
    batch = patterned(make_batch, job, [True] * 4, [False] * 4, columns=columns, clients=(client,))
    loss = job.method.loss(nets, batch)
    assert nets[WRITER].asked == []
    features = nets["task.image"](batch.x["image"]).pooled(), nets["task.text"](*columns.values()).pooled()
    torch.testing.assert_close(loss, nn.functional.cross_entropy(nets["task.head"](torch.cat(features, -1)), batch.y))
    loss.backward()
    assert all(p.grad.any() for p in nets["task.text"].gru.parameters())


def test_nothing_is_written_where_nothing_lacks(job, make_batch, make_nets):
    nets = make_nets(job, report__writer=Says())
    for image, text in (([True] * 4, [True] * 4), ([False] * 4, [False, True, True, True])):
        assert job.method.predict(nets, patterned(make_batch, job, image, text)).isfinite().all()
    assert nets[WRITER].asked == []


@pytest.mark.parametrize("stack", [1, 4])
def test_a_client_writes_once(data, make_job, new_run, written, stack):
    federation = {"rounds": 3, "batch_size": 4}
    job = make_job(data(), SMALL, missing={"name": "roles", "roles": WITHOUT}, federation=federation, stack=stack)
    run = new_run(job).go(until=1)
    assert written == []
    run.go(until=2)
    # Slices of at most evaluation_batch, 8, of the three clients that lack text: by themselves, or two of each.
    sizes = [int(job.data.sizes[k]) for k in range(4) if not job.data.info(k).complete]
    alone = [(n,) for size in sizes for n in (8, size - 8)]
    assert written == (alone if stack == 1 else [(3, min(2, max(sizes) - i)) for i in range(0, max(sizes), 2)])
    before = list(written)
    assert np.isfinite(run.go().records[-1]["loss"]["task"])
    assert written == before
    assert [r["phase"] for r in run.records] == ["report", "train", "train", "train"]


def test_two_rounds_are_one_round_and_another(data, make_job, new_run):
    missing = {"name": "per_sample", "rate": 0.4}
    make = lambda: make_job(data(), SMALL | {"report_rounds": 2}, missing=missing, stack=4)  # noqa: E731
    at_once = new_run(make()).go()
    for until in (1, 3):
        assert new_run(make()).go(until=until).move(make()).go().bits() == at_once.bits()


def test_what_makes_no_sense_is_refused(data, make_job):
    refused = registry.find("method", "report_generation").suits
    with pytest.raises(ValueError, match=r"^report_generation needs at least 2 modalities, the data has 1$"):
        refused({"text": "tokens"})
    with pytest.raises(ValueError, match=r"^report_generation writes tokens from an image, and the data has no modality"
                                         r" of kind tokens; prepare it so, or use another method$"):  # fmt: skip
        refused({"image": "image", "audio": "sequence"})
    with pytest.raises(ValueError, match=r" has no modality of kind image; "):
        refused({"text": "tokens", "audio": "sequence"})
    for options, message in (
        ({"heads": 3}, r"method\.heads is 3, which does not divide method\.dim 16"),
        ({"target": "image"}, r"method\.target is image; name one of the data's tokens modalities: text"),
        ({"trunk": {"name": "gru"}}, r"encoder 'gru' is for sequence, 'image' is image; use 'cnn'"),
        ({"trunk": {"name": "cnn", "weights": "random"}}, r"encoder 'cnn' of 'image' has no published weights; .*"),
    ):
        with pytest.raises(ValueError, match=f"^{message}$"):
            make_job(data(), SMALL | options)


def test_with_several_images_one_must_be_named(data, make_job):
    one = data()
    two = replace(one, modalities={"front": MODALITIES["image"], **MODALITIES}, **{
        s: replace(one.split(s), inputs={"front": one.split(s).inputs["image"], **one.split(s).inputs})
        for s in ("train", "validation", "test")
    })  # fmt: skip
    with pytest.raises(
        ValueError, match=r"^method\.source is null; name one of the data's image modalities: front, im"
    ):
        make_job(two, SMALL)
    job = make_job(two, SMALL | {"source": "front"})
    assert (job.groups[WRITER].net.source, job.groups[WRITER].needs) == ("front", {"front", "text"})


LEARNING = {"dim": 32, "hidden": 32, "report_rounds": 10, "report_epochs": 4,
            "optimizer": {"name": "adam", "lr": 0.005, "persistent": True}}  # fmt: skip


@pytest.fixture
def trained(data, make_job, new_run):
    """`trained(method)`: six of eight clients lack the text."""

    def make(method):
        roles = [{"modalities": ["image"], "clients": 6}, {"modalities": ["image", "text"], "clients": 2}]
        encoders = {"image": {"name": "cnn", "channels": [4]}}  # it never sees both corners at once
        return new_run(
            make_job(
                data([24] * 8, tests=100), method, missing={"name": "roles", "roles": roles}, stack=8,
                model={"dim": 8, "head": {"hidden": None}, "encoders": encoders}, evaluation={"every_rounds": 25},
                federation={"rounds": 15, "batch_size": 4, "optimizer": {"name": "adam", "lr": 0.01}},
            )
        ).go()  # fmt: skip

    return make


def test_it_writes_what_is_seen_and_that_helps(trained, learnt, make_batch):
    accuracies = []
    for method in (SMALL | LEARNING, "zero_fill"):
        run = trained(method)
        nets, x = learnt(run)
        split = run.job.data.dataset.test
        lengths = {"text": torch.from_numpy(split.lengths["text"])}
        batch = make_batch(run.job, x, {"image": [True] * 100, "text": [False] * 100}, lengths=lengths)
        guesses = run.job.method.predict(nets, batch).argmax(-1).numpy()
        accuracies.append((guesses == split.labels).mean())
        if method != "zero_fill":
            texts = run.job.method.texts(nets, batch)["tokens"]
            assert (texts == x["text"]).all(-1).float().mean() > 0.7
    assert accuracies[0] > accuracies[1] + 0.3
