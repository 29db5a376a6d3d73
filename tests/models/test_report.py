"""The generator, small; its published size, on no device at all."""

import math
from itertools import product

import pytest
import torch
import vision
from torch import nn

from raysim.data.dataset import Modality
from raysim.models.encoders import Spec
from raysim.models.layers import stackable
from raysim.models.report import (
    ConditionalNorm,
    RelationalMemory,
    Writer,
    build_trunk,
    positions,
)

SMALL = {"dim": 8, "hidden": 8, "heads": 2, "layers": 2, "slots": 2}
OF_A_WORD = 2 * 512 + 1
ATTENTION = 4 * (512 * 512 + 512)
TWO_LAYERS = 2 * (512 * 512 + 512)
NORM = 2 * 512
CONDITIONAL_NORM = NORM + 2 * (1536 * 512 + 512 + 512 * 512 + 512)
ENCODER = 3 * (ATTENTION + TWO_LAYERS + 2 * NORM) + NORM
DECODER = 3 * (2 * ATTENTION + TWO_LAYERS + 3 * CONDITIONAL_NORM) + NORM
MEMORY = ATTENTION + TWO_LAYERS + 2 * (512 * 1024 + 1024)
TRUNK = 23_508_032 + 2048 * 512 + 512


def size(module):
    return sum(p.numel() for p in module.parameters())


def small(vocabulary=4, longest=5, **sizes):
    torch.manual_seed(0)
    return Writer("image", "text", longest, vocabulary, **SMALL | sizes).eval()


def test_the_published_size_of_the_writer():
    assert TRUNK + ENCODER + DECODER + MEMORY + OF_A_WORD == 58_702_401
    with torch.device("meta"):
        for vocabulary in (1, 1012):
            writer = Writer("image", "text", 60, vocabulary)
            assert size(writer) == 58_702_401 - TRUNK + OF_A_WORD * vocabulary


@pytest.mark.vision
def test_the_published_size_of_the_trunk(request):
    vision.torchvision(own_run=request.config.getoption("-m") == "vision")
    with torch.device("meta"):
        assert (
            size(build_trunk(Modality("image", (3, 224, 224)), Spec(name="resnet50", weights="random"), 512)) == TRUNK
        )


@pytest.mark.vision
def test_resnets_patches_are_what_it_would_pool(request):
    vision.torchvision(own_run=request.config.getoption("-m") == "vision")
    trunk = build_trunk(Modality("image", (1, 64, 96)), Spec(name="resnet50", weights="random"), 4).eval()
    assert not stackable(trunk)
    x = torch.rand(2, 1, 64, 96)
    patches = trunk(x)
    assert patches.shape == (2, 6, 4)
    trunk.encoder.net = trunk.encoder.net[0]
    trunk.encoder.net.avgpool = nn.AdaptiveAvgPool2d(1)
    torch.testing.assert_close(patches.mean(1), trunk.encoder.tokens(x, None)[:, 0], rtol=1e-4, atol=1e-5)


def test_a_cnns_patches_are_positions():
    trunk = build_trunk(Modality("image", (1, 4, 6)), Spec(name="cnn", channels=(1,)), 1)
    for p in trunk.parameters():
        nn.init.zeros_(p)
    trunk.net[0].weight.data[0, 0, 1, 1] = 1.0
    trunk.project.weight.data[:] = 1.0
    x = torch.arange(24.0).reshape(1, 1, 4, 6)
    assert trunk(x)[..., 0].tolist() == [[7.0, 9.0, 11.0, 19.0, 21.0, 23.0]]
    with pytest.raises(ValueError, match=r"^3 halvings leave nothing of 4 x 6 pixels; use fewer channels$"):
        build_trunk(Modality("image", (1, 4, 6)), Spec(name="cnn", channels=(1, 1, 1)), 1)


def linear(layer, x):
    return [sum(w * v for w, v in zip(row, x, strict=True)) + b
            for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)]  # fmt: skip


