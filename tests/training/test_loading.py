import io

import numpy as np
import pytest
import torch
from PIL import Image

from raysim.data.dataset import Dataset, Modality, Split
from raysim.data.ragged import Pictures, Ragged
from raysim.training.loading import Album, load, schedule
from raysim.training.shelf import Shelf

CPU = torch.device("cpu")
PARTS = [np.array([2, 0]), np.array([1])]


def read(modality, array, *, mask=None, lengths=None, parts=PARTS):
    """One modality of three samples with labels 0, 1, 2."""
    split = Split({"m": array}, np.arange(3), {} if lengths is None else {"m": np.array(lengths)})
    dataset = Dataset({"m": modality}, ("a", "b", "c"), False, split, split, split)
    mask = np.ones((3, 1), bool) if mask is None else np.array(mask)[:, None]
    return load(dataset, split, parts, mask, CPU)


def test_rows_go_to_their_clients_in_order():
    found = read(Modality("vector", (1,)), np.array([[1.0], [2.0], [3.0]]))
    assert found.x["m"].dtype == torch.float32
    assert found.x["m"][..., 0].tolist() == [[3, 1], [2, 0]]
    assert found.y.tolist() == [[2, 0], [1, 0]]
    assert found.present["m"].tolist() == [[True, True], [True, False]]
    assert found.counts == (2, 1)
    assert found.lengths == {}


@pytest.mark.parametrize("kind", ["image", "sequence", "vector"])
def test_absent_rows_are_zeros_although_the_array_holds_nan(kind):
    shape = {"image": (1, 2, 2), "sequence": (4, 2), "vector": (3,)}[kind]
    array = np.ones((3, *shape), np.float32)
    array[[0, 1]] = np.nan
    lengths = [4, 4, 2] if kind == "sequence" else None
    found = read(Modality(kind, shape), array, mask=[False, False, True], lengths=lengths)
    assert found.present["m"].tolist() == [[True, False], [False, False]]
    assert found.x["m"][0, 0].eq(1).all()
    assert found.x["m"][0, 1].eq(0).all()
    assert found.x["m"][1].eq(0).all()


def test_bytes_of_an_image_become_shares_of_255_and_floats_stay():
    levels = np.array([0, 51, 255], np.uint8)[:, None, None, None]
    image = Modality("image", (1, 1, 1))
    assert read(image, levels).x["m"][...].flatten().tolist() == pytest.approx([1.0, 0.0, 0.2, 0.0])
    assert read(image, levels.astype(float)).x["m"].flatten().tolist() == [255, 0, 51, 0]


def test_a_stack_of_images_stays_bytes_until_a_batch_takes_some():
    image, array = Modality("image", (1, 2, 2)), np.arange(12, dtype=np.uint8).reshape(3, 1, 2, 2)
    found = read(image, array, mask=[True, True, False])
    for samples in (found, found.narrow((1, 0), axis=True)):
        shelf = samples.x["m"]
        assert isinstance(shelf, Shelf)
        assert shelf.array is array
    taken = found.at((torch.tensor([[0], [1]]), torch.tensor([[1, 0], [0, 1]])))["m"]
    assert taken.dtype == torch.float32
    # Sample 2 is absent, and client 1 has no second one.
    levels = torch.tensor([[[0, 1, 2, 3], [0] * 4], [[4, 5, 6, 7], [0] * 4]])
    assert torch.equal(taken, levels.view(2, 2, 1, 2, 2) / 255)


def test_sequences_are_cut_to_a_bound_that_holds_the_longest():
    array = np.arange(3 * 20).reshape(3, 20, 1).astype(np.float32)
    found = read(Modality("sequence", (20, 1)), array, lengths=[9, 3, 2])
    x = found.x["m"][...]
    assert x.shape == (2, 2, 12, 1)
    assert x[0, 1, :, 0].tolist() == list(range(12))
    assert found.lengths["m"].tolist() == [[2, 9], [3, 1]]


def test_the_bound_is_at_most_the_data_and_no_length_is_below_one():
    found = read(Modality("sequence", (5, 1)), np.ones((3, 5, 1)), lengths=[5, 0, 2])
    assert found.x["m"].shape == (2, 2, 5, 1)
    assert found.lengths["m"].tolist() == [[2, 5], [1, 1]]


