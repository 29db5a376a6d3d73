"""A number w is pulled to the mean of a client's values; what it holds back judges whether it goes on."""

import pytest
import torch

from raysim.method import Judge, Objective, Phase, Train

SGD = {"lr": 0.5}


def run(toy, stops, notes=lambda nets, batch: None, clients=((1, 1, 1, 9), (5, 5, 5, 5)), most=2048, **settings):
    class Judged(toy.Pull):
        def phases(self, task):
            stage = Train("pull", (Objective(("w",), self.loss),), judge=Judge(0.25, notes, stops, most))
            return (Phase("train", (stage,)),)

    return toy.run(toy.job(toy.points(*clients), Judged, optimizer=SGD, **settings)).x["w"].item()


@pytest.mark.parametrize("stack", [1, 2])
def test_a_client_that_stops_leaves_the_group_as_it_came(toy, stack):
    noted, asked = {}, []

    def stops(nets, batch):
        asked.append([c.id for c in batch.clients])
        first = torch.tensor([c.id == 0 for c in batch.clients])
        return {"w": first if batch.rows.dim() > 1 else first[0]}

    def notes(nets, batch):
        noted.update(zip([c.id for c in batch.clients], nets["w"].weight.reshape(-1).tolist(), strict=True))

    # Only the second client moves: in two steps, of its three other samples, from 0 to 2.5 and 3.75. Both count alike.
    assert run(toy, stops, notes, stack=stack) == pytest.approx(3.75 / 2)
    assert noted == {0: 0, 1: 3.75}
    assert asked == [[0], [1]]  # all samples of several would take much memory


def test_what_is_held_back_is_the_same_in_all_rounds_and_trains_nothing(toy):
    seen = []

    def notes(nets, batch):
        held = batch.columns["held"]
        assert not nets["w"].training
        seen.append((batch.clients[0].id, held.tolist(), batch.x["a"][held].tolist()))

    run(toy, lambda nets, batch: {}, notes, clients=((1, 1, 1, 1), (2, 2, 3)), rounds=2)
    assert {client for client, _, _ in seen} == {0, 1}
    assert seen[:2] == seen[2:]
    assert all(sum(held) == 1 for _, held, _ in seen)


@pytest.mark.parametrize("stops", [None, lambda nets, batch: {}])
def test_a_group_that_no_judge_names_is_trained(toy, stops):
    assert run(toy, stops, clients=((4, 4, 4, 4),)) == pytest.approx(3.0)


@pytest.mark.parametrize("stack", [1, 2])
def test_a_judge_looks_at_so_many_samples_at_most_and_all_others_are_trained_on(toy, stack):
    seen = {}

    def notes(nets, batch):
        rows, held = (t.reshape(len(batch.clients), -1) for t in (batch.rows, batch.columns["held"]))
        for client, back, beside in zip(batch.clients, rows & held, rows & ~held, strict=True):
            seen[client.id] = (int(back.sum()), int(beside.sum()))

    moved = run(toy, lambda nets, batch: {}, notes, clients=((8,) * 16, (6,) * 14), most=3, stack=stack)
    assert seen == {0: (3, 3), 1: (3, 3)}  # a quarter would be four, and four of fourteen
    # Thirteen are left, and eleven: seven steps of two, and six.
    assert moved == pytest.approx((16 * 8 * (1 - 2**-7) + 14 * 6 * (1 - 2**-6)) / 30)
