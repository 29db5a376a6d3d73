import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from methods.car_mfl import distances, equal, jaccard
from raysim.data.dataset import Modality
from raysim.method import ClientInfo, Feature, Public
from raysim.simulation.rounds import shares

ROLES = [
    {"modalities": ["left"], "clients": 2},
    {"modalities": ["right"], "clients": 1},
    {"modalities": ["left", "right"], "clients": 1},
]
RUN = {"public": 9, "missing": {"name": "roles", "roles": ROLES}}
PAIR = {m: Modality("vector", (1,)) for m in ("left", "right")}


class Pass(nn.Module):
    """An encoder that gives its input, which is not absent then."""

    def forward(self, x, lengths=None):
        return Feature.of(x)


def client(id_, *modalities, samples=2, always=None, complete=0, server=False):
    always = frozenset(modalities if always is None else always)
    return ClientInfo(id_, frozenset(modalities), always, samples, (samples,), complete, server)


LEFT_ONLY = client(0, "left")


@pytest.fixture
def by_hand(tiny_data, make_job, make_batch, make_nets):
    """`by_hand(left, right, public, ...)`: the method, networks and a batch where embeddings are the inputs."""

    def make(left, right, public, y=None, public_y=None, clients=(), **options):
        multi = public_y is not None and np.ndim(public_y) == 2
        data = replace(tiny_data("vectors", multi_label=multi), modalities=PAIR)
        job = make_job(data, {"name": "car_mfl"} | options, model={"dim": 1, "head": {"hidden": 8}})
        nets = make_nets(job, task__left=Pass(), task__right=Pass())
        given = {"left": left, "right": right}
        table = {m: torch.tensor(v)[:, None] for m, v in zip(given, zip(*public, strict=True), strict=True)}
        labels = torch.tensor([0] * len(public) if public_y is None else public_y)
        batch = make_batch(
            job, {m: torch.tensor([[0.0 if v is None else v] for v in values]) for m, values in given.items()},
            {m: [v is not None for v in values] for m, values in given.items()}, y=y, clients=clients,
            public=Public(table, {}, labels), shared=table,
        )  # fmt: skip
        return job.method, nets, batch

    return make


def filled(method, nets, batch):
    features = {m: Feature.of(batch.x[m], batch.present[m]) for m in batch.x}
    return {m: f.pooled()[..., 0].tolist() for m, f in method.fill(batch, nets, features).items()}


FOUR = [(0.0, 10.0), (2.0, 20.0), (4.0, 30.0), (9.0, 40.0)]
"""Public samples, (left, right)."""


def test_distances_by_hand(by_hand):
    _, _, batch = by_hand([3.0, None, 1.0], [None, 25.0, 20.0], FOUR)
    features = {m: Feature.of(batch.x[m], batch.present[m]) for m in batch.x}
    # A sample with both adds the squares: (1 - 0)^2 + (20 - 10)^2 and so on.
    assert distances(batch, features).tolist() == [
        [9.0, 1.0, 1.0, 36.0], [225.0, 25.0, 25.0, 225.0], [101.0, 1.0, 109.0, 464.0]
    ]  # fmt: skip


