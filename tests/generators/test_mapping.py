import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tiny_vae import NAMES, ROWS, X, batch, mappings, networks, options_of

from raysim import registry
from raysim.batch import Nets
from raysim.data.dataset import Modality
from raysim.generators.mapping import MappedCodes
from raysim.generators.mmvae_plus import MmvaePlus
from raysim.generators.named import generator_of
from raysim.method import paired
from raysim.models.mapping import LatentMapping
from raysim.models.task import Task
from raysim.scenario.model import Model

VECTORS = {"left": Modality("vector", (6,)), "right": Modality("vector", (5,))}
SIZES = {"latent": 3, "hidden": 8}


class Plus(LatentMapping):
    """Adds a number."""

    def __init__(self, number):
        super().__init__(1, 1)
        self.number = number

    def forward(self, z):
        return z + self.number


def near(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def task(modalities=VECTORS):
    return Task(dict(modalities), 3, False, Model())


def made(backbone="autoencoders", **options):
    """The generator, and networks whose mappings add 1 to 6."""
    sizes = {"latent": 2} | ({"private": 2} if backbone == "mmvae_plus" else {})
    generator = MappedCodes(registry.options(MappedCodes, {"backbone": {"name": backbone} | sizes} | options))
    maps = {name: Plus(float(number)) for number, name in enumerate(mappings(), 1)}
    return generator, Nets(networks(private=backbone == "mmvae_plus") | maps)


def mean_of(nets, m, part="encoder"):
    x = X[m] if m == "c" else torch.where(batch("incomplete").present[m].unsqueeze(-1), X[m], 0.0)
    return nets[f"gen.{m}.{part}"](x)[0]


@pytest.mark.parametrize("backbone", ["autoencoders", "mvtcae", "mopoe", "mmvae"])
def test_a_modality_is_decoded_from_its_own_code_or_the_mean_of_mapped_ones(backbone):
    generator, nets = made(backbone)
    data = batch("incomplete")
    a, b, c = (mean_of(nets, m) for m in NAMES)
    decoder, z = nets["gen.b.decoder"], generator.posterior(nets, data, ("a", "b", "c")).mean()
    mapped = {"a": a + 1, "c": c + 6}  # a_b is the first, c_b the last mapping
    there = {m: data.present[m].unsqueeze(-1) for m in NAMES}
    count = (there["a"].double() + there["c"].double()).clamp(min=1)
    guess = (torch.where(there["a"], mapped["a"], 0.0) + torch.where(there["c"], mapped["c"], 0.0)) / count
    near(generator.decode(nets, z, "b").squeeze(-2), decoder(torch.where(there["b"], b, guess)))
    near(generator.decode(nets, generator.posterior(nets, data, "ac").mean(), "b").squeeze(-2), decoder(guess))


def test_what_has_no_source_is_decoded_from_the_backbones_prior():
    generator, nets = made("mmvae")
    data = replace(batch(), present={m: torch.arange(ROWS) < 3 for m in NAMES})
    q = generator.posterior(nets, data, "c")
    drawn, prior = (p.draw(data.noise, 4) for p in (q, generator.backbone.posterior(nets, data, "c")))
    found, known = (generator.decode(nets, z, "a") for z in (drawn, prior))
    near(found[3:], known[3:])
    assert (found[:3] - known[:3]).abs().amin() > 0.01


def test_the_first_source_alone_if_asked_for():
    generator, nets = made(source="first")
    z = generator.posterior(nets, batch(), "ac").mean()
    near(generator.decode(nets, z, "b").squeeze(-2), nets["gen.b.decoder"](mean_of_complete(nets, "a") + 1))


def mean_of_complete(nets, m, part="encoder"):
    return nets[f"gen.{m}.{part}"](X[m])[0]


def test_a_code_has_the_private_numbers_too():
    generator, nets = made("mmvae_plus")
    data = batch()
    own = torch.cat([mean_of_complete(nets, "a"), mean_of_complete(nets, "a", "private")], dim=-1)
    near(generator.code(nets, data, "a", "a"), own)
    near(generator.code(nets, data, "a", "b"), own + 1)
    near(generator.decode(nets, generator.posterior(nets, data, "a").mean(), "b").squeeze(-2),
         nets["gen.b.decoder"](own + 1))  # fmt: skip
    assert generator.width == 4
    groups = generator_of(
        {"name": "mapping", "map_hidden": 7, "backbone": {"name": "mmvae_plus", "private": 5} | SIZES}
    )
    assert groups.groups(task())["map.left_right"].net.net[0].weight.shape == (7, 8)


def test_draws_are_of_each_source():
    generator, nets = made()
    data = batch()
    q = generator.posterior(nets, data, "ac")
    noise = {n: torch.randn(ROWS, 3, 2, generator=torch.Generator().manual_seed(i)) for i, n in enumerate("ac")}

    def told(name, shape, kind="normal"):
        source = name.removeprefix("code.")
        return noise[source] if source in noise else torch.zeros(shape)

    z = q.draw(told, 3)
    drawn = {}
    for s in "ac":
        mean, logvar = (t.unsqueeze(-2) for t in nets[f"gen.{s}.encoder"](X[s]))
        drawn[s] = mean + noise[s] * (logvar / 2).exp()
    near(generator.decode(nets, z, "b"), nets["gen.b.decoder"]((drawn["a"] + 1 + drawn["c"] + 6) / 2))


def test_the_loss_is_the_backbones_and_that_of_each_pair_that_a_sample_has():
    generator, nets = made()
    data = batch("incomplete")
    terms = generator.terms(nets, data, data.noise)
    backbone = generator.backbone.terms(nets, data, data.noise)
    both = data.all_present("a", "b")
    pair = nets["gen.b.decoder"].error(mean_of(nets, "a") + 1, X["b"])
    near(terms.parts["a>b"], torch.where(both, pair, 0.0))
    near(
        terms.loss,
        backbone.loss + torch.stack([terms.parts[f"{s}>{t}"] for s in NAMES for t in NAMES if s != t]).sum(0),
    )
    # Of the mean over rows with any modality and the means over pairs.
    count = {(s, t): data.all_present(s, t).sum() for s in NAMES for t in NAMES if s != t}
    pairs = sum(terms.parts[f"{s}>{t}"].sum() / count[s, t] for s, t in count)
    near(sum(generator.mapping_losses(nets, data)), pairs)


def test_mappings_of_words_are_judged_by_shares_of_words():
    generator, nets = made()
    held = torch.arange(ROWS) >= 4
    data = replace(batch(), columns={"held": held})
    error, class_mean = generator.held_back_errors(nets, data)["a", "c"]
    words = torch.nn.functional.one_hot(X["c"], 3).double()
    said = nets["gen.c.decoder"](mean_of_complete(nets, "a") + 2).softmax(-1)  # a_c is the second
    spread = (words[4:] - words[:4].mean(0)).square().sum()
    near(error, (said - words)[4:].square().sum() / spread)
    near(class_mean, torch.tensor(1.0).double())


def test_what_fills_in_has_been_trained_and_is_better_than_the_mean():
    generator, nets = made()
    data = batch("incomplete")

    def sources(*unlearnt):
        known = Nets(dict(nets), None, lambda name, net: torch.tensor([name not in unlearnt]))
        return {s: there.tolist() for s, there in generator.sources(known, data, "b").present.items()}

    there = {m: data.present[m].tolist() for m in "ac"}
    assert sources() == there
    assert sources("map.a_b") == there | {"a": [False] * ROWS}
    nets["map.c_b"].held_back.copy_(torch.tensor([0.5, 0.6, 0.1, 0.2]))
    assert sources() == there | {"c": [False] * ROWS}


def test_stages_are_the_backbones_and_its_own():
    def stages(**options):
        generator = generator_of({"name": "mapping", "backbone": {"name": "mopoe"} | SIZES} | options)
        return [
            (p.name, p.rounds, [(s.name, s.globs, s.epochs, s.samples is paired) for s in p.stages])
            for p in generator.phases()
        ]

    backbone, own = ("generator", ("gen.*",), 2, False), ("mapping", ("map.*",), 1, True)
    assert stages(generator_epochs=2) == [("train", None, [backbone, own])]
    early = ("pretrain", 3, [backbone])
    assert stages(generator_epochs=2, pretrain_rounds=3) == [early, ("train", None, [own])]
    assert stages(generator_epochs=2, pretrain_rounds=3, fixed=False) == [early, ("train", None, [backbone, own])]


def test_who_owns_a_mapping():
    groups = generator_of({"name": "mapping", "backbone": {"name": "mmvae"} | SIZES}).groups(task())
    assert groups["map.left_right"].needs == {"left", "right"}
    names = {f"gen.{m}.{part}" for m in VECTORS for part in ("encoder", "decoder")}
    assert set(groups) == names | {"gen.prior", "map.left_right", "map.right_left"}


def test_a_joint_backbone_may_come_from_a_file(tmp_path):
    path = tmp_path / "backbone.safetensors"
    saved = MmvaePlus(options_of(MmvaePlus, SIZES | {"private": 2})).groups(task())
    save_file({f"{n}/{k}": t.clone() for n, g in saved.items() for k, t in g.net.state_dict().items()}, path)

    def mapping(latent):
        backbone = {"name": "mmvae_plus", "private": 2} | SIZES | {"latent": latent}
        return generator_of({"name": "mapping", "generator_weights": str(path), "backbone": backbone})

    generator = mapping(3)
    generator.check(task())
    groups = generator.groups(task())
    for name, group in saved.items():
        assert groups[name].pretrained
        assert all(torch.equal(t, groups[name].net.state_dict()[k]) for k, t in group.net.state_dict().items())
    assert [s.name for p in generator.phases() for s in p.stages] == ["mapping"]
    with pytest.raises(
        ValueError, match=r"backbone.safetensors: the shape of 'gen.left.encoder/mean.weight' is .*; make"
    ):
        mapping(4).check(task())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"backbone": {"name": "mapping"}}, "backbone: is a mapping itself; name another generator"),
        ({"backbone": "mopo"}, "backbone: there is no generator 'mopo'; did you mean 'mopoe'?"),
        ({"backbone": {"name": "mopoe", "latnt": 2}}, "backbone: latnt: unknown key; did you mean 'latent'?"),
        ({"latent": 2}, "latent: unknown key"),
        ({"mapping": False}, "mapping: false leaves nothing to map; name the backbone as the generator"),
        ({"staging": "llava"}, "staging llava halves mapping_epochs, which is 1; write 2 or more"),
    ],
)
def test_options_that_make_no_sense_are_one_line(options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as raised:
        generator_of({"name": "mapping"} | options)
    assert "\n" not in str(raised.value)


def test_a_task_that_makes_no_sense_is_refused():
    generator = generator_of(
        {"name": "mapping", "backbone": {"name": "mopoe", "likelihoods": {"up": {"name": "normal"}}}}
    )
    with pytest.raises(ValueError, match="a mapping needs at least 2 modalities, the data has 1"):
        generator.check(task({"left": VECTORS["left"]}))
    with pytest.raises(ValueError, match="likelihoods: there is no modality 'up'; there are: left, right"):
        generator.check(task())


def test_the_bound_is_the_backbones():
    generator, nets = made("mmvae")
    data = batch("incomplete")
    near(generator.bound(nets, data, data.noise, 5), generator.backbone.bound(nets, data, data.noise, 5))
