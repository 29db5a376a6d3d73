"""A number w is pulled to the mean of a client's values; what it holds back judges whether that helped."""

import pytest
import torch

from raysim.method import Judge, Objective, Phase, Train

SGD = {"lr": 0.5}


def pull(toy, scores, share=0.25):
    class Judged(toy.Pull):
        def phases(self, task):
            stage = Train("pull", (Objective(("w",), self.loss),), judge=Judge(share, scores))
            return (Phase("train", (stage,)),)

    return Judged


def run(toy, scores, share=0.25, clients=((1, 1, 1, 9), (5, 5, 5, 5)), **settings):
    job = toy.job(toy.points(*clients), pull(toy, scores, share), optimizer=SGD, **settings)
    return toy.run(job).x["w"].item()


@pytest.mark.parametrize("stack", [1, 2])
def test_a_client_takes_back_what_does_not_help(toy, stack):
    def scores(nets, batch):
        # The first client's score rises by training, the second's falls.
        first = torch.tensor([c.id == 0 for c in batch.clients])
        w = nets["w"].weight.reshape(-1)
        found = torch.where(first, w, -w)
        return {"w": found if len(batch.clients) > 1 else found[0]}

    # Only the second client moves: in two steps, of its three other samples, from 0 to 2.5 and 3.75. Both count alike.
    assert run(toy, scores, stack=stack) == pytest.approx(3.75 / 2)


def test_what_is_held_back_is_the_same_in_all_rounds_and_trains_nothing(toy):
    seen = []

    def scores(nets, batch):
        held = batch.columns["held"][..., : int(batch.rows.sum())]
        seen.append((batch.clients[0].id, tuple(held.tolist())))
        return {"w": torch.tensor(float("nan"))}  # keeps everything

    run(toy, scores, rounds=2)
    assert len(seen) == 8
    assert len(set(seen)) == 2
    assert all(sum(held) == 1 for _, held in seen)


def test_without_a_score_everything_is_kept(toy):
    assert run(toy, lambda nets, batch: {"w": torch.tensor(float("nan"))}, clients=((4, 4, 4, 4),)) == pytest.approx(
        3.0
    )
    assert run(toy, lambda nets, batch: {}, clients=((4, 4, 4, 4),)) == pytest.approx(3.0)
