"""Whole networks of other libraries as encoders, and adapters in them."""

import json
import shutil
import sys

import pytest
import tiny_bert
import torch
import vision

from raysim.data.codec import Codec
from raysim.data.dataset import Modality
from raysim.models.encoder import fixed_tensors
from raysim.models.encoders import build_encoder, check_built, check_encoder
from raysim.models.layers import obstacle
from raysim.models.lora import adapters
from raysim.scenario.model import Model

TOKENS = Modality("tokens", (6,), len(tiny_bert.WORDS))
IMAGE = Modality("image", (3, 32, 32))
VIT = {"model_type": "vit", "image_size": 32, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 1,
       "num_attention_heads": 2, "intermediate_size": 16}  # fmt: skip
RESNET = {"model_type": "resnet", "embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1]}
LORA = {"rank": 3, "alpha": 6.0}


def model(name="transformers", **spec):
    return Model.model_validate({"dim": 8, "encoders": {"m": {"name": name, **spec}}})


def build(modality=TOKENS, name="transformers", **spec):
    torch.manual_seed(0)
    return build_encoder("m", modality, model(name, **spec)).eval()


def refused(modality=TOKENS, name="transformers", **spec):
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole line is looked at
        check_built("m", modality, model(name, **spec))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_bert.write(tmp_path_factory.mktemp("networks") / "tiny")


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def hidden(folder, x, lengths):
    """What transformers itself makes of some texts: (B, T, D)."""
    from transformers import AutoModel

    net = AutoModel.from_pretrained(folder)
    mask = torch.arange(x.shape[1]) < lengths[:, None]
    return net(input_ids=x, attention_mask=mask.long()).last_hidden_state.detach()


def test_it_is_the_librarys_own_network(folder):
    x, lengths = torch.randint(13, (3, 6)), torch.tensor([6, 3, 1])
    found = hidden(folder, x, lengths)
    first, mean = build(model=str(folder)), build(model=str(folder), take="mean")
    assert first(x, lengths).tokens.shape == (3, 1, 8)
    torch.testing.assert_close(first.vectors(x, lengths), found[:, 0])
    means = torch.stack([row[:n].mean(0) for row, n in zip(found, lengths, strict=True)])
    torch.testing.assert_close(mean.vectors(x, lengths), means)
    torch.testing.assert_close(mean(x, lengths).tokens[:, 0], mean.project(means))
    x[1, 3:] = 0
    torch.testing.assert_close(mean.vectors(x, lengths), means)  # what stands after a text changes nothing
    assert obstacle(first) is not None
    assert not any("pooler" in name for name, _ in first.named_parameters())


def test_a_config_alone_begins_at_random():
    first, second = build(config=tiny_bert.CONFIG), build(config=tiny_bert.CONFIG)
    assert torch.equal(first.net.encoder.layer[0].output.dense.weight, second.net.encoder.layer[0].output.dense.weight)
    assert first(torch.randint(13, (2, 6))).tokens.shape == (2, 1, 8)


@pytest.mark.parametrize(("config", "take"), [(VIT, "cls"), (VIT, "mean"), (RESNET, "mean")])
@pytest.mark.parametrize("channels", [1, 3])
def test_networks_for_images(config, take, channels):
    encoder = build(Modality("image", (channels, 32, 32)), config=config, take=take, mean=[0.1, 0.2, 0.3])
    x = torch.rand(2, channels, 32, 32)
    pixels = (x.expand(2, 3, 32, 32) - torch.tensor([0.1, 0.2, 0.3])[:, None, None]) / 0.5
    found = encoder.net(pixel_values=pixels).last_hidden_state
    found = found.flatten(2).mT if found.dim() == 4 else found
    torch.testing.assert_close(encoder.vectors(x, None), found[:, 0] if take == "cls" else found.mean(1))
    check_built("m", IMAGE, model(config=config, take=take))


def test_colours_are_those_of_the_folder(tmp_path):
    tiny_bert.write(tmp_path, **VIT)
    (tmp_path / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0, 0.1, 0.2], "image_std": [1, 2, 3]})
    )
    encoder = build(IMAGE, model=str(tmp_path))
    assert (encoder.mean, encoder.deviation) == ((0, 0.1, 0.2), (1, 2, 3))
    assert encoder.described() | {"config": 0} == {
        "model": None, "revision": None, "config": 0, "mean": [0, 0.1, 0.2], "deviation": [1, 2, 3]
    }  # fmt: skip


