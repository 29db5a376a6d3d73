"""The task's loss against torch's."""

import pytest
import torch
from torch.nn import functional as F

from raysim.algorithms.base import Algorithm
from raysim.batch import Batch, Clock
from raysim.draws import Draws
from raysim.training.loss import LANES, task_loss


def batch(job, y, rows):
    draws = Draws(0, [()], axis=False, device=y.device)
    return Batch({}, {}, {}, y, rows, Clock("train", 1, 0, 0.0), draws, task_loss(job))


@pytest.mark.parametrize("lead", [(), (2,)])
@pytest.mark.parametrize("multi_label", [False, True])
def test_the_mean_over_valid_rows_of_each_client(toy, lead, multi_label):
    job = toy.job(toy.data(multi_label=multi_label))
    logits = torch.randn(*lead, 4, 3, generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 2, 1, 1]).expand(*lead, 4)
    if multi_label:
        y = F.one_hot(y, 3).float()
    rows = torch.tensor([True, True, True, False]).expand(*lead, 4)
    loss = batch(job, y, rows).task_loss(logits)
    theirs = F.binary_cross_entropy_with_logits if multi_label else F.cross_entropy
    assert loss.shape == lead
    for mine, out, target in zip(
        loss.reshape(-1), logits.reshape(-1, 4, 3), y.reshape(-1, *y.shape[len(lead) :]), strict=True
    ):
        torch.testing.assert_close(mine, theirs(out[:3], target[:3]))


@pytest.mark.parametrize("classes", [LANES - 1, LANES])
def test_losses_and_gradients_of_a_stack_are_torchs_however_many_classes(toy, classes):
    logits = torch.randn(3, 5, classes, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y, rows = torch.arange(15).reshape(3, 5) % classes, torch.ones(3, 5, dtype=torch.bool)
    mine = batch(toy.job(toy.data()), y, rows).task_loss(logits)
    theirs = torch.stack([F.cross_entropy(*each) for each in zip(logits, y, strict=True)])
    torch.testing.assert_close(mine, theirs)
    torch.testing.assert_close(*(torch.autograd.grad(loss.sum(), logits)[0] for loss in (mine, theirs)))


def test_no_valid_row_is_a_loss_of_zero(toy):
    y, rows = torch.tensor([0, 1]), torch.tensor([False, False])
    assert batch(toy.job(toy.data()), y, rows).task_loss(torch.zeros(2, 3)).item() == 0.0


def test_logits_go_through_the_algorithm(toy):
    class Doubled(Algorithm):
        def logits(self, logits, batch):
            return 2 * logits

    job = toy.job(toy.data())
    job.algorithm = Doubled(None)
    y, rows, logits = torch.tensor([0, 1]), torch.tensor([True, True]), torch.eye(3)[:2]
    torch.testing.assert_close(batch(job, y, rows).task_loss(logits), F.cross_entropy(2 * logits, y))
