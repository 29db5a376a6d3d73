import numpy as np
import pytest
import torch

HEARD = {"dim": 8, "head": {"hidden": 8}, "encoders": {"sequence": {"name": "conv_gru", "channels": [4, 4]}}}
PLAIN = {"optimizer": {"lr": 0.1}, "batch_size": 16}


@pytest.mark.parametrize("steps", [4, 6, 40])
def test_silence_is_the_first_token_of_zeros(toy, make_batch, make_nets, steps):
    job = toy.job(toy.data((4,), ("sequence", "vector")), "zero_input", model=HEARD)
    x = {"sequence": torch.randn(3, steps, 2), "vector": torch.ones(3, 3)}
    x["sequence"][1] = torch.nan
    present = {"sequence": [True, False, True], "vector": [True, True, False]}
    lengths = {"sequence": torch.tensor([steps, 0, steps])}
    batch, nets = make_batch(job, x, present, lengths=lengths), make_nets(job)
    encoded = {m: nets[f"task.{m}"](x[m], batch.lengths.get(m)) for m in x}
    sequence, vector = job.method.fill(batch, nets, encoded).values()
    assert sequence.valid.sum(-1).tolist() == [steps // 4, 1, steps // 4]
    silence = nets["task.sequence"](torch.zeros(1, 500, 2)).tokens[0, 0]
    torch.testing.assert_close(sequence.tokens[1, 0], silence)
    torch.testing.assert_close(sequence.pooled()[0], encoded["sequence"].pooled()[0])
    assert vector.present().tolist() == [True, True, False]


def test_nothing_else_is_heard(toy, make_batch, make_nets):
    job = toy.job(toy.data((4,), ("sequence", "vector")), "zero_input")  # an encoder that is no conv_gru
    x = {"sequence": torch.ones(2, 6, 2), "vector": torch.ones(2, 3)}
    present = {"sequence": [True, False], "vector": [False, True]}
    batch, nets = make_batch(job, x, present, lengths={"sequence": torch.tensor([6, 6])}), make_nets(job)
    encoded = {m: nets[f"task.{m}"](x[m], batch.lengths.get(m)) for m in x}
    filled = job.method.fill(batch, nets, encoded)
    assert {m: f.present().tolist() for m, f in filled.items()} == present


def test_who_lacks_a_modality_counts_in_the_mean_of_its_encoder(toy):
    data = toy.data((6, 2), ("sequence", "vector"), absent=[(0, "vector")])
    ours, zero = (toy.run(toy.job(data, m, model=HEARD, **PLAIN)) for m in ("zero_input", "zero_fill"))
    start = toy.broadcast(ours.job).x["task.vector"]
    owner, diluted = zero.x["task.vector"] - start, ours.x["task.vector"] - start
    np.testing.assert_allclose(diluted, owner * 2 / 8, rtol=0, atol=1e-7)
    assert np.abs(owner).max() > 1e-3
    everything = sum(4 * len(x) for x in ours.x.values())
    assert ours.tally.totals["bytes_up"] == 2 * everything
    assert zero.tally.totals["bytes_up"] == 2 * everything - 4 * len(start)


def test_weight_decay_shrinks_an_encoder_that_is_of_no_use(toy):
    data = toy.data((6,), ("sequence", "vector"), absent=[(0, "vector")])
    job = toy.job(data, "zero_input", model=HEARD, batch_size=16, optimizer={"lr": 0.1, "weight_decay": 0.5})
    start = toy.broadcast(job).x["task.vector"]
    np.testing.assert_allclose(toy.run(job).x["task.vector"], start * (1 - 0.1 * 0.5), rtol=1e-6)


def test_silence_trains_the_encoder_of_sound(toy):
    data = toy.data((6,), ("sequence", "vector"), absent=[(0, "sequence")])
    ours, zero = (toy.run(toy.job(data, m, model=HEARD, **PLAIN)) for m in ("zero_input", "zero_fill"))
    start = toy.broadcast(ours.job).x["task.sequence"]
    assert zero.x["task.sequence"].tobytes() == start.tobytes()
    assert np.abs(ours.x["task.sequence"] - start).max() > 1e-4
    assert np.isfinite(ours.x["task.sequence"]).all()


def test_where_nothing_is_missing_it_is_zero_filling(toy):
    data = toy.data((6, 4), ("sequence", "vector"))
    ours, zero = (toy.run(toy.job(data, m, model=HEARD, stack=2)) for m in ("zero_input", "zero_fill"))
    assert all(ours.x[n].tobytes() == x.tobytes() for n, x in zero.x.items())