def looped(memory, word, m):
    """One step of the memory with plain numbers: two features, one head."""
    weight = m.attention.in_proj_weight.tolist()
    query, key, value = ([[sum(w * v for w, v in zip(row, slot, strict=True)) for row in part] for slot in slots]
                         for part, slots in ((weight[:2], memory), (weight[2:4], [*memory, word]),
                                             (weight[4:], [*memory, word])))  # fmt: skip
    new = []
    for slot, q in zip(memory, query, strict=True):
        chances = [math.exp((q[0] * k[0] + q[1] * k[1]) / math.sqrt(2)) for k in key]
        mixed = [sum(c * v[i] for c, v in zip(chances, value, strict=True)) / sum(chances) for i in range(2)]
        z = [s + a for s, a in zip(slot, linear(m.attention.out_proj, mixed), strict=True)]
        hidden = [max(0.0, h) for h in linear(m.mlp[0], z)]
        z = [a + max(0.0, b) for a, b in zip(z, linear(m.mlp[2], hidden), strict=True)]
        both = zip(linear(m.word_gates, word), linear(m.memory_gates, [math.tanh(s) for s in slot]), strict=True)
        gates = [1 / (1 + math.exp(-a - b)) for a, b in both]
        new.append([gates[i] * math.tanh(z[i]) + gates[2 + i] * slot[i] for i in range(2)])
    return new


def test_the_memory_by_plain_numbers():
    memory = RelationalMemory(2, 1, 2, 0.0)
    literal = {
        "attention.in_proj_weight": [[1.0, 0.0], [0.0, 1.0], [0.5, 0.0], [0.0, 2.0], [0.0, 1.0], [1.0, 0.5]],
        "attention.out_proj.weight": [[1.0, 1.0], [0.0, -1.0]], "attention.out_proj.bias": [0.1, 0.0],
        "mlp.0.weight": [[1.0, -1.0], [0.5, 0.0]], "mlp.0.bias": [0.0, 0.2],
        "mlp.2.weight": [[0.5, 1.0], [-1.0, 1.0]], "mlp.2.bias": [0.0, 0.1],
        "word_gates.weight": [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.5, 0.5]], "word_gates.bias": [0.0, 0.1, 0.0, 0.2],
        "memory_gates.weight": [[0.0, 1.0], [1.0, 0.0], [0.3, 0.0], [0.0, 0.7]],
        "memory_gates.bias": [0.0, 0.0, -0.5, 0.0],
    }  # fmt: skip
    memory.load_state_dict(memory.state_dict() | {n: torch.tensor(v) for n, v in literal.items()})
    words = torch.tensor([[0.5, -1.0], [2.0, 0.0]])
    found = memory(words[None], memory.first(words[None]))[0]
    first = looped([[1.0, 0.0], [0.0, 1.0]], [0.5, -1.0], memory)
    torch.testing.assert_close(found, torch.tensor([first, looped(first, [2.0, 0.0], memory)]))


def test_the_first_memory_is_rows_of_the_identity():
    like = torch.zeros(2, 7, 3)
    assert RelationalMemory(3, 1, 2, 0.0).first(like).tolist() == [[[1, 0, 0], [0, 1, 0]]] * 2


def test_the_memory_moves_scale_and_shift():
    norm = ConditionalNorm(2, 2)
    literal = {
        "norm.weight": [2.0, 3.0], "norm.bias": [0.5, -0.5],
        "scale.0.weight": [[1.0, 0.0], [0.0, 1.0]], "scale.0.bias": [0.0, 0.0],
        "scale.2.weight": [[1.0, 0.0], [0.0, -1.0]], "scale.2.bias": [0.0, 1.0],
        "shift.0.weight": [[1.0, 0.0], [0.0, -1.0]], "shift.0.bias": [0.0, 0.0],
        "shift.2.weight": [[0.25, 0.0], [0.0, 2.0]], "shift.2.bias": [0.0, 0.0],
    }  # fmt: skip
    norm.load_state_dict({n: torch.tensor(v) for n, v in literal.items()})
    # Normalised: -1 and 1. Scale 2 + 2 and 3 + 1, shift 0.5 + 0.5 and -0.5 + 2.
    found = norm(torch.tensor([[1.0, 3.0]]), torch.tensor([[2.0, -1.0]]))
    torch.testing.assert_close(found, torch.tensor([[-4.0 + 1.0, 4.0 + 1.5]]), rtol=1e-4, atol=0)