def test_what_is_frozen_evaluates(folder):
    """All but the last layer; then the embeddings and the first layer."""
    whole = build(model=str(folder), freeze=True).train()
    assert not any(part.training for part in whole.net.modules())
    assert {n for n, p in whole.named_parameters() if p.requires_grad} == {"project.weight", "project.bias"}
    part = build(model=str(folder), freeze=["embeddings.*", "encoder.layer.0.*"]).train()
    assert not part.net.encoder.layer[0].output.dropout.training
    assert part.net.encoder.layer[1].output.dropout.training
    held = {n for n, _ in part.named_parameters() if n.startswith(("net.embeddings.", "net.encoder.layer.0."))}
    assert set(fixed_tensors(part)) == held


def test_adapters_alone_are_trained(folder):
    encoder = build(model=str(folder), lora={**LORA, "dropout": 0.5}).train()
    trained = {n: p.numel() for n, p in encoder.named_parameters() if p.requires_grad}
    layers = [f"net.encoder.layer.{i}.attention.self.{n}" for i in range(tiny_bert.LAYERS) for n in ("query", "value")]
    sizes = {f"{layer}.lora_{part}.default.weight": 3 * tiny_bert.WIDTH for layer in layers for part in "AB"}
    assert trained == sizes | {"project.weight": 8 * tiny_bert.WIDTH, "project.bias": 8}
    assert set(fixed_tensors(encoder)) == {n for n, _ in encoder.named_parameters()} - set(trained)
    training = {type(part).__name__ for part in encoder.net.modules() if part.training}
    assert training == {"ModuleDict", "Dropout"}  # the adapters' own, not BERT's
    assert not encoder.net.encoder.layer[0].output.dropout.training
    assert not any(part.training for part in encoder.eval().modules())


