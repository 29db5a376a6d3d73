import torch


def test_an_absent_modality_contributes_zeros(tiny_data, make_job, make_batch, make_nets):
    job = make_job(tiny_data("vectors"), "zero_fill")
    nets = make_nets(job)
    x = {"left": torch.ones(3, 6), "right": torch.ones(3, 5)}
    batch = make_batch(job, x, {"left": [True, False, False], "right": [True, True, False]})
    left, right = (nets[f"task.{m}"](x[m]).pooled() for m in x)
    rows = torch.stack([torch.cat([left[0], right[0]]), torch.cat([0 * left[0], right[0]]), torch.zeros(16)])
    torch.testing.assert_close(job.method.predict(nets, batch), nets["task.head"](rows))


def test_under_attention_its_tokens_get_no_weight(tiny_data, make_job, make_batch, make_nets):
    job = make_job(tiny_data("vectors"), "zero_fill", model={"dim": 8, "fusion": "attention"})
    nets = make_nets(job)
    x = {"left": torch.ones(2, 6), "right": torch.ones(2, 5)}
    batch = make_batch(job, x, {"left": [True, False], "right": [True, True]})
    seen = {}
    nets["task.fusion"].register_forward_pre_hook(lambda net, given: seen.update(weights=net.attend(*given)[1]))
    job.method.predict(nets, batch)
    assert seen["weights"][1, 0].tolist() == [0.0] * 6
    assert seen["weights"][1, 1].tolist() == [1.0] * 6
    assert (seen["weights"][0] > 0).all()