def test_the_one_of_the_nearest_whose_labels_are_most_alike(by_hand):
    labels = {"y": [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]}
    # To the first sample 1/3, 1, 1/2 and 1, but the last is not among the three nearest; to the second all 0.
    public = [[1.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]
    method, nets, batch = by_hand([3.5, 3.5], [None, None], FOUR, **labels, public_y=public, neighbours=3)
    assert method.retrieve(nets, batch)["retrieved"].tolist() == [1, 2]
    public = [[1.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    method, nets, batch = by_hand([3.5, 8.0], [None, None], FOUR, **labels, public_y=public)
    # First 1/3, 1/2, 1/2 and 0, of which the nearest; then only the last has no label, like the sample.
    assert method.retrieve(nets, batch)["retrieved"].tolist() == [2, 3]


def test_of_classes_only_the_same_is_alike(by_hand):
    method, nets, batch = by_hand([3.5, 3.5], [None, None], FOUR, y=[1, 2], public_y=[1, 0, 0, 1], neighbours=3)
    # Of the nearest 2, 1, 0 the last has class 1, and none has class 2.
    assert method.retrieve(nets, batch)["retrieved"].tolist() == [0, 2]


def test_without_refinement_the_nearest(by_hand):
    given = {"y": [1, 1], "public_y": [1, 0, 0, 1], "refine": False}
    method, nets, batch = by_hand([3.5, None], [None, 11.0], FOUR, **given)
    assert method.retrieve(nets, batch)["retrieved"].tolist() == [2, 0]


def test_similarities_by_hand():
    mine = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    theirs = torch.tensor([[[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]], [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]])
    assert jaccard(mine, theirs).tolist() == [[0.5, pytest.approx(2 / 3)], [1.0, 0.0]]
    assert equal(torch.tensor([2, 0]), torch.tensor([[2, 1], [1, 0]])).tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_what_is_absent_is_borrowed_raw(by_hand):
    given = {"y": [1] * 4, "public_y": [0, 0, 0, 1]}
    method, nets, batch = by_hand([3.5, None, 7.0, None], [None, 11.0, 99.0, None], FOUR, **given)
    # At evaluation, by distance alone, whatever the labels; the last has nothing to look with.
    assert filled(method, nets, batch) == {"left": [3.5, 0.0, 7.0, 0.0], "right": [30.0, 11.0, 99.0, 0.0]}
    streams = method.fill(batch, nets, {m: Feature.of(batch.x[m], batch.present[m]) for m in batch.x})
    assert streams["left"].present().tolist() == [True, True, True, False]


def test_in_training_what_the_stage_found_is_borrowed(by_hand):
    method, nets, batch = by_hand([3.5, 3.5], [None, None], FOUR, clients=(LEFT_ONLY,))
    batch = replace(batch, columns={"retrieved": torch.tensor([3, 0])})
    assert filled(method, nets, batch) == {"left": [3.5, 3.5], "right": [40.0, 10.0]}


def test_a_complete_client_looks_for_nothing(by_hand):
    both = client(1, "left", "right", complete=2)
    method, nets, batch = by_hand([3.5, 1.0], [1.0, 2.0], FOUR, clients=(both,))
    batch = replace(batch, public=None, shared={})
    assert method.retrieve(nets, batch) == {}
    assert filled(method, nets, batch) == {"left": [3.5, 1.0], "right": [1.0, 2.0]}
    server = client(9, "left", "right", complete=2, server=True)
    assert [method.hears(c) for c in (LEFT_ONLY, both, server)] == [True, False, False]


def test_values_of_absent_rows_change_nothing(by_hand):
    method, nets, batch = by_hand([3.5, None], [None, 11.0], FOUR)
    poisoned = replace(batch, x={m: torch.where(batch.present[m][:, None], x, math.nan) for m, x in batch.x.items()})
    for find in (method.retrieve, lambda nets, batch: {"logits": method.predict(nets, batch)}):
        (expected,), (found,) = find(nets, batch).values(), find(nets, poisoned).values()
        assert torch.equal(found, expected)


def test_a_stack_is_its_clients_one_after_another(by_hand):
    method, nets, one = by_hand([3.5, 0.1], [None, None], FOUR, y=[1, 0], public_y=[1, 0, 0, 1], clients=(LEFT_ONLY,))
    stacked = {k: {m: torch.stack([t, t.flip(0)]) for m, t in getattr(one, k).items()} for k in ("x", "present")} | {
        k: torch.stack([getattr(one, k), getattr(one, k).flip(0)]) for k in ("y", "rows")
    }
    two = replace(one, **stacked, clients=(LEFT_ONLY, LEFT_ONLY))
    (alone,), (found,) = method.retrieve(nets, one).values(), method.retrieve(nets, two).values()
    assert found.tolist() == [alone.tolist(), alone.flip(0).tolist()]
    one, two = (replace(b, columns={"retrieved": f}) for b, f in ((one, alone), (two, found)))
    assert filled(method, nets, two)["right"][0] == filled(method, nets, one)["right"]


def test_a_borrowed_sequence_keeps_its_own_length(tiny_data, make_job, make_batch, make_nets):
    job = make_job(tiny_data("mixed"), "car_mfl", model={"dim": 8, "dropout": 0.0})
    nets, rng = make_nets(job), torch.Generator().manual_seed(0)
    inputs = {m: torch.randn(3, *k.shape, generator=rng) for m, k in job.task.modalities.items()}
    lengths = {"sequence": torch.tensor([2, 4, 1])}
    shared = job.method.share(nets, make_batch(job, inputs, {m: [True] * 3 for m in inputs}, lengths=lengths))
    # The own sequences are cut to two steps; the first sample has none, and its image is the second public one.
    x = {"image": inputs["image"][[1, 0]], "vector": inputs["vector"][[1, 0]], "sequence": torch.ones(2, 2, 3)}
    x["sequence"][0] = 0.0
    present = {"image": [True, True], "vector": [False, True], "sequence": [False, True]}
    batch = make_batch(
        job, x, present, lengths={"sequence": torch.tensor([1, 2])}, clients=(client(0, *x, always=["image"]),),
        public=Public(inputs, lengths, torch.zeros(3, dtype=torch.long)), shared=shared,
    )  # fmt: skip
    column = job.method.retrieve(nets, batch)["retrieved"]
    assert column[0] == 1
    found = job.method.predict(nets, replace(batch, columns={"retrieved": column}))
    whole = {m: t[[1, 0]] for m, t in inputs.items()}
    whole["sequence"][1] = nn.functional.pad(torch.ones(2, 3), (0, 0, 0, 2))
    full = make_batch(job, whole, {m: [True] * 2 for m in x}, lengths={"sequence": torch.tensor([4, 2])})
    torch.testing.assert_close(found, job.method.predict(nets, full))


CLIENTS = {0: client(0, "left", "right"), 1: client(1, "left"), 2: client(2, "left", "right", server=True)}
PLAIN = {0: 0.09, 1: 0.09, 2: 0.82}


def test_the_softmax_evens_the_discount_out(tiny_data, make_job):
    method = make_job(tiny_data("vectors"), "car_mfl").method
    found = method.reweight("task.right", PLAIN, CLIENTS)
    # 0.3 times 0.09 is 0.027, and exp(0.09 - 0.027) = exp(0.063) = 1.065.
    assert found[0] / found[1] == pytest.approx(1.0650, abs=1e-4)
    assert found[2] / found[0] == pytest.approx(math.exp(0.73))
    assert sum(found.values()) == pytest.approx(1.0)
    assert method.reweight("task.left", PLAIN, CLIENTS)[1] == method.reweight("task.left", PLAIN, CLIENTS)[0]
    for joint in ("task.fusion", "task.head"):
        assert method.reweight(joint, PLAIN, CLIENTS) == PLAIN


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"reweight": "normalize"}, {0: 0.09 / 0.937, 1: 0.027 / 0.937, 2: 0.82 / 0.937}),
        ({"reweight": "normalize", "alpha": 1.0}, PLAIN),
        ({"reweight": "none"}, PLAIN),
    ],
)
def test_other_shares(tiny_data, make_job, options, expected):
    method = make_job(tiny_data("vectors"), {"name": "car_mfl"} | options).method
    assert method.reweight("task.right", PLAIN, CLIENTS) == pytest.approx(expected)


