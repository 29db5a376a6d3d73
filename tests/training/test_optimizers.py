"""Against torch.optim, which only tests may import."""

import pytest
import torch

from raysim.scenario.optimizer import Adam, AdamW, Sgd
from raysim.training.optimizers import clip, stepper

SPECS = [
    Sgd(lr=0.1),
    Sgd(lr=0.1, momentum=0.9),
    Sgd(lr=0.1, momentum=0.9, weight_decay=0.01),
    Sgd(lr=0.1, weight_decay=0.01, clip_norm=0.5),
    Adam(name="adam", lr=0.1),
    Adam(name="adam", lr=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.01, clip_norm=0.5),
    AdamW(name="adamw", lr=0.1),
    AdamW(name="adamw", lr=0.1, betas=(0.5, 0.9), eps=1e-3, weight_decay=0.3, clip_norm=0.5),
]
THEIRS = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
CLIENTS, STEPS = 3, 5


def ours(spec, weights, grads, *, axis):
    """The weights after each step."""
    weights = {n: w.clone() for n, w in weights.items()}
    optimizer = stepper(spec, weights, {}, axis=axis)
    for grad in grads:
        if spec.clip_norm:
            grad = clip(grad, spec.clip_norm, axis=axis)
        optimizer.step(list(weights.values()), grad, spec.lr)
    return weights


def theirs(spec, weights, grads, rates=()):
    weights = [w.clone().requires_grad_() for w in weights.values()]
    settings = spec.model_dump(include={"lr", "momentum", "betas", "eps", "weight_decay"})
    optimizer = THEIRS[spec.name](weights, **settings)
    for step, grad in enumerate(grads):
        optimizer.param_groups[0]["lr"] = rates[step] if rates else spec.lr
        for w, g in zip(weights, grad, strict=True):
            w.grad = g.clone()
        if spec.clip_norm:
            torch.nn.utils.clip_grad_norm_(weights, spec.clip_norm)
        optimizer.step()
    return weights


