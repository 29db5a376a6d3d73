"""Captions name a colour, pictures are made of them and counted; without judges, on CUB's layout."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from layouts import cub, prepared

from raysim.datasets.cub import Cub
from raysim.generation.colours import RANGES, caption
from raysim.generation.measure import Meter
from raysim.generators.mopoe import Mopoe
from raysim.report.events import PicturesMade, RoundFinished, TrialFinished
from raysim.report.figures.grids import draw_grids
from raysim.report.files import packed
from raysim.scenario.errors import ScenarioError
from raysim.simulation.prepare import prepare

CAPTIONS = Path(__file__).parents[2] / "../shared/data/cub_captions/text_testclasses.txt"
WORDS = {"name": "tokens", "vocabulary": "published", "min_count": 1, "max_tokens": 32}
ASKED = {"judges": False, "colours": 3, "retrieval": True, "rows": 5, "prior_draws": 4, "pictures": 2}


def chosen():
    """Ten real captions of each photograph, among which each colour is named; made-up ones where there are none."""
    if not CAPTIONS.is_file():
        return [f"this bird is completely {colour}" for colour in (*RANGES, "white", "black")] * 6
    real = CAPTIONS.read_text(encoding="utf-8").splitlines()
    named = [[c for c in real if f" {colour} " in c] for colour in RANGES]
    return [c for photo in range(6) for c in (*(some[photo] for some in named), *real[2 * photo : 2 * photo + 2])]


@pytest.fixture(scope="module")
def birds(tmp_path_factory):
    """The folder of CUB as papers on generation have it: another species to test with; pictures of one colour."""
    folder = tmp_path_factory.mktemp("cub")
    root = cub(folder / "root", chosen(), "cvpr2016_cub/text_c10")
    (root / "cvpr2016_cub/testclasses.txt").write_text("001.Black_footed_Albatross\n")
    pictures = {"name": "raw", "size": 32, "format": "png"}
    prepared(Cub, root, folder / "cache", {"image": pictures, "text": WORDS}, split="classes", captions=10)
    return folder / "cache"


def trial(small, birds, *words, **asked):
    return small.trial(
        f"dataset={{name: cub, cache: {birds}}}", "partition={name: iid, clients: 2}", "missing=none", "model={}",
        "method={name: generate, generator: {name: mopoe, latent: 3, hidden: 8, channels: [4], width: 2}}",
        "federation.rounds=1", "federation.clients_per_round=all", "evaluation.missing=none",
        "federation.optimizer={name: adam, lr: 0.005}",
        "numerics.evaluation_batch=5", f"evaluation.generation={json.dumps(ASKED | asked)}", *words,
    )  # fmt: skip


def told(small, *given, **asked):
    """What was measured of the last round, and the pictures."""
    events = []
    small.run(trial(small, *given, **asked), watch=events.append)
    (finished,) = [e for e in events if isinstance(e, TrialFinished)]
    (pictures,) = [e.arrays for e in events if isinstance(e, PicturesMade)]
    assert [e.record["generation"] for e in events if isinstance(e, RoundFinished)] == [
        finished.summary["generation"]["figures"]
    ]
    return finished.summary["generation"], pictures


def test_without_judges_there_are_colours_ranks_and_the_error(small, birds):
    said, _ = told(small, birds)
    assert said["judges"] == {}
    ranks = {"top1", "top5", "top10", "median_rank", "mean_rank"}
    assert {name: set(figures) for name, figures in said["figures"].items()} == {
        "image>image": {"reconstruction"}, "image>text": ranks,
        "text>image": {"reconstruction", "colours", *(f"colours_{c}" for c in RANGES), *ranks},
    }  # fmt: skip


def test_each_colour_s_caption_is_what_its_pictures_are_made_of(small, birds, monkeypatch):
    """A generator that paints the colour that it read is right, in chunks that colours do not fill."""
    paint = {"white": (255, 255, 255), "yellow": (255, 255, 0), "red": (255, 0, 0), "blue": (0, 0, 255),
             "green": (0, 255, 0), "gray": (90, 90, 90), "brown": (140, 95, 40), "black": (0, 0, 0)}  # fmt: skip
    given = trial(small, birds)
    codec = prepare(given).data.dataset.modalities["text"].codec
    named = {codec.decode(ids): c for c, ids in zip(RANGES, codec.encode(map(caption, RANGES)), strict=True)}
    read = []
    posterior = Mopoe.posterior

    def reading(self, nets, batch, given=None):
        texts, lengths = batch.x["text"], batch.lengths["text"]
        read[:] = [codec.decode(ids[:n].tolist()) for ids, n in zip(texts, lengths, strict=True)]
        return posterior(self, nets, batch, given)

    def painting(self, nets, latent, m):
        decoded = decode(self, nets, latent, m)
        if m == "image" and all(text in named for text in read):
            pixels = torch.tensor([paint[named[text]] for text in read]) / 255
            decoded[:] = pixels[:, :, None, None]
        return decoded

    decode = Meter._decoded
    monkeypatch.setattr(Mopoe, "posterior", reading, raising=False)
    monkeypatch.setattr(Meter, "_decoded", painting)
    said, _ = told(small, birds)
    assert {n: v for n, v in said["figures"]["text>image"].items() if n.startswith("colours")} == {
        "colours": 1.0, **dict.fromkeys((f"colours_{c}" for c in RANGES), 1.0),
    }  # fmt: skip
    paint = dict.fromkeys(paint, (255, 0, 0))
    said, _ = told(small, birds)
    figures = said["figures"]["text>image"]
    assert (figures["colours"], figures["colours_red"], figures["colours_blue"]) == (1 / 8, 1.0, 0.0)


def test_pictures_are_drawn_even_where_means_are_decoded(small, birds, monkeypatch):
    made = []
    decode = Meter._decoded

    def keeping(self, nets, latent, m):
        made.append((latent.shared.shape[-3], latent.shared.flatten(1)))
        return decode(self, nets, latent, m)

    monkeypatch.setattr(Meter, "_decoded", keeping)
    told(small, birds, colours=20, rows=1, prior_draws=0, pictures=1, draws="mean")
    chunks = [latent for rows, latent in made if rows == 5]  # all others have a row
    assert len(chunks) == 8 * 20 // 5
    assert all(len(torch.unique(chunk, dim=0)) == 5 for chunk in chunks)


def test_texts_are_pictured_as_captions(small, birds, tmp_path):
    _, pictures = told(small, birds)
    names = ("image", "text")
    assert set(pictures) == {f"{s}/{t}" for s in ("real", "prior", *names) for t in names}
    for name, array in pictures.items():
        assert (array.shape, array.dtype.kind) == ((2,), "U") if name.endswith("text") else (2, 32, 32, 3)
    codec = prepare(trial(small, birds)).data.dataset.modalities["text"].codec
    assert set(pictures["real/text"]) <= {codec.decode(ids) for ids in codec.encode(chosen())}
    source = tmp_path / "generation.npz"
    source.write_bytes(packed({**pictures, "round": np.array(1)}))
    draw_grids(source, "birds", tmp_path / "grids" / "overview.png")
    assert {p.name for p in (tmp_path / "grids").iterdir()} == {
        "overview.png", *(f"{s}_to_{t}.png" for s in names for t in names),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "words", "problem"),
    [
        ({}, ("modalities=[text]",),
         "colours: is of data with one image and one text (tokens), and this is other data; write 0"),
        ({}, ("method.generator={name: vae, latent: 3, hidden: 8, channels: [4], width: 2}",),
         "colours: 'generate' trains a generator that makes nothing of a caption; write 0"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_said_before_anything_starts(small, birds, asked, words, problem):
    with pytest.raises(ScenarioError) as error:
        prepare(trial(small, birds, *words, **asked))
    assert f"evaluation.generation.{problem}" in str(error.value)


def test_a_colour_that_no_caption_has_is_said_before_anything_starts(small, tmp_path):
    captions = [f"this bird is completely {colour}" for colour in RANGES if colour != "gray"]
    root = cub(tmp_path / "root", [captions[i % 7] for i in range(60)])
    prepared(Cub, root, tmp_path / "cache", {"text": WORDS})
    with pytest.raises(ScenarioError, match="has no word 'gray'; prepare it with a lower min_count") as error:
        prepare(trial(small, tmp_path / "cache"))
    assert "evaluation.generation.colours: is made of captions, and 'text' has no word" in str(error.value)


@pytest.mark.ray
def test_the_same_bits_in_an_actor(small, birds, local_ray):
    given = trial(small, birds)
    here, there = [], []
    expected = small.run(given, watch=here.append)
    assert small.run(given, small.warm(), watch=there.append) == expected
    (one,), (other,) = ([e.arrays for e in events if isinstance(e, PicturesMade)] for events in (here, there))
    assert {n: a.tobytes() for n, a in one.items()} == {n: a.tobytes() for n, a in other.items()}