def test_adapters_begin_as_nothing_and_the_same(folder):
    bare, first, second = (
        build(model=str(folder)),
        build(model=str(folder), lora=LORA),
        build(model=str(folder), lora=LORA),
    )
    x = torch.randint(13, (2, 6))
    torch.testing.assert_close(first.vectors(x, None), bare.vectors(x, None))
    for a, b in zip(adapters(first.net).values(), adapters(second.net).values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks for it
def test_merged_weights_are_those_of_the_equation_and_of_peft(folder):
    """W + (alpha / rank) B A; peft merges a copy of its own that has got the same adapters."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModel

    encoder, x = build(model=str(folder), lora=LORA), torch.randint(13, (4, 6))
    with torch.no_grad():
        for number, tensor in enumerate(adapters(encoder.net).values()):
            tensor.copy_(torch.randn(tensor.shape, generator=torch.Generator().manual_seed(number)))
    merged = encoder.merged()
    query = encoder.net.encoder.layer[1].attention.self.query
    product = query.lora_B.default.weight @ query.lora_A.default.weight
    by_hand = query.base_layer.weight + 6.0 / 3 * product
    name = "encoder.layer.1.attention.self.query.weight"
    torch.testing.assert_close(merged[name], by_hand, rtol=0, atol=1e-6)

    theirs = get_peft_model(AutoModel.from_pretrained(folder), LoraConfig(r=3, lora_alpha=6.0))
    state = theirs.state_dict()
    for n, tensor in adapters(encoder.net).items():
        state[f"base_model.model.{n}"].copy_(tensor)
    for n, tensor in theirs.merge_and_unload().state_dict().items():
        if not n.startswith("pooler."):
            torch.testing.assert_close(merged.pop(n), tensor, rtol=0, atol=1e-6)
    assert not merged

    plain = AutoModel.from_pretrained(folder)
    plain.load_state_dict(encoder.merged(), strict=False)
    found = plain(input_ids=x, attention_mask=torch.ones_like(x)).last_hidden_state[:, 0]
    torch.testing.assert_close(found, encoder.vectors(x, None), rtol=0, atol=1e-5)
    assert not torch.allclose(found, build(model=str(folder)).vectors(x, None), atol=1e-2)


def test_target_modules_are_names_or_ends_of_names(folder):
    def adapted(*targets):
        return {
            n.partition(".lora_")[0] for n in adapters(build(model=str(folder), lora={"target_modules": targets}).net)
        }

    assert adapted("layer.1.attention.self.key") == {"encoder.layer.1.attention.self.key"}
    assert len(adapted("key", "intermediate.dense")) == 2 * tiny_bert.LAYERS


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ({"lora": {"target_modules": ["qery"]}},
         "lora.target_modules: 'qery' names no layer that takes adapters; did you mean 'query'?"),
        ({"lora": {"target_modules": ["LayerNorm"]}},
         "lora.target_modules: 'LayerNorm' names no layer that takes adapters; there are: query, key, value, dense"),
        ({"freeze": ["enc.*"]}, "freeze: 'enc.*' names no tensor; there are: embeddings.word_embeddings.weight, "),
    ],
)  # fmt: skip
def test_names_that_are_not_there(folder, spec, line):
    assert refused(model=str(folder), **spec).startswith(line)


def test_a_network_without_usual_targets_needs_some():
    assert refused(IMAGE, config=RESNET, take="mean", lora={}) == (
        "lora.target_modules: peft knows no usual ones of 'resnet'; write some, there are: convolution"
    )
    check_built("m", IMAGE, model(config=RESNET, take="mean", lora={"target_modules": ["convolution"]}))


def test_tokens_must_be_those_that_the_network_knows(folder):
    few = [w for w in tiny_bert.WORDS if w != "lung"]
    for modality, line in [
        (Modality("tokens", (6,), 14), f"{folder} knows 13 tokens, the data has 14; prepare it with --features "
         f"'MODALITY={{name: tokens, tokenizer: {folder}}}'"),
        (Modality("tokens", (17,), 13), f"{folder} takes 16 tokens, the data has up to 17; cut them (max_tokens)"),
        (Modality("tokens", (6,), 12, Codec(tiny_bert.tokenizer(few).to_str())),
         f"{folder} has another tokenizer than the data: 'is' is 6, not 5; prepare it with --features "
         f"'MODALITY={{name: tokens, tokenizer: {folder}}}'"),
    ]:  # fmt: skip
        assert refused(modality, model=str(folder)) == line
    check_built("m", Modality("tokens", (6,), 13, Codec(tiny_bert.tokenizer().to_str())), model(model=str(folder)))


def test_kinds_and_sizes_that_a_network_cannot_take(folder):
    assert refused(IMAGE, model=str(folder)) == f"{folder} reads input_ids, and the samples are of the kind image"
    assert refused(config=VIT) == "config (vit) reads pixel_values, and the samples are of the kind tokens"
    with pytest.raises(ValueError, match=r"^encoder 'transformers' is for tokens and image, 'm' is vector$"):
        check_encoder("m", "vector", model(model=str(folder)))
    with pytest.raises(ValueError, match=r"^encoder 'torchvision' is for image, 'm' is tokens$"):
        check_encoder("m", "tokens", model("torchvision", model="resnet18"))
    assert (
        refused(Modality("image", (2, 32, 32)), config=VIT) == "'transformers' takes images of 1 or 3 channels, not 2"
    )
    line = refused(Modality("image", (3, 28, 28)), config=VIT)
    assert line.startswith("'transformers' fails on 3 samples of the shape (3, 28, 28): ")
    assert line.endswith("ValueError: Input image size (28*28) doesn't match model (32*32).")
    assert refused(IMAGE, config=RESNET) == "config (resnet) has no first token; write take: mean"
    assert refused(config={"model_type": "t5", "num_layers": 1, "d_model": 8, "d_ff": 8}) == (
        "config (t5) is made of an encoder and a decoder; name an encoder"
    )
    assert refused(IMAGE, config={"model_type": "mobilenet_v2"}, take="mean") == (
        "config (mobilenet_v2) has neither hidden_size nor hidden_sizes in its config; name another network"
    )
    assert refused(config={"model_type": "brt"}).startswith("config: no model can be built (")


def damaged(name, data):
    return lambda folder: (folder / name).write_bytes(data)


def of_another_size(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"vocab_size": 15}))


def with_more_layers(folder):
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(said | {"num_hidden_layers": 3}))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (of_another_size, ": 'embeddings.word_embeddings.weight' has the shape (13, 16) in the file, and (15, 16) is "
         "wanted by config.json; they are of different models"),
        (with_more_layers, " has no values for encoder.layer.2.attention.output.LayerNorm.bias; it is of another model "
         "than config.json says"),
        (lambda folder: (folder / "model.safetensors").unlink(), " cannot be loaded ("),
        (lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"), " cannot be loaded ("),
        (damaged("model.safetensors", b"\x08\0\0\0\0\0\0\0{"), " cannot be loaded ("),
        (damaged("config.json", b"{"), " cannot be loaded ("),
    ],
)  # fmt: skip
def test_folders_with_something_missing_or_damaged(copy, change, line):
    change(copy)
    assert refused(model=str(copy)).startswith(f"model: {copy}{line}")


def test_without_the_hub_the_error_says_so_and_the_cache_is_enough(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert refused(model="someone/tiny") == (
        "model: 'someone/tiny' cannot be loaded (it is in no cache here, and the hub cannot be reached: offline?); "
        "download it where there is a network (hf download someone/tiny --local-dir FOLDER), and write model: FOLDER"
    )
    cached = tmp_path / "models--someone--tiny"
    shutil.copytree(folder, cached / "snapshots" / "0123")
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text("0123")
    x = torch.randint(13, (2, 6))
    wanted = build(model=str(folder)).vectors(x, None)
    torch.testing.assert_close(build(model="someone/tiny").vectors(x, None), wanted)
    assert " it is in no cache here, " in refused(model="someone/tiny", revision="v1").replace("(", " ")
    (cached / "refs" / "v1").write_text("0123")
    torch.testing.assert_close(build(model="someone/tiny", revision="v1").vectors(x, None), wanted)


def test_peft_that_is_not_there_or_broken(folder, tmp_path, monkeypatch):
    (tmp_path / "peft.py").write_text("raise ImportError('torch is too old')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "peft", raising=False)
    assert refused(model=str(folder), lora={}) == (
        "lora: peft cannot be imported (torch is too old); pip install 'raysim[lora]'"
    )
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"^lora of 'm' needs the package peft; pip install 'raysim\[lora\]'$"):
        check_encoder("m", "image", model("torchvision", model="resnet18", lora={}))
    with pytest.raises(ValueError, match=r"needs the package transformers; pip install 'raysim\[text\]'$"):
        check_encoder("m", "tokens", model(model=str(folder)))


@pytest.fixture(scope="session")
def torchvision(request):
    return vision.torchvision(own_run=request.config.getoption("-m") == "vision")


@pytest.mark.vision
@pytest.mark.parametrize(
    ("name", "width"),
    [("resnet18", 512), ("mobilenet_v3_small", 1024), ("vgg11", 4096), ("vit_b_32", 768), ("convnext_tiny", 768)],
)
def test_classifiers_without_their_last_layer(torchvision, name, width):
    modality = Modality("image", (3, 224, 224) if name.startswith("vit") else (3, 64, 64))
    encoder = build(modality, "torchvision", model=name)
    assert encoder.project.in_features == width
    x = torch.rand(1, *modality.shape)
    assert encoder(x).tokens.shape == (1, 1, 8)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    torch.testing.assert_close(encoder.net((x - mean) / deviation), encoder.vectors(x, None))


@pytest.mark.vision
def test_classifiers_weights_are_read_and_frozen_with_their_statistics(torchvision, tmp_path):
    torch.manual_seed(5)
    made = torchvision.models.resnet18()
    torch.save(made.state_dict(), path := tmp_path / "resnet18.pth")
    encoder = build(IMAGE, "torchvision", model="resnet18", weights=str(path), freeze=True).train()
    assert torch.equal(encoder.net.layer4[1].conv2.weight, made.layer4[1].conv2.weight)
    assert not any(part.training for part in encoder.net.modules())
    before = encoder.net.bn1.running_mean.clone()
    encoder(torch.rand(2, 3, 32, 32))
    assert torch.equal(encoder.net.bn1.running_mean, before)
    assert "net.bn1.running_mean" in fixed_tensors(encoder)
    lora = build(IMAGE, "torchvision", model="resnet18", lora={"rank": 2, "target_modules": ["layer4.1.conv2"]})
    assert {n: p.shape for n, p in adapters(lora.net).items()} == {
        "layer4.1.conv2.lora_A.default.weight": (2, 512, 3, 3), "layer4.1.conv2.lora_B.default.weight": (512, 2, 1, 1)
    }  # fmt: skip


@pytest.mark.vision
def test_classifiers_that_are_not_there_or_do_not_fit(torchvision, tmp_path, monkeypatch):
    def line(modality=IMAGE, **spec):
        return refused(modality, "torchvision", **spec)

    assert line(model="resnet81").startswith("model: torchvision has no classifier 'resnet81'; did you mean 'resnet")
    assert line(model="squeezenet1_0").startswith("model: 'squeezenet1_0' ends in no linear layer")
    torch.save(torchvision.models.resnet34().state_dict(), path := tmp_path / "other.pth")
    assert line(model="resnet18", weights=str(path)).startswith(
        f"weights: {path} is no state dict of torchvision's resnet18 ("
    )
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = line(model="resnet18", weights="DEFAULT")
    assert " is not there, and https://download.pytorch.org/models/resnet18-" in found
    assert found.endswith("; put the file there, or name another: weights: /path/to/file.pth")
    # The last layers see one place of one sample: a batch norm has nothing to tell.
    assert "'resnet18' fails on 1 sample of the shape (3, 32, 32): " in line(model="resnet18")
    check_built("m", IMAGE, model("torchvision", model="resnet18", freeze=True))
    assert line(model="resnet18", lora={}).startswith(
        "lora.target_modules: peft knows no usual ones of 'ResNet'; write"
    )
