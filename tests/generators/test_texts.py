"""Every multimodal generator learns from pictures and texts, with the networks that CUB has, of a small size."""

import copy
from dataclasses import replace

import pytest
import torch
from stacks import stacked

from raysim import registry
from raysim.batch import Batch, Clock, Nets
from raysim.data.codec import Codec
from raysim.data.dataset import Modality
from raysim.data.federated import ClientInfo
from raysim.draws import Draws
from raysim.generators.named import generator_of
from raysim.models.likelihood import Categorical, words
from raysim.models.task import Task
from raysim.scenario.model import Model

GENERATORS = [e.name for e in registry.listed("generator") if registry.find("generator", e.name).conditional]
TASK = Task({"image": Modality("image", (1, 4, 4)), "text": Modality("tokens", (5,), 6)}, 3, False, Model())
SIZES = {"latent": 3, "channels": (2,), "width": 2}
CLIENTS, ROWS = 4, 3


def batch():
    """Of four clients; a third of the samples lack one of both."""
    g = torch.Generator().manual_seed(0)
    x = {"image": torch.rand(CLIENTS, ROWS, 1, 4, 4, generator=g),
         "text": torch.randint(6, (CLIENTS, ROWS, 5), generator=g)}  # fmt: skip
    present = {m: torch.ones(CLIENTS, ROWS, dtype=torch.bool) for m in x}
    present["image"][:2, 0] = False
    present["text"][2:, 1] = False
    rows = torch.ones_like(present["image"])
    infos = tuple(ClientInfo(k, frozenset(x), frozenset(), ROWS, (ROWS,), 2) for k in range(CLIENTS))
    draws = Draws(0, [(k,) for k in range(CLIENTS)], axis=True, device=torch.device("cpu"))
    lengths = {"text": torch.randint(1, 6, (CLIENTS, ROWS), generator=g)}
    clock = Clock("train", 1, 0, 0.0)
    return Batch(x, lengths, present, torch.zeros_like(rows, dtype=torch.long), rows, clock, draws, None, infos)


def of(whole, k):
    """One client's."""
    tables = {f: {m: t[k] for m, t in getattr(whole, f).items()} for f in ("x", "present", "lengths")}
    draws = Draws(0, [(k,)], axis=False, device=torch.device("cpu"))
    return replace(whole, y=whole.y[k], rows=whole.rows[k], draws=draws, clients=(whole.clients[k],), **tables)


@pytest.fixture(
    params=[name if name in ("mopoe", "mapping") else pytest.param(name, marks=pytest.mark.slow) for name in GENERATORS]
)
def generator(request):
    if request.param == "mapping":
        return generator_of(
            {"name": "mapping", "map_hidden": 4, "backbone": {"name": "mmvae_plus", "private": 2} | SIZES}
        )
    kind = registry.find("generator", request.param)
    sizes = SIZES | ({"private": 2} if "private" in kind.Options.model_fields else {})
    return kind(registry.options(kind, sizes))


def networks(generator):
    return {name: group.net.double() for name, group in generator.groups(TASK).items()}


def gradients(generator, nets, data):
    parameters = {f"{n}/{p}": t for n, net in nets.items() for p, t in net.named_parameters()}
    loss = sum(generator.losses(Nets(nets), data))
    found = torch.autograd.grad(loss.sum(), list(parameters.values()), allow_unused=True, materialize_grads=True)
    return loss.detach(), dict(zip(parameters, found, strict=True))


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8)


def test_a_stack_is_its_clients(generator):
    generator.check(TASK)
    whole, clients = batch(), [networks(generator)]
    clients += [copy.deepcopy(clients[0]) for _ in range(CLIENTS - 1)]
    for k, p in ((k, p) for k, nets in enumerate(clients) for net in nets.values() for p in net.parameters()):
        p.data += 0.05 * torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
    together, joint = gradients(generator, {n: stacked([c[n] for c in clients]) for n in clients[0]}, whole)
    for k, nets in enumerate(clients):
        alone, found = gradients(generator, nets, of(whole, k))
        near(alone, together[k])
        near(found, {name: gradient[k] for name, gradient in joint.items()})
    learnt = {name.split("/")[0] for name, g in joint.items() if g.any()}
    assert learnt >= {f"gen.{m}.{part}" for m in TASK.modalities for part in ("encoder", "decoder")}


def test_what_is_absent_is_never_read(generator):
    nets, clean = networks(generator), of(batch(), 2)
    x = {m: t.clone() for m, t in clean.x.items()}
    x["text"][1] = 5
    lengths = {"text": clean.lengths["text"].clone()}
    lengths["text"][1] = 1
    near(gradients(generator, nets, replace(clean, x=x, lengths=lengths)), gradients(generator, nets, clean))


def test_words_are_decoded_as_probabilities(generator):
    nets, data = networks(generator), of(batch(), 0)
    latent = generator.posterior(Nets(nets), data, ("image",)).draw(data.noise, 2)
    made = generator.decode(Nets(nets), latent, "text")
    assert made.shape == (ROWS, 2, 8, 6)
    near(made.sum(-1), torch.ones(ROWS, 2, 8))
    assert words(made).shape == (ROWS, 2, 8)


@pytest.mark.parametrize("padding", ["counted", "ignored"])
def test_padding_counts_if_the_likelihood_says_so(padding):
    kind = registry.find("generator", "mopoe")
    likelihoods = {"text": {"name": "categorical", "padding": padding}}
    generator = kind(registry.options(kind, SIZES | {"likelihoods": likelihoods}))
    nets, data = networks(generator), of(batch(), 0)
    decoder = nets["gen.text.decoder"]
    assert decoder.likelihood == Categorical(name="categorical", padding=padding)
    target = generator.targets(Nets(nets), data)["text"]
    z = torch.zeros(ROWS, 1, 3)
    found = decoder.log_prob(z, target, data.lengths["text"])[:, 0]
    each = decoder(z[:, 0]).log_softmax(-1).gather(-1, target[..., None])[..., 0]
    for row, length in enumerate(data.lengths["text"]):
        near(found[row], each[row, : None if padding == "counted" else length].sum())


def test_half_of_the_sentence_networks_width_is_the_images(generator):
    encoder = networks(generator)["gen.text.encoder"]
    assert encoder.net[0].weight.shape == (1, 1, 4, 4)


def test_texts_end_at_their_mark():
    from tokenizers import Tokenizer, models, processors

    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "<eos>": 2, "a": 3, "bird": 4}, unk_token="<unk>"))
    tokenizer.add_special_tokens(["<unk>", "<pad>", "<eos>"])
    tokenizer.post_processor = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 2)])
    codec = Codec(tokenizer.to_str())
    assert codec.end == 2
    assert codec.caption([3, 4, 2, 4, 4]) == codec.decode([3, 4]) == "a bird"
    assert codec.caption([4, 4]) == "bird bird"
