"""Datasets whose media cannot be had: a tiny folder in the official layout is extracted for real, then trained on."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
import vision
from layouts import AGREED, TWEETS, crisismmd, cub, draw, meld, mimic_cxr, prepared, write_csv

from raysim.data.chest import LABELS
from raysim.data.codec import Codec
from raysim.data.ragged import Pictures
from raysim.datasets.crisismmd import Crisismmd
from raysim.datasets.cub import Cub
from raysim.datasets.meld import Meld
from raysim.datasets.mimic_cxr import MimicCxr
from raysim.datasets.openi import OpenI
from raysim.report.events import RoundFinished
from raysim.scenario.check import check
from raysim.scenario.source import write
from raysim.scenario.trial import load
from raysim.simulation.executor import LocalExecutor
from raysim.simulation.fitting import check_kinds
from raysim.simulation.prepare import prepare
from raysim.simulation.simulation import Simulation
from raysim.training.job import Job

ROOT = Path(__file__).parents[2]
REAL = ROOT / "../shared/data"
PICTURE = TWEETS.index("image")
FIN = ROOT / "scenarios/fin_homogeneous.yaml"
IMPUTATION = {"name": "feature_imputation", "layers": 1, "hidden": 16}


def real(name):
    """A file or folder of real data."""
    if not (REAL / name).exists():
        pytest.skip(f"needs ../shared/data/{name} beside the repository")
    return (REAL / name).resolve()


def small(name, cache, partition, method="zero_fill", **model):
    """A scenario of two rounds in which half of everything is missing."""
    return {
        "name": "small", "dataset": {"name": name, "cache": str(cache)}, "partition": partition, "method": method,
        "missing": {"name": "per_sample", "rate": 0.5}, "model": {"dim": 16, **model},
        "federation": {"rounds": 2, "batch_size": 8, "optimizer": {"name": "adam", "lr": 0.01}},
        "numerics": {"stack": 2, "device": "cpu"},
    }  # fmt: skip


def train(path, overrides=()):
    """Runs a scenario's only trial; all weights must change. Returns its data."""
    (trial,) = load(path, overrides)
    check(trial)
    check_kinds(trial)
    ready = prepare(trial)
    job = Job(trial, ready.data)
    simulation = Simulation(job, LocalExecutor(job), ready.info)
    before = {name: x.copy() for name, x in simulation.x.items()}
    records = [e.record for e in simulation.run() if isinstance(e, RoundFinished)]
    assert len(records) == trial.scenario.federation.rounds
    assert all(math.isfinite(loss) for r in records for loss in r["loss"].values())
    assert [name for name, x in simulation.x.items() if np.array_equal(x, before[name])] == []
    return ready.data


def train_small(folder, *scenario, **model):
    (folder / "small.yaml").write_text(write(small(*scenario, **model)), encoding="utf-8")
    return train(folder / "small.yaml")


def spoil(path):
    """Leaves a file's beginning."""
    path.write_bytes(path.read_bytes()[:40])
    return path


def read(cache, key):
    return np.load(cache / f"{key}.npy", allow_pickle=False)


def constant(features):
    """Which features have the same value in all rows."""
    return (features == features[0]).all(axis=0)


def mostly_vary(features):
    """An image network ends with a ReLU, so some features are zero for all plain pictures; no other is constant."""
    same = constant(features)
    return same.mean() < 0.25 and not features[:, same].any()


def words(cache, row):
    """What the tokens of a sample say, and the size of the vocabulary."""
    codec, (start, stop) = Codec(str(read(cache, "codec.text"))), read(cache, "span.text")[row]
    return codec.decode(read(cache, "x.text")[start:stop]), codec.vocabulary


def decoded(cache):
    """Pictures that were kept as files."""
    return Pictures(read(cache, "x.image"), read(cache, "span.image")).decoded()


def outcome(done):
    """How many samples are left, and the files that were left out."""
    return done.samples, [Path(line.split(": ")[1]) for line in done.skipped]


