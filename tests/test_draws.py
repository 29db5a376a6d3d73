import pytest
import torch

from raysim.draws import Draws

CPU = torch.device("cpu")


def stack(*keys, seed=0):
    return Draws(seed, keys, axis=True, device=CPU)


def alone(key, seed=0):
    return Draws(seed, [key], axis=False, device=CPU)


@pytest.mark.parametrize("kind", ["normal", "uniform"])
@pytest.mark.parametrize("shape", [(), (4,), (4, 2, 3)])
def test_a_client_draws_the_same_alone_and_in_any_stack(kind, shape):
    both = stack((5, 1, "task", 0), (9, 1, "task", 0)).named("z", (2, *shape), kind)
    assert both.dtype == torch.float32
    assert torch.equal(both[1], alone((9, 1, "task", 0)).named("z", shape, kind))
    assert torch.equal(both[0], stack((5, 1, "task", 0)).named("z", (1, *shape), kind)[0])


def test_padding_rows_at_the_end_changes_nothing():
    short, long = (stack((1,), (2,)).named("z", (2, rows, 3), "normal") for rows in (4, 9))
    assert torch.equal(long[:, :4], short)


def test_known_numbers():
    drawn = stack((0,), (1,)).named("z", (2, 2), "uniform")
    torch.testing.assert_close(drawn, torch.tensor([[0.163355, 0.681576], [0.402298, 0.860017]]), rtol=0, atol=1e-6)


def test_unnamed_draws_are_numbered_within_a_step():
    draws, again = alone((1,)), alone((1,))
    first, second = draws((3,), "uniform"), draws((3,), "uniform")
    assert not torch.equal(first, second)
    assert torch.equal(again((3,), "uniform"), first)
    assert torch.equal(again.named("#2", (3,), "uniform"), second)


def test_seed_key_and_name_count():
    drawn = [alone((1,)).named("a", (2,), "uniform"), alone((1,)).named("b", (2,), "uniform"),
             alone((2,)).named("a", (2,), "uniform"), alone((1,), seed=1).named("a", (2,), "uniform")]  # fmt: skip
    assert len({tuple(d.tolist()) for d in drawn}) == 4


@pytest.mark.parametrize("shape", [(), (3, 4), (1, 2)])
def test_a_stack_draws_for_all_its_clients(shape):
    with pytest.raises(ValueError, match=r"its first dimension must be 2"):
        stack((1,), (2,)).named("z", shape, "normal")


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="noise of kind 'gauss'; use 'normal' or 'uniform'"):
        alone((1,)).named("z", (2,), "gauss")
