"""Encoders of other libraries: BERT here, ResNet-50 in the run that has torchvision."""

import io
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import vision
from PIL import Image

from raysim.data.dataset import Modality
from raysim.data.ragged import Pictures
from raysim.models.encoders import build_encoder
from raysim.models.layers import obstacle
from raysim.models.task import encode
from raysim.scenario.model import Model

TOKENS = Modality("tokens", (6,), vocabulary=9)
RANDOM = {"dim": 8, "head": {"hidden": None}, "normalize": True}


def build(name, modality, **options):
    torch.manual_seed(0)
    model = Model.model_validate({**RANDOM, "encoders": {"m": {"name": name, "weights": "random", **options}}})
    return build_encoder("m", modality, model).eval()


@pytest.fixture(scope="module")
def bert():
    return build("bert", TOKENS)


def test_bert_gives_one_token_of_unit_length(bert):
    feature = bert(torch.randint(9, (4, 6)), torch.tensor([6, 3, 1, 0]))
    assert feature.tokens.shape == (4, 1, 8)
    assert feature.tokens.norm(dim=-1).detach().numpy() == pytest.approx(np.ones((4, 1)), abs=1e-5)
    assert feature.valid.all()


def test_what_stands_after_a_text_changes_nothing(bert):
    x = torch.randint(9, (2, 6))
    other = x.clone()
    other[:, 3:] = 0
    lengths = torch.tensor([3, 2])
    torch.testing.assert_close(bert(x, lengths).tokens, bert(other, lengths).tokens)
    torch.testing.assert_close(bert(x, lengths).tokens, bert(x[:, :4], lengths).tokens)
    assert not torch.allclose(bert(x).tokens, bert(other).tokens)


def test_it_takes_no_client_axis(bert):
    assert obstacle(bert) is not None


def test_weights_are_read_from_a_folder_and_must_know_the_tokens(tmp_path):
    from tokenizers import Tokenizer, models
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    torch.manual_seed(1)
    saved = BertModel(BertConfig(vocab_size=12, hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
                                 intermediate_size=8, max_position_embeddings=16))  # fmt: skip
    saved.save_pretrained(tmp_path)
    words = {w: i for i, w in enumerate(["[UNK]", *"abcdefghijk"])}
    PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="[UNK]")), unk_token="[UNK]"
    ).save_pretrained(tmp_path)
    read = build("bert", TOKENS, weights=str(tmp_path))
    torch.testing.assert_close(read.net.embeddings.word_embeddings.weight, saved.embeddings.word_embeddings.weight)
    with pytest.raises(ValueError, match=r"^encoder 'bert' knows 12 tokens, the data has 13: prepare it with the"):
        build("bert", replace(TOKENS, vocabulary=13), weights=str(tmp_path))
    with pytest.raises(ValueError, match=r"^encoder 'bert' takes 16 tokens, the data has up to 17; cut them$"):
        build("bert", replace(TOKENS, shape=(17,)), weights=str(tmp_path))


def test_bert_is_trained_end_to_end(toy):
    model = {**RANDOM, "encoders": {"tokens": {"name": "bert", "weights": "random"}}}
    job = toy.job(toy.data((3, 2), ("tokens", "vector")), "zero_fill", model=model, stack=2)
    assert not job.stackable
    before = {n: v.copy() for n, v in toy.broadcast(job).x.items()}
    simulation = toy.run(job)
    assert math.isfinite(simulation.tally.best["splits"]["test"]["loss"])
    assert (simulation.x["task.tokens"] != before["task.tokens"]).mean() > 0.5