def test_everyone_trains_every_encoder_and_the_server_too(tiny_data, make_job, new_run):
    run = new_run(make_job(tiny_data("vectors"), "car_mfl", **RUN)).go()
    server = run.job.data.clients
    assert {n for n in run.x if run.x[n].tobytes() != run.start[n].tobytes()} == {
        "task.left",
        "task.right",
        "task.head",
    }
    for record in run.records:
        assert record["cohort"] == list(range(server))
        assert [row["id"] for row in record["clients"] if "server" in row["loss"]] == [server]
        assert [row["id"] for row in record["clients"] if "task" in row["loss"]] == list(range(server))
    found = shares(run.job, run.job.phases[0], range(server + 1))
    base = run.job.data.sizes / run.job.data.sizes.sum()
    assert found["task.head"] == pytest.approx(dict(enumerate(base)))
    lacks = [k for k in range(server) if "right" not in run.job.data.info(k).modalities]
    exact = np.exp([b * (0.3 if k in lacks else 1.0) for k, b in enumerate(base)])
    assert found["task.right"] == pytest.approx(dict(enumerate(exact / exact.sum())))


def test_an_image_only_client_trains_the_text_encoder_on_what_it_borrows(tiny_data, make_job, new_run):
    left = {"name": "roles", "roles": [{"modalities": ["left"], "clients": 4}]}
    method = {"name": "car_mfl", "server_epochs": 0}
    run = new_run(make_job(tiny_data("vectors"), method, public=9, missing=left)).go(until=1)
    assert run.x["task.right"].tobytes() != run.start["task.right"].tobytes()
    assert not any("server" in row["loss"] for row in run.records[0]["clients"])
    assert run.job.data.clients not in shares(run.job, run.job.phases[0], range(5))["task.head"]