def test_a_row_is_copied_when_it_is_taken_and_its_array_never_written():
    array = np.arange(6, dtype=np.float32).reshape(3, 2)
    array.flags.writeable = False
    found = read(Modality("vector", (2,)), array, mask=[True, True, False])
    shelf = found.x["m"]
    assert isinstance(shelf, Shelf)
    assert shelf[...].tolist() == [[[0, 0], [0, 1]], [[2, 3], [0, 0]]]  # sample 2 is absent, the last one padding
    taken = found.at((torch.tensor([[1], [0]]), torch.tensor([[0, 0], [1, 0]])))["m"]
    assert taken.tolist() == [[[2, 3], [2, 3]], [[0, 1], [0, 0]]]
    assert taken.mul_(0).sum() == 0
    assert array.sum() == 15
    assert found.narrow((1,), axis=False).x["m"][...].tolist() == [[2, 3]]


def test_tokens_stay_integers():
    found = read(Modality("tokens", (4,), 9), np.arange(12).reshape(3, 4), lengths=[4, 1, 2])
    assert found.x["m"].dtype == torch.int64
    assert found.x["m"][1].tolist() == [[4, 5, 6, 7], [0, 0, 0, 0]]


def test_narrowing_drops_clients_and_the_padding_that_only_they_needed():
    found = read(Modality("vector", (1,)), np.array([[1.0], [2.0], [3.0]]))
    second = found.narrow((1,), axis=True)
    assert (second.x["m"].tolist(), second.counts) == ([[[2.0]]], (1,))
    assert found.narrow((1,), axis=False).x["m"].tolist() == [[2.0]]
    assert found.narrow((1, 0), axis=True).y.tolist() == [[1, 0], [2, 0]]


def test_a_schedule_by_hand():
    # Two epochs; 9 stands where there is nothing.
    orders = [[[1, 0, 9], [0, 1, 9]], [[2, 0, 1], [1, 2, 0]], [[9, 9, 9]] * 2, [[5, 9, 9], [5, 9, 9]]]
    plan = schedule((0, 1, 2, 4), np.array(orders), [2, 3, 0, 1], batch_size=2)
    assert plan.members == (1, 0, 4)
    assert plan.steps == (4, 2, 2)
    assert plan.index.tolist() == [
        [[2, 0], [1, 0], [1, 2], [0, 0]],
        [[1, 0], [0, 1], [0, 0], [0, 0]],
        [[5, 0], [5, 0], [0, 0], [0, 0]],
    ]
    assert plan.filled.tolist() == [[2, 1, 2, 1], [2, 2, 0, 0], [1, 1, 0, 0]]
    assert [plan.active(t) for t in range(5)] == [3, 3, 1, 1, 0]


def test_no_samples_no_schedule():
    assert schedule((0, 1), np.zeros((2, 1, 0), int), [0, 0], batch_size=2) is None


def pictures():
    """Three PNG files of 2 x 2 grey pixels: 0, 51 and 255 everywhere."""
    files = []
    for value in (0, 51, 255):
        file = io.BytesIO()
        Image.fromarray(np.full((2, 2), value, np.uint8)).save(file, "png")
        files.append(np.frombuffer(file.getvalue(), np.uint8))
    ends = np.cumsum([len(f) for f in files])
    return Pictures(np.concatenate(files), np.stack([np.concatenate([[0], ends[:-1]]), ends], axis=1))


def test_image_files_are_decoded_when_they_are_taken():
    found = read(Modality("image", (1, 2, 2)), pictures(), mask=[True, False, True])
    album = found.x["m"]
    assert isinstance(album, Album)
    assert album[...].shape == (2, 2, 1, 2, 2)
    assert album[..., :1][:, 0, 0, 0, 0].tolist() == [1.0, 0.0]
    assert found.at((torch.tensor([0, 1]), torch.tensor([1, 0])))["m"].sum().item() == 0
    one = found.narrow((0,), axis=False)
    assert one.at(torch.tensor([1, 0]))["m"][:, 0, 0, 0].tolist() == [0.0, 1.0]


def test_samples_without_padding_are_the_same_as_with_it():
    padded = np.array([[[1.0], [0], [0]], [[2], [3], [4]], [[5], [6], [0]]], np.float32)
    ragged = Ragged(np.array([[1.0], [5], [6], [2], [3], [4]], np.float32), np.array([[0, 1], [3, 6], [1, 3]]))
    one, other = (read(Modality("sequence", (3, 1)), x, lengths=[1, 3, 2]) for x in (padded, ragged))
    assert one.x["m"][...].tolist() == other.x["m"].tolist() == [[[[5], [6], [0]], [[1], [0], [0]]], [[[2], [3], [4]], [[0], [0], [0]]]]  # fmt: skip # noqa: E501
