"""On a CUDA device: the same trials as on the CPU, within rounding, and what only a device can show."""

import numpy as np
import pytest
import torch
from sizes import FITS, SECTIONS, SMALL
from torch import nn

from raysim import registry
from raysim.method import Group, Method, Objective, Phase, Train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here"),
]
MISSING = {"name": "per_sample", "rate": 0.3}
GIB = 2**30


@pytest.fixture(params=[entry.name for entry in registry.listed("method")])
def name(request):
    return request.param


@pytest.fixture
def trial(name, tiny_data, make_job):
    """`trial(device, **numerics)`: one round of the method in plain steps, four clients in a stack."""

    def make(device, **numerics):
        data = tiny_data(FITS.get(name, "mixed"))
        method = {"name": name} | SMALL.get(name, {})
        if name == "unimodal":
            method["modality"] = next(iter(data.modalities))
        fields = registry.find("method", name).Options.model_fields
        method |= {f: {"name": "sgd", "lr": 0.01} for f in fields if f.endswith("optimizer")}
        settings = {"stack": 4, "device": device, "evaluation_batch": 8} | numerics
        return make_job(data, method, **({"missing": MISSING, "numerics": settings} | SECTIONS.get(name, {})))

    return make


def test_a_gpu_gives_what_the_cpu_gives(trial, new_run):
    cpu, gpu = (new_run(trial(device)).go(until=1) for device in ("cpu", "cuda"))
    for group, values in cpu.x.items():
        np.testing.assert_allclose(gpu.x[group], values, rtol=0, atol=1e-4, err_msg=group)


def test_a_gpu_gives_the_same_bits_twice(trial, new_run):
    assert new_run(trial("cuda")).go().bits() == new_run(trial("cuda")).go().bits()


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_lower_precision_trains_close_by(trial, new_run, precision):
    exact, rough = (new_run(trial("cuda", precision=p)).go() for p in ("float32", precision))
    for group, values in exact.x.items():
        assert np.isfinite(rough.x[group]).all()
        np.testing.assert_allclose(rough.x[group], values, rtol=0, atol=0.1, err_msg=group)


class Hungry(Method):
    """Wants a gibibyte of the device for each client of a stack."""

    def modules(self, task):
        net = nn.Module()
        net.weight = nn.Parameter(torch.zeros(1))
        net.client_axis = True
        return {"w": Group(net)}

    def phases(self, task):
        return (Phase("train", (Train("pull", (Objective(("w",), self.loss),)),)),)

    def loss(self, nets, batch):
        wide = torch.zeros(len(batch.clients), GIB // 4, device=batch.rows.device)
        return batch.mean((nets["w"].weight - 1).square().expand(batch.rows.shape)) + wide[:, 0].reshape(
            batch.rows.shape[:-1]
        )

    def predict(self, nets, batch):
        return nets["w"].weight.expand(*batch.rows.shape, 3)


def test_a_stack_that_does_not_fit_the_device_is_trained_in_parts(toy):
    whole = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(2.5 * GIB / whole)
    try:
        job = toy.job(toy.data((2, 2, 2, 2)), Hungry, stack=4, device="cuda")
        (result,) = toy.train(job, size=4)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert "did not fit the device's memory" in result.deviation
    assert [r.client for r in result.reports] == [0, 1, 2, 3]
