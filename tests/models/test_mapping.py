import math

import pytest
import torch

from raysim.models.layers import stackable
from raysim.models.mapping import WORST, LatentMapping


def test_sizes():
    mappings = LatentMapping(64), LatentMapping(128), LatentMapping(64, 128)
    assert [sum(p.numel() for p in m.parameters()) for m in mappings] == [594_496, 660_096, 50_368]


def test_mapping_stack_is_its_clients(same_as_alone):
    assert stackable(LatentMapping(4, 8))
    same_as_alone(LatentMapping(4, 8), torch.randn(3, 2, 4))


@pytest.mark.parametrize("axis", [False, True])
def test_a_mapping_notes_what_was_measured(axis):
    net, lead = LatentMapping(4, 8), (3,) if axis else ()
    if axis:
        net.held_back = net.held_back.expand(3, 4).clone()
    assert net.useful().tolist() == ([[True]] * 3 if axis else [True])
    for error, noted, useful in ((0.5, [1, 0.5, 0.25, 0], True), (math.nan, [1, 0.5, 0.25, 0], True),
                                 (1.0, [1, 1, 0.25, 1], False), (math.inf, [1, WORST, 0.25, 1], False)):  # fmt: skip
        net.note(torch.full(lead, error), torch.full(lead, 0.25))
        assert net.held_back.tolist() == ([noted] * 3 if axis else noted)
        assert net.useful().tolist() == ([[useful]] * 3 if axis else [useful])


def test_a_mapping_counts_the_rounds_in_which_the_mean_error_has_not_fallen():
    net, nan = LatentMapping(4, 8), torch.tensor(math.nan)
    assert net.stalled(nan) == 0
    rounds = []
    # Half of the clients measure; the buffers are then the means over all.
    for error in (0.8, 0.6, 0.6, 0.7, 0.5, 0.5):
        net.progress.copy_(net.progress * torch.tensor([0.0, 0.0, 1.0, 1.0]) + torch.tensor([0.5, error / 2, 0, 0]))
        rounds.append(net.stalled(torch.tensor(9.0)).item())
    assert rounds == [0, 0, 1, 2, 0, 1]
    assert net.progress.tolist() == pytest.approx([1, 9, 0.5, 1])
    net.stalled(nan)
    assert net.progress.tolist() == pytest.approx([1, 9, 0.5, 2])  # nothing measured: what came stays