def test_only_the_rows_that_are_there_are_encoded(bert):
    x = torch.randint(9, (3, 6))
    seen = []
    hook = bert.net.register_forward_pre_hook(
        lambda net, args, given: seen.append(len(given["input_ids"])), with_kwargs=True
    )
    for present, rows in (([True, False, True], [2]), ([False] * 3, [])):
        batch = SimpleNamespace(
            x={"m": x},
            lengths={"m": torch.tensor([6, 1, 2])},
            present={"m": torch.tensor(present)},
            nowhere=lambda m: False,
        )
        feature = encode({"task.m": bert}, batch)["m"]
        assert feature.valid[:, 0].tolist() == present
        assert (feature.tokens[~torch.tensor(present)] == 0).all()
        assert seen == rows
        seen.clear()
    hook.remove()


@pytest.fixture(scope="session")
def torchvision(request):
    return vision.torchvision(own_run=request.config.getoption("-m") == "vision")


@pytest.mark.vision
@pytest.mark.parametrize("channels", [1, 3])
def test_resnet_gives_one_token(torchvision, channels):
    encoder = build("resnet50", Modality("image", (channels, 64, 64)))
    x = torch.rand(2, channels, 64, 64)
    feature = encoder(x)
    assert feature.tokens.shape == (2, 1, 8)
    mean, deviation = (torch.tensor(v)[:, None, None] for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    wanted = encoder.project(encoder.net((x.expand(2, 3, 64, 64) - mean) / deviation))
    torch.testing.assert_close(feature.tokens[:, 0], wanted / wanted.norm(dim=-1, keepdim=True))


@pytest.mark.vision
def test_resnet_takes_no_other_images(torchvision):
    with pytest.raises(ValueError, match=r"^encoder 'resnet50' takes images of 1 or 3 channels, not 16$"):
        build("resnet50", Modality("image", (16, 64, 64)))


@pytest.mark.vision
def test_seeds_begin_with_other_weights(torchvision):
    torch.manual_seed(0)
    first, second = (build_encoder("m", Modality("image", (3, 32, 32)), Model.model_validate(
        {"dim": 8, "encoders": {"m": {"name": "resnet50", "weights": "random"}}})) for _ in range(2))  # fmt: skip
    assert not torch.equal(first.net.conv1.weight, second.net.conv1.weight)


@pytest.mark.vision
def test_fin_is_trained_end_to_end_on_image_files_and_token_ids(torchvision, toy):
    data = toy.data((3, 3), ("image", "tokens"), multi_label=True)
    splits = {n: replace(data.dataset.split(n), inputs={**data.dataset.split(n).inputs, "image": files(6)})
              for n in ("train", "validation", "test")}  # fmt: skip
    dataset = replace(
        data.dataset, modalities={**data.dataset.modalities, "image": Modality("image", (3, 64, 64))}, **splits
    )
    model = {**RANDOM, "augment": {"image": {"flip": 0.5, "rotate_deg": 15.0}},
             "encoders": {"image": {"name": "resnet50", "weights": "random"},
                          "tokens": {"name": "bert", "weights": "random"}}}  # fmt: skip
    mask = data.mask.copy()
    mask[:3, 1] = False
    job = toy.job(
        toy.deal(dataset, mask, data.offsets), {"name": "feature_imputation", "layers": 1, "heads": 2, "hidden": 8},
        model=model, optimizer={"name": "adam", "lr": 1e-4, "clip_norm": 2.0, "persistent": True},
    )  # fmt: skip
    before = {n: v.copy() for n, v in toy.broadcast(job).x.items()}
    simulation = toy.run(job)
    assert math.isfinite(simulation.tally.best["splits"]["test"]["loss"])
    assert all((simulation.x[n] != before[n]).mean() > 0.5 for n in ("task.image", "task.tokens"))
    assert all((simulation.x[n] != before[n]).any() for n in before)


def files(count):
    """Pictures of noise as PNG files."""
    rng, encoded = np.random.default_rng(0), []
    for _ in range(count):
        file = io.BytesIO()
        Image.fromarray(rng.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(file, "png")
        encoded.append(np.frombuffer(file.getvalue(), np.uint8))
    ends = np.cumsum([len(f) for f in encoded])
    return Pictures(np.concatenate(encoded), np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1))
