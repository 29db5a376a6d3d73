import numpy as np
import pytest

SGD = {"lr": 0.5}


def test_one_round_by_hand(toy):
    # From 0 with a step of 0.5, values (1, 3) pull to 1 and value 4 pulls to 2; they count 2 : 1.
    simulation = toy.run(toy.job(toy.points([1, 3], [4]), toy.Pull, optimizer=SGD))
    assert simulation.x["w"].tolist() == pytest.approx([4 / 3])
    assert simulation.client_states == {}


def test_two_local_epochs_are_two_steps(toy):
    # 0 -> 1 -> 1.5 and 0 -> 2 -> 3.
    simulation = toy.run(toy.job(toy.points([1, 3], [4]), toy.Pull, optimizer=SGD, local_epochs=2))
    assert simulation.x["w"].tolist() == pytest.approx([2.0])


@pytest.mark.parametrize("stack", [1, 2])
def test_one_full_batch_step_of_equal_clients_is_a_step_on_all_the_data(toy, stack):
    job = toy.job(toy.data((4, 4)), batch_size=4, stack=stack)
    whole = toy.job(toy.data((8,)), batch_size=8)
    split, joined = toy.run(job).x, toy.run(whole).x
    assert all(np.abs(split[n] - joined[n]).max() < 1e-6 for n in split)
