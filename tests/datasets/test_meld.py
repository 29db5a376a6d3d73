import csv
from pathlib import Path

import layouts
import numpy as np
import pytest
from layouts import LENGTH, MELD, meld, write_utterances

from raysim import registry
from raysim.data.dataset import DataError
from raysim.datasets.meld import Meld

REAL = Path(__file__).parents[2] / "../shared/data/meld"
ROWS = (
    ("Hi!", "Ross", "joy", 0, 0, 1),
    ("Well, hello", "Rachel", "neutral", 0, 1, 1),
    ("What?", "Ross", "surprise", 0, 2, 1),
    ("No.", "Ross", "anger", 0, 3, 1),
    ("Oh no…", "Rachel", "sadness", 1, 0, 1),
    ("I know", "Ross", "joy", 1, 1, 2),
)
"""Text, speaker, emotion, dialogue, utterance, season. In season 2 Ross has one utterance only."""
WAY_OUT = (
    "; get meld from https://affective-meld.github.io (MELD.Raw.tar.gz) "
    "(annotations GPL-3.0; clips of a television series, for research)"
)


def official(root, **layout):
    """The three splits of MELD.Raw, each with the same six utterances."""
    return meld(root, dict.fromkeys(MELD, ROWS), **layout)


def index(root, least=2):
    return Meld.index(root, Meld.Settings(min_utterances=least))


def prepared(root, folder):
    return layouts.prepared(Meld, root, folder, {"text": LENGTH}, min_utterances=2)


def load(folder, **options):
    return Meld(registry.options(Meld, {"cache": str(folder), **options})).load()


@pytest.fixture
def real(tmp_path):
    """The real csv files, beside empty folders of clips."""
    if not REAL.is_dir():
        pytest.skip("needs ../shared/data/meld beside the repository: MELD's csv files")
    for part, folder in MELD.items():
        (tmp_path / f"{part}_sent_emo.csv").symlink_to((REAL / f"{part}_sent_emo.csv").resolve())
        (tmp_path / folder).mkdir()
    return tmp_path


def test_the_real_files_have_fedmultimodals_counts(real):
    found = Meld.index(real, Meld.Settings())
    assert list(found.media) == ["audio", "text"]
    assert found.classes == ("neutral", "sadness", "joy", "anger")
    counts = {s: np.bincount(found.labels[found.split == s]).tolist() for s in ("train", "validation", "test")}
    assert counts == {
        "train": [4122, 628, 1554, 1014],
        "validation": [324, 77, 104, 123],
        "test": [968, 175, 330, 301],
    }
    assert {s: len(set(found.clients[found.split == s])) for s in counts} == {"train": 86, "validation": 30, "test": 46}
    sizes = np.unique(found.clients[found.split == "train"], return_counts=True)[1]
    assert (sizes.min(), np.median(sizes), sizes.max()) == (11, 62.5, 223)


def test_every_utterance_has_the_client_that_fedmultimodal_gives_it(real):
    found = Meld.index(real, Meld.Settings())
    ranks = {name: str(i) for i, name in enumerate(np.unique(found.clients[found.split == "train"]))}
    columns = zip(found.split, found.clients, found.media["audio"].items, found.labels, strict=True)
    ours = sorted(
        (s.replace("validation", "dev"), ranks[c] if s == "train" else "", c.replace("_", "_utt", 1), p.stem, str(y))
        for s, c, p, y in columns
    )
    with (REAL / "fedmultimodal_partition.csv").open(encoding="utf-8", newline="") as file:
        theirs = sorted(
            (s, number, client, f"dia{dialogue}_utt{utterance}", label)
            for s, number, client, dialogue, utterance, label in list(csv.reader(file))[1:]
        )
    assert len(ours) == 9720
    assert ours == theirs


def test_real_texts_are_not_changed(real):
    items = Meld.index(real, Meld.Settings(min_utterances=1)).media["text"].items
    with (REAL / "train_sent_emo.csv").open(encoding="utf-8", newline="") as file:
        rows = [r["Utterance"] for r in csv.DictReader(file) if r["Emotion"] in ("neutral", "sadness", "joy", "anger")]
    assert (len(rows), items[:8245]) == (8245, rows)


def test_a_folder_becomes_a_dataset(tmp_path):
    done = prepared(official(tmp_path / "raw"), tmp_path / "cache")
    assert (done.samples, done.skipped) == (12, ())
    data = load(tmp_path / "cache", standardize=False)
    assert {m: (s.kind, s.shape) for m, s in data.modalities.items()} == {
        "audio": ("sequence", (48, 80)), "text": ("vector", (1,)),
    }  # fmt: skip
    assert data.client_names == ("season1_Rachel", "season1_Ross")
    for split in (data.train, data.validation, data.test):
        assert split.labels.tolist() == [2, 0, 3, 1]
        assert split.clients.tolist() == [1, 0, 1, 0]
        assert split.inputs["text"][:].tolist() == [[3], [11], [3], [6]]
        assert split.inputs["audio"].lengths.tolist() == [48, 48, 48, 48]
    levels = data.train.inputs["audio"].padded(48).mean(axis=(1, 2))
    assert (np.diff(levels) > 0).all()