def test_positions_by_hand():
    slow = 10_000 ** (-2 / 3)
    expected = [[math.sin(n), math.cos(n), math.sin(n * slow)] for n in (2, 3)]
    torch.testing.assert_close(positions(torch.tensor([2, 3]), 3), torch.tensor(expected))


def constant(longest):
    """A writer for which the end and two tokens always have the chances 1/6, 1/3 and 1/2."""
    writer = small(vocabulary=2, longest=longest)
    nn.init.zeros_(writer.head.weight)
    writer.head.bias.data = torch.tensor([1.0, 2.0, 3.0]).log()
    return writer


def test_the_loss_by_hand():
    text, lengths = torch.tensor([[1, 0, 1], [0, 0, 0]]), torch.tensor([2, 1])
    total, count = constant(5).losses(torch.zeros(2, 1, 8), text, lengths)
    both = [math.log(2) + math.log(3) + math.log(6), math.log(3) + math.log(6)]
    torch.testing.assert_close(total, torch.tensor(both))
    assert count.tolist() == [3, 2]
    total, count = constant(1).losses(torch.zeros(2, 1, 8), text, lengths)
    torch.testing.assert_close(total, torch.tensor([math.log(2) + math.log(6), math.log(3) + math.log(6)]))
    assert count.tolist() == [2, 2]


def test_what_stands_after_a_text_changes_no_loss():
    writer, patches = small(), torch.randn(1, 3, 8)
    lengths = torch.tensor([2])
    one, other = (writer.losses(patches, torch.tensor([[3, 1, *rest]]), lengths)[0] for rest in ((0, 0), (2, 3)))
    assert torch.equal(one, other)


def test_word_by_word_is_all_at_once():
    writer, patches = small(), torch.randn(2, 3, 8)
    words = torch.tensor([[0, 3, 1, 1], [0, 2, 4, 1]])
    image = writer.seen(patches)
    state, logits = writer.start(image), []
    for word in words.unbind(-1):
        found, state = writer.follow(image, word[:, None], state)
        logits.append(found)
    torch.testing.assert_close(torch.cat(logits, 1), writer(patches, words))


def test_a_wide_beam_finds_the_best_of_all_texts():
    writer, patches = small(vocabulary=2, longest=3), torch.randn(3, 2, 8)
    writer.head.weight.data *= 5.0
    texts = [t for n in (1, 2, 3) for t in product((0, 1), repeat=n)]
    scores = []
    for text in texts:
        total, _ = writer.losses(patches, torch.tensor([text]).expand(3, -1), torch.full((3,), len(text)))
        # The end of the longest is not chosen but cut.
        cut = writer(patches, torch.tensor([[0, *(w + 1 for w in text)]]).expand(3, -1))[:, -1].log_softmax(-1)[:, 0]
        scores.append(-total - cut if len(text) == 3 else -total)
    best = torch.stack(scores).argmax(0).tolist()
    tokens, lengths = writer.write(patches, 27, trigrams=False)
    assert [tuple(t[:n]) for t, n in zip(tokens.tolist(), lengths.tolist(), strict=True)] == [texts[b] for b in best]
    assert len(set(best)) > 1


def test_a_stack_is_its_clients(same_as_alone):
    writer, trunk = small().train(), build_trunk(Modality("image", (1, 4, 4)), Spec(name="cnn", channels=(3,)), 8)
    assert stackable(nn.ModuleList([writer, trunk]))
    same_as_alone(trunk, torch.randn(3, 2, 1, 4, 4))
    same_as_alone(
        writer, torch.randn(3, 2, 4, 8), torch.randint(4, (3, 2, 5)), torch.tensor([[5, 1], [2, 3], [4, 4]]),
        call=lambda net, patches, text, lengths: net.losses(patches, text, lengths)[0],
    )  # fmt: skip


def test_a_stack_is_written_like_its_clients():
    writer, patches = small(), torch.randn(3, 2, 4, 8)
    writer.head.weight.data *= 5.0
    tokens, lengths = writer.write(patches, 3, trigrams=True)
    assert tokens.shape == (3, 2, 5)
    assert len(set(map(tuple, tokens.flatten(0, 1).tolist()))) > 1
    for k in range(3):
        alone = writer.write(patches[k], 3, trigrams=True)
        assert (alone[0].tolist(), alone[1].tolist()) == (tokens[k].tolist(), lengths[k].tolist())