def test_the_server_has_epochs_of_its_own(tiny_data, make_job, new_run):
    steps = []
    for epochs in (None, 3):
        run = new_run(make_job(tiny_data("vectors"), {"name": "car_mfl", "server_epochs": epochs}, **RUN)).go(until=1)
        steps += [row["steps"] for row in run.records[0]["clients"] if row["id"] == 4]
    # Nine public samples are three batches.
    assert steps == [3, 9]


def test_only_who_lacks_something_is_sent_public_embeddings(tiny_data, make_job, new_run):
    data = tiny_data("vectors")
    data = replace(data, train=replace(data.train, present={}))
    run = new_run(make_job(data, "car_mfl", **RUN)).go(until=1)
    # Two embeddings of eight float32 for each of the nine samples, to the three clients of one modality.
    assert run.records[0]["traffic"]["shared"] == [3 * 2 * 8 * 4 * 9, 0]


def test_what_is_hidden_at_test_time_is_borrowed_then(tiny_data, make_job, new_run):
    complete, masked = (
        new_run(make_job(tiny_data("vectors"), "car_mfl", evaluation={"missing": rate}, **RUN)).go()
        for rate in ("none", 0.5)
    )
    assert all(complete.x[n].tobytes() == masked.x[n].tobytes() for n in complete.x)
    assert complete.records[-1]["test"]["loss"] == masked.records[-1]["test_unmasked"]["loss"]
    assert complete.records[-1]["test"]["loss"] != masked.records[-1]["test"]["loss"]


def test_absent_rows_never_leak(tiny_data, make_job, new_run, poison):
    sections = {"public": 9, "missing": {"name": "per_sample", "rate": 0.3}, "stack": 4}
    clean, dirty = (
        new_run(make_job(tiny_data("vectors"), "car_mfl", poison(make), **sections)).go()
        for make in (np.zeros, lambda shape: np.nan)
    )
    assert clean.bits() == dirty.bits()


def test_a_stack_trains_like_its_clients(tiny_data, make_job, new_run):
    sections = {"public": 9, "missing": {"name": "per_sample", "rate": 0.3}}
    one, four = (
        new_run(make_job(tiny_data("mixed"), "car_mfl", stack=stack, **sections)).go(until=1) for stack in (1, 4)
    )
    for name, values in one.x.items():
        np.testing.assert_allclose(four.x[name], values, rtol=0, atol=1e-5, err_msg=name)


def test_one_modality_is_too_few(tiny_data, make_job):
    data = tiny_data("vectors")
    one = replace(data, modalities={"left": data.modalities["left"]})
    with pytest.raises(ValueError, match=r"^car_mfl needs at least 2 modalities, the data has 1$"):
        make_job(one, "car_mfl")