def draw(*lead, steps=STEPS, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    made = {"generator": generator, "dtype": dtype}
    weights = {n: torch.randn(*lead, *s, **made) for n, s in (("a", (2, 3)), ("b", (4,)))}
    return weights, [[torch.randn(w.shape, **made) for w in weights.values()] for _ in range(steps)]


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_one_client_is_as_in_torch(spec):
    weights, grads = draw()
    for mine, other in zip(ours(spec, weights, grads, axis=False).values(), theirs(spec, weights, grads), strict=True):
        torch.testing.assert_close(mine, other.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", SPECS, ids=str)
def test_each_client_of_a_stack_is_as_in_torch(spec):
    weights, grads = draw(CLIENTS)
    stacked = ours(spec, weights, grads, axis=True)
    for k in range(CLIENTS):
        alone = theirs(spec, {n: w[k] for n, w in weights.items()}, [[g[k] for g in grad] for grad in grads])
        for mine, other in zip(stacked.values(), alone, strict=True):
            torch.testing.assert_close(mine[k], other.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", [s for s in SPECS if s.clip_norm is None], ids=str)
def test_each_client_may_have_a_rate_of_its_own(spec):
    weights, grads = draw(CLIENTS)
    rates = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.1, 0.1], [0.3, 0.1, 0.0], [0.05, 0.2, 0.1], [0.1, 0.1, 0.1]])
    stacked = {n: w.clone() for n, w in weights.items()}
    optimizer = stepper(spec, stacked, {}, axis=True)
    for grad, each in zip(grads, rates.double(), strict=True):
        same = len(set(each.tolist())) == 1
        optimizer.step(list(stacked.values()), grad, each[0].item() if same else each)
    for k in range(CLIENTS):
        own = [[g[k] for g in grad] for grad in grads]
        alone = theirs(spec, {n: w[k] for n, w in weights.items()}, own, rates[:, k].tolist())
        for mine, other in zip(stacked.values(), alone, strict=True):
            torch.testing.assert_close(mine[k], other.detach(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("spec", [Adam(name="adam", weight_decay=0.1), AdamW(name="adamw", weight_decay=0.1)], ids=str)
def test_many_steps_of_a_stack_are_as_in_torch(spec, fused):
    weights, grads = draw(CLIENTS, steps=1000, dtype=torch.float64)
    # Another client, which has taken a step more, keeps the stack off the fused kernel.
    stack = {n: w.clone() if fused else torch.cat([w, w[:1]]) for n, w in weights.items()}
    state = {} if fused else {"count": torch.tensor([0.0] * CLIENTS + [1.0], dtype=torch.float64)}
    optimizer = stepper(spec, stack, state, axis=True)
    for grad in grads:
        optimizer.step(list(stack.values()), grad if fused else [torch.cat([g, g[:1]]) for g in grad], spec.lr)
    for k in range(CLIENTS):
        alone = theirs(spec, {n: w[k] for n, w in weights.items()}, [[g[k] for g in grad] for grad in grads])
        for mine, other in zip(stack.values(), alone, strict=True):
            torch.testing.assert_close(mine[k], other.detach(), rtol=0, atol=1e-10)


def test_clipping_by_hand():
    grads = [torch.tensor([[3.0], [0.3]]), torch.tensor([[4.0], [0.4]])]
    first, second = clip(grads, 1.0, axis=True)
    torch.testing.assert_close(first, torch.tensor([[0.6], [0.3]]))  # norms 5 and 0.5
    torch.testing.assert_close(second, torch.tensor([[0.8], [0.4]]))


@pytest.mark.parametrize("spec", [Sgd(lr=0.1, momentum=0.9), Adam(name="adam", persistent=True)], ids=str)
def test_clients_that_left_keep_what_they_had(spec):
    weights, grads = draw(CLIENTS)
    optimizer = stepper(spec, weights, {}, axis=True)
    optimizer.step(list(weights.values()), grads[0], spec.lr)
    before = {n: t.clone() for n, t in optimizer.state().items()}
    optimizer.narrow(1)
    optimizer.step([w[:1] for w in weights.values()], [g[:1] for g in grads[1]], spec.lr)
    for name, tensor in optimizer.state().items():
        assert torch.equal(tensor[1:], before[name][1:])
        assert not torch.equal(tensor[:1], before[name][:1])


PERSISTENT = [
    Adam(name="adam", lr=0.1, weight_decay=0.01, persistent=True),
    AdamW(name="adamw", lr=0.1, weight_decay=0.3, persistent=True),
]


@pytest.mark.parametrize("spec", PERSISTENT, ids=str)
def test_moments_go_on_where_they_stopped(spec):
    weights, grads = draw()
    first = stepper(spec, weights, {}, axis=False)
    for grad in grads[:2]:
        first.step(list(weights.values()), grad, spec.lr)
    second = stepper(spec, weights, {n: t.clone() for n, t in first.state().items()}, axis=False)
    assert sorted(first.state()) == ["count", "mean/a", "mean/b", "square/a", "square/b"]
    assert first.state()["count"].item() == 2
    copies = [[w.clone() for w in weights.values()] for _ in range(2)]
    for optimizer, copy in zip((first, second), copies, strict=True):
        optimizer.step(copy, grads[2], spec.lr)
    for one, other, start in zip(*copies, weights.values(), strict=True):
        assert torch.equal(one, other)
        assert not torch.equal(one, start)


@pytest.mark.parametrize("spec", PERSISTENT, ids=str)
def test_clients_of_a_stack_may_have_taken_unlike_numbers_of_steps(spec):
    weights, grads = draw(2)
    alone = stepper(spec, {n: w[0] for n, w in weights.items()}, {}, axis=False)
    for grad in grads[:2]:
        alone.step([w[0] for w in weights.values()], [g[0] for g in grad], spec.lr)
    known = {n: torch.stack([t, torch.zeros_like(t)]) for n, t in alone.state().items()}
    copies = [{n: w.clone() for n, w in weights.items()} for _ in range(2)]
    stepper(spec, copies[0], known, axis=True).step(list(copies[0].values()), grads[2], spec.lr)
    alone.step([w[0] for w in copies[1].values()], [g[0] for g in grads[2]], spec.lr)
    second = {n: w[1] for n, w in copies[1].items()}
    stepper(spec, second, {}, axis=False).step(list(second.values()), [g[1] for g in grads[2]], spec.lr)
    for one, other in zip(copies[0].values(), copies[1].values(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("spec", [Sgd(lr=0.1, momentum=0.9), Adam(name="adam")], ids=str)
def test_nothing_persists_unless_asked(spec):
    weights, _ = draw()
    assert stepper(spec, weights, {}, axis=False).state() == {}