def test_a_speakers_sound_is_standardised_by_itself(tmp_path):
    prepared(official(tmp_path / "raw"), tmp_path / "cache")
    data = load(tmp_path / "cache")
    for split in (data.train, data.validation, data.test):
        for client in (0, 1):
            frames = split.inputs["audio"][split.clients == client].padded(48).reshape(-1, 80)
            np.testing.assert_allclose(frames.mean(axis=0), 0, atol=1e-5)
            np.testing.assert_allclose(frames.std(axis=0), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("csv_in", "clips_in", "suffix"),
    [
        ("", "", ".flac"),
        ("MELD.Raw", "MELD.Raw", ".wav"),
        ("MELD.Raw/{}", "MELD.Raw/{}", ".wav"),
        ("MELD.Raw", "MELD.Raw/{}", ".wav"),
    ],
)
def test_layouts_of_the_archives(tmp_path, csv_in, clips_in, suffix):
    root = official(tmp_path, csv_in=csv_in, clips_in=clips_in, suffix=suffix)
    clips = index(root).media["audio"].items
    assert len(clips) == 12
    assert clips[0] == root / clips_in.format("train") / "train_splits" / f"dia0_utt0{suffix}"
    assert all(clip.is_file() for clip in clips)


def test_which_file_of_a_clip_is_taken(tmp_path):
    folder = official(tmp_path) / "train_splits"
    (folder / "waves").mkdir()
    for name in ("dia0_utt0.mp4", "dia0_utt0.flac", "dia0_utt1.mp4", "dia0_utt3.mp4", "dia0_utt3.flac"):
        (folder / name).touch()
    (folder / "dia0_utt1.wav").rename(folder / "waves/dia0_utt1.wav")
    for name in ("dia0_utt3.wav", "dia1_utt0.wav"):
        (folder / name).unlink()
    clips = index(tmp_path).media["audio"].items[:4]
    assert [str(clip.relative_to(folder)) for clip in clips] == [
        "dia0_utt0.wav", "waves/dia0_utt1.wav", "dia0_utt3.flac", "dia1_utt0.mp4",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (b"it\x92s \x93caf\xe9\x94", "it\u2019s “café”"),
        ("it\x92s \x85".encode(), "it\u2019s …"),
        ("it\u2019s café …".encode(), "it\u2019s café …"),
        (b"a\x81b", "ab"),
    ],
)
def test_text_in_windows_1252_is_repaired(tmp_path, written, text):
    path = official(tmp_path) / "train_sent_emo.csv"
    path.write_bytes(path.read_bytes().replace(b"Hi!", written))
    assert index(tmp_path).media["text"].items[0] == text


def test_a_corrupt_clip_is_skipped(tmp_path):
    clip = official(tmp_path / "raw") / "train_splits/dia0_utt3.wav"
    clip.write_bytes(b"RIFF")
    done = prepared(tmp_path / "raw", tmp_path / "cache")
    assert done.samples == 11
    assert [line.partition(": no readable audio")[0] for line in done.skipped] == [f"audio: {clip}"]
    assert load(tmp_path / "cache").train.inputs["text"][:].tolist() == [[3], [11], [6]]


def test_without_clips_one_line_says_where_to_get_them(tmp_path):
    for part, folder in MELD.items():
        (tmp_path / folder).mkdir()
        write_utterances(tmp_path / f"{part}_sent_emo.csv", ROWS)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, tmp_path / "cache")
    some = tmp_path / "train_splits/dia0_utt0.mp4"
    assert str(caught.value) == f"12 of 12 files of 'audio' are missing, such as {some}{WAY_OUT}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: (r / "dev_sent_emo.csv").unlink(), "dev_sent_emo.csv does not exist"),
        (lambda r: (r / "test_sent_emo.csv").write_text("No,Utterance\n"), "test_sent_emo.csv has no column Speaker"),
        (lambda r: (r / "train_sent_emo.csv").write_text("Utterance,Speaker,emotion,Dialogue_ID,Utterance_ID,Season\n"),
         "train_sent_emo.csv has no column Emotion"),
        (lambda r: write_utterances(r / "train_sent_emo.csv", [("Hi!", "Ross", "glee", 0, 0, 1)]),
         "train_sent_emo.csv:2: Emotion is 'glee', not one of: neutral, sadness, joy, anger, surprise, disgust, fear"),
        (lambda r: write_utterances(r / "train_sent_emo.csv", []), "train_sent_emo.csv has no rows"),
        (lambda r: (r / "train_splits").rename(r / "clips"), "train_splits does not exist"),
    ],
)  # fmt: skip
def test_what_is_missing_or_malformed(tmp_path, change, message):
    change(official(tmp_path))
    with pytest.raises(DataError) as caught:
        index(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}/{message}")
    assert str(caught.value).endswith(WAY_OUT)


def test_a_minimum_that_nobody_reaches(tmp_path):
    with pytest.raises(DataError) as caught:
        index(official(tmp_path), least=3)
    assert str(caught.value) == f"{tmp_path}: nobody has 3 training utterances in a season; lower min_utterances"