def utterances(part, *clients):
    """The real utterances of some (season, speaker), as `meld` takes them."""
    columns = ("Utterance", "Speaker", "Emotion", "Dialogue_ID", "Utterance_ID", "Season")
    with (real("meld") / f"{part}_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if (row["Season"], row["Speaker"]) in clients]
    return [tuple(row[c] for c in columns) for row in rows]


def test_meld(tmp_path):
    rows = {
        "train": utterances("train", ("3", "Issac"), ("3", "Kate"), ("4", "Joshua")),
        "dev": utterances("dev", ("1", "Monica")),
        "test": utterances("test", ("3", "Director")),
    }
    root, cache = meld(tmp_path / "root", rows), tmp_path / "cache"
    ((*_, dialogue, utterance, _), *_) = [row for row in rows["train"] if row[1:3] == ("Joshua", "joy")]
    clip = spoil(root / "train_splits" / f"dia{dialogue}_utt{utterance}.wav")
    done = prepared(Meld, root, cache, {"text": {"name": "mobilebert", "weights": "random"}})
    assert outcome(done) == (55, [clip])
    audio, text = read(cache, "x.audio"), read(cache, "x.text")
    assert (audio.shape, audio.dtype, constant(audio).sum()) == ((55 * 48, 80), np.float32, 0)
    assert (text.shape, text.dtype, constant(text).sum()) == ((1871, 512), np.float32, 0)
    data = train_small(tmp_path, "meld", cache, {"name": "natural", "min_size": 11}, IMPUTATION)
    assert np.diff(data.offsets).tolist() == [11, 11]  # Joshua has one too few
    assert {m: spec.kind for m, spec in data.dataset.modalities.items()} == {"audio": "sequence", "text": "sequence"}


def tweets(part, most=None):
    """The first real tweet of each event and class, as `crisismmd` takes them."""
    with (real("crisismmd") / AGREED.format(part)).open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    first = {(row["event_name"], row["label_image"]): tuple(row.values()) for row in reversed(rows)}
    return sorted(first.values())[:most]


def test_crisismmd(tmp_path):
    weights = real("mobilenetv2/mobilenetv2_1.0_224_int8.npz")
    rows = {"train": tweets("train"), "dev": tweets("dev", 5), "test": tweets("test", 5)}
    root, cache = crisismmd(tmp_path / "root", rows, folder="", name=AGREED), tmp_path / "cache"
    picture = spoil(root / rows["dev"][0][PICTURE])
    features = {
        "image": {"name": "mobilenet_v2", "weights": str(weights)},
        "text": {"name": "bert", "weights": "random", "take": "cls"},
    }
    assert outcome(prepared(Crisismmd, root, cache, features, labels="agreed")) == (44, [picture])
    image, text = read(cache, "x.image"), read(cache, "x.text")
    assert (image.shape, image.dtype, len(np.unique(image, axis=0))) == ((44, 1280), np.float32, 44)
    assert mostly_vary(image)
    assert (text.shape, text.dtype, constant(text).sum()) == ((44, 768), np.float32, 0)
    data = train_small(tmp_path, "crisismmd", cache, "natural")
    assert np.diff(data.offsets).tolist() == [5] * 7
    assert np.bincount(data.dataset.train.labels).tolist() == [7, 7, 0, 7, 7, 7]


def test_cub(tmp_path):
    captions = real("cub_captions/text_testclasses.txt").read_text(encoding="utf-8").splitlines()
    root, cache = cub(tmp_path / "root", captions), tmp_path / "cache"
    photo = spoil(root / "CUB_200_2011/images/002.Albatross/Bird_3.jpg")
    features = {"image": {"name": "raw", "size": 32, "format": "png"}, "text": {"name": "tokens", "min_count": 1}}
    assert outcome(prepared(Cub, root, cache, features, captions=4)) == (20, [photo])
    image = decoded(cache)
    assert (image.shape, constant(image[:, 0]).sum()) == ((20, 3, 32, 32), 0)
    caption = "the medium bird has a dark grey color , a black curved beak , and long wings ."
    assert words(cache, 0) == (caption, 62)
    cnn = {"image": {"name": "cnn", "channels": [4, 8]}}
    data = train_small(tmp_path, "cub", cache, {"name": "iid", "clients": 2}, IMPUTATION, encoders=cnn)
    assert np.diff(data.offsets).tolist() == [6, 6]
    assert {m: spec.kind for m, spec in data.dataset.modalities.items()} == {"image": "image", "text": "tokens"}


def test_openi(tmp_path):
    reports, root, cache = real("openi_reports"), tmp_path / "root", tmp_path / "cache"
    with (reports / "indiana_projections.csv").open(encoding="utf-8", newline="") as file:
        columns, *views = list(csv.reader(file))[:61]
    write_csv(root / "indiana_projections.csv", columns, views)
    (root / "indiana_reports.csv").symlink_to(reports / "indiana_reports.csv")
    for i, (_, name, _) in enumerate(views):
        draw(root / "images_normalized" / name, 4 * i)
    picture = spoil(root / "images_normalized" / views[0][1])
    features = {"image": {"name": "pixels", "size": 16}, "text": "tokens"}
    assert outcome(prepared(OpenI, root, cache, features)) == (29, [picture])
    image = read(cache, "x.image")
    assert (image.shape, image.dtype, constant(image).sum()) == ((29, 3, 16, 16), np.uint8, 0)
    findings = "borderline . . enlarged pulmonary . clear lungs . . no acute pulmonary findings ."
    assert words(cache, 0) == (findings, 76)
    data = train_small(tmp_path, "openi", cache, {"name": "groups", "clients": 3})
    assert np.diff(data.offsets).tolist() == [7, 7, 6]
    assert data.dataset.train.labels.sum(axis=0).tolist() == [9, 0, 2, 3, 0, 0, 0, 0, 1, 0, 1, 1, 0, 1]


def write_mimic_cxr(root, patients):
    """A study with one picture and one label for each patient; three of five are trained on."""
    parts = ("train", "train", "train", "validate", "test")
    some = [(f"d{i}", f"{10000000 + i}", f"{50000000 + i}", "PA", parts[i % 5]) for i in range(patients)]
    labelled = {study: {LABELS[i % 14]: "1.0"} for i, (_, _, study, *_) in enumerate(some)}
    return mimic_cxr(root, some, labelled, lambda study: f" FINDINGS: {next(iter(labelled[study]))}, {study}.\n")


def test_mimic_cxr(tmp_path):
    root, cache = write_mimic_cxr(tmp_path / "root", 15), tmp_path / "cache"
    picture = spoil(root / "files/p10/p10000000/s50000000/d0.jpg")
    features = {"image": {"name": "raw", "size": 32}, "text": {"name": "tokens", "min_count": 1}}
    assert outcome(prepared(MimicCxr, root, cache, features)) == (14, [picture])
    image = decoded(cache)
    assert (image.shape, constant(image).sum()) == ((14, 3, 32, 32), 0)
    assert words(cache, 0) == ("enlarged cardiomediastinum , 50000001 .", 27)
    data = train_small(tmp_path, "mimic_cxr", cache, {"name": "groups", "clients": 2}, IMPUTATION)
    assert np.diff(data.offsets).tolist() == [4, 4]


@pytest.fixture(scope="module")
def torchvision(request):
    return vision.torchvision(own_run=request.config.getoption("-m") == "vision")


@pytest.mark.vision
@pytest.mark.usefixtures("torchvision")
@pytest.mark.parametrize(("name", "dim"), [("mobilenet_v2", 1280), ("resnet50", 2048)])
def test_crisismmd_with_torchvision(tmp_path, name, dim):
    rows = {"train": tweets("train", 3), "dev": tweets("dev", 1), "test": tweets("test", 1)}
    root, cache = crisismmd(tmp_path / "root", rows, folder="", name=AGREED), tmp_path / "cache"
    picture = spoil(root / rows["train"][0][PICTURE])
    features = {"image": {"name": name, "weights": "random"}, "text": {"name": "tokens", "min_count": 1}}
    assert outcome(prepared(Crisismmd, root, cache, features, labels="agreed")) == (4, [picture])
    image = read(cache, "x.image")
    assert (image.shape, image.dtype, len(np.unique(image, axis=0))) == ((4, dim), np.float32, 4)
    assert mostly_vary(image)
    train_small(tmp_path, "crisismmd", cache, "natural")


@pytest.mark.vision
@pytest.mark.usefixtures("torchvision")
def test_fins_scenario_on_mimic_cxr(tmp_path):
    """The shipped file itself, with less of everything and random weights."""
    root, cache = write_mimic_cxr(tmp_path / "root", 10), tmp_path / "cache"
    features = {"image": {"name": "raw", "size": 64}, "text": {"name": "tokens", "min_count": 1}}
    assert outcome(prepared(MimicCxr, root, cache, features)) == (10, [])
    data = train(FIN, [
        f"dataset={{name: mimic_cxr, cache: {cache}}}", "partition.clients=2", "partition.groups_per_client=3",
        "missing.roles=[{modalities: [image], clients: 1}, {modalities: [image, text], clients: 1}]",
        "model.encoders={image: {name: resnet50, weights: random}, text: {name: bert, weights: random}}",
        "seeds=[0]", "grid={}", "method=feature_imputation", "federation.rounds=1", "federation.local_epochs=1",
        "numerics.stack=1", "numerics.device=cpu",
    ])  # fmt: skip
    assert data.mask.tolist() == [[True, False]] * 3 + [[True, True]] * 3
