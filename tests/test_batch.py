import pytest
import torch

from raysim.batch import Batch, Clock, Nets
from raysim.data.federated import ClientInfo
from raysim.draws import Draws

NO, YES = False, True


def batch(present=None, rows=((YES, YES, NO), (YES, NO, NO)), clients=()):
    y = torch.zeros(2, 3, dtype=torch.int64)
    draws = Draws(0, [(0,), (1,)], axis=True, device=torch.device("cpu"))
    table = {m: torch.tensor(p) for m, p in (present or {}).items()}
    return Batch(
        {}, {}, table, y, torch.tensor(rows), Clock("train", 1, 0, 0.0), draws, lambda logits, b: logits, clients
    )


def test_the_mean_is_over_valid_rows():
    values = torch.tensor([[1.0, 3.0, float("nan")], [5.0, float("nan"), 7.0]])
    assert batch().mean(values).tolist() == [2.0, 5.0]


def test_the_mean_where_something_holds_is_zero_where_it_never_does():
    where = torch.tensor([[NO, YES, YES], [NO, YES, YES]])
    assert batch().mean(torch.full((2, 3), 4.0), where).tolist() == [4.0, 0.0]


def test_rows_that_are_left_out_pass_no_gradient():
    values = torch.tensor([[1.0, 3.0, 9.0], [5.0, 9.0, 9.0]], requires_grad=True)
    batch().mean(values).sum().backward()
    assert values.grad.tolist() == [[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]]


def test_rows_with_all_of_some_modalities():
    b = batch({"a": [[YES, YES, NO]] * 2, "b": [[YES, NO, NO]] * 2})
    assert b.all_present("a")[0].tolist() == [YES, YES, NO]
    assert b.all_present("a", "b")[0].tolist() == b.all_present()[0].tolist() == [YES, NO, NO]


def test_noise_is_the_clients_own():
    drawn = batch().noise("z", (2, 3), "uniform")
    other = Draws(0, [(1,)], axis=False, device=torch.device("cpu")).named("z", (3,), "uniform")
    assert torch.equal(drawn[1], other)
    with pytest.raises(ValueError, match="first dimension must be 2"):
        batch().noise("z", (3,))


def test_frozen_networks_are_others_in_training_and_the_same_at_evaluation():
    live, old = torch.nn.Identity(), torch.nn.Identity()
    nets = Nets({"w": live, "v": live}, {"w": old})
    assert (len(nets), list(nets), nets.frozen["w"] is old) == (2, ["w", "v"], True)
    assert nets.at_evaluation().frozen["w"] is live


def client(*modalities, always=()):
    return ClientInfo(0, frozenset(modalities), frozenset(always), 3, (3,), 0)


def test_what_clients_have_decides_in_training_not_the_rows_of_a_batch():
    present = {"a": [[YES, YES, YES]] * 2, "b": [[NO, NO, NO]] * 2}
    b = batch(present, clients=(client("a", "b"), client("b", always="b")))
    assert [b.nowhere(m) for m in "ab"] == [NO, NO]
    assert [b.everywhere(m) for m in "ab"] == [NO, NO]
    b = batch(present, clients=(client("b", always="b"), client("b", always="b")))
    assert [b.nowhere(m) for m in "ab"] == [YES, NO]
    assert [b.everywhere(m) for m in "ab"] == [NO, YES]


def test_the_rows_decide_at_evaluation():
    b = batch({"a": [[YES, YES, YES]] * 2, "b": [[NO, NO, NO]] * 2, "c": [[YES, NO, NO]] * 2})
    assert [b.nowhere(m) for m in "abc"] == [NO, YES, NO]
    assert [b.everywhere(m) for m in "abc"] == [YES, NO, NO]
