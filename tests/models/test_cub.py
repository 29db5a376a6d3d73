import math

import pytest
import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models

from raysim.data.codec import Codec
from raysim.data.dataset import Modality
from raysim.models.convolution import Conv2d, ConvTranspose2d
from raysim.models.cub import Words, private_encoder, sentence_vae
from raysim.models.layers import stackable
from raysim.models.resnet_vae import resnet_vae


def size(*modules):
    return sum(p.numel() for module in modules for p in module.parameters())


def text(positions=12, vocabulary=7, pad=None):
    codec = None
    if pad is not None:
        tokenizer = Tokenizer(models.WordLevel({"<unk>": 0}, unk_token="<unk>"))
        tokenizer.enable_padding(pad_id=pad, pad_token="<pad>")
        codec = Codec(tokenizer.to_str())
    return Modality("tokens", (positions,), vocabulary, codec)


def test_sizes_are_those_of_mmvae_plus_for_cub():
    captions, pictures = text(32, 1590), Modality("image", (3, 64, 64))
    encoder, decoder = sentence_vae(captions, 48, private=16)
    assert (size(encoder, private_encoder(captions, 16)), size(decoder)) == (2_240_064, 3_096_023)
    shared, private, whole = (resnet_vae(pictures, latent, branches=1, halvings=5) for latent in (48, 16, 64))
    assert (size(shared[0], private[0]), size(whole[1])) == (8_552_448, 4_276_931)
    assert size(encoder, private_encoder(captions, 16), decoder, shared[0], private[0], whole[1]) == 18_165_466


def test_the_picture_of_a_text_is_halved_to_its_rows_by_four():
    encoder, _ = sentence_vae(text(32), 3, width=2)
    assert encoder.net[:-1](torch.zeros(1, 1, 32, 128)).shape == (1, 32, 4, 4)
    assert private_encoder(text(32), 3, width=2).net[:-1](torch.zeros(1, 1, 32, 128)).shape == (1, 8, 4, 16)


@pytest.mark.parametrize("positions", [1, 8, 13, 32])
@pytest.mark.parametrize("private", [0, 2])
def test_texts_of_any_length_are_padded_to_a_multiple_of_eight(positions, private):
    encoder, decoder = sentence_vae(text(positions), 3, private, width=1)
    words = encoder.target(torch.zeros(2, positions, dtype=torch.long))
    full = 8 * math.ceil(positions / 8)
    assert words.shape == (2, full)
    assert [half.shape for half in encoder(words)] == [(2, 3), (2, 3)]
    assert decoder(torch.randn(2, 3 + private)).shape == (2, full, 7)


def test_the_padding_is_the_codecs():
    x, lengths = torch.tensor([[4, 5, 6, 3], [2, 2, 2, 2]]), torch.tensor([2, 4])
    for pad, found in ((None, 0), (1, 1)):
        encoder, _ = sentence_vae(text(6, pad=pad), 3, width=1)
        assert encoder.target(x, lengths).tolist() == [[4, 5, *[found] * 6], [2, 2, 2, 2, *[found] * 4]]


def test_words_are_the_layer_of_their_one_hot_vectors():
    layer, words = Words(7, 4), torch.tensor([[0, 6], [3, 3]])
    torch.testing.assert_close(layer(words), F.linear(F.one_hot(words, 7).float(), layer.weight, layer.bias))


def test_private_and_shared_numbers_have_branches_of_their_own():
    encoder, decoder = sentence_vae(text(), 3, 2, width=1)
    branches = decoder.net[0]
    for p in branches.private.parameters():
        torch.nn.init.zeros_(p)
    z = torch.randn(2, 5)
    assert torch.equal(decoder(z), decoder(torch.cat([z[:, :3], torch.randn(2, 2)], dim=-1)))
    assert not torch.equal(decoder(z), decoder(z.flip(0)))
    assert sentence_vae(text(), 3, width=1)[1].net[0].private is None
    assert torch.equal(
        encoder.embedded(torch.zeros(2, 16, dtype=torch.long))[:, 0, 0], encoder.words(torch.zeros(2).long())
    )


def test_a_vocabulary_of_unknown_size_is_refused():
    with pytest.raises(ValueError, match=r"^the autoencoder of texts needs the size of the vocabulary; set it on"):
        sentence_vae(text(vocabulary=None), 3)


def test_a_stack_is_its_clients(same_as_alone):
    encoder, decoder = sentence_vae(text(), 3, 2, width=1)
    private = private_encoder(text(), 2, width=1)
    words = torch.randint(7, (3, 2, 16), generator=torch.Generator().manual_seed(0))
    assert all(stackable(net) for net in (encoder, private, decoder))
    same_as_alone(encoder, words, call=lambda net, x: torch.cat(net(x), dim=-1))
    same_as_alone(private, torch.randn(3, 2, 1, 16, 128), call=lambda net, x: torch.cat(net(x), dim=-1))
    same_as_alone(decoder, torch.randn(3, 2, 5))


@pytest.mark.parametrize("layer", [Conv2d, ConvTranspose2d])
def test_kernels_need_not_be_square(layer, same_as_alone):
    net, x = layer(2, 3, (1, 4), stride=(1, 2), padding=(0, 1)), torch.randn(2, 2, 5, 8)
    function = F.conv2d if layer is Conv2d else F.conv_transpose2d
    expected = function(x, net.weight, net.bias, stride=(1, 2), padding=(0, 1))
    torch.testing.assert_close(net(x), expected)
    assert expected.shape == (2, 3, 5, 4 if layer is Conv2d else 16)
    same_as_alone(net, torch.randn(3, 2, 2, 5, 8))


def test_it_learns_to_restore_texts():
    torch.manual_seed(0)
    encoder, decoder = sentence_vae(text(8, 4), 8, width=2)
    words = torch.tensor([[1, 2, 3, 0, 0, 0, 0, 0], [3, 3, 3, 3, 3, 3, 3, 3], [2, 1, 2, 1, 0, 0, 0, 0]])
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=0.01)
    for _ in range(60):
        error = F.cross_entropy(decoder(encoder(words)[0]).flatten(0, 1), words.flatten())
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    assert torch.equal(decoder(encoder(words)[0]).argmax(-1), words)
