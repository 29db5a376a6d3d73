"""MELD: utterances in "Friends", sound and text, four emotions; 86 clients, each a speaker in a season.

Poria et al., "MELD: A Multimodal Multi-Party Dataset for Emotion Recognition in Conversations", ACL 2019; used as in
FedMultimodal (Feng et al., KDD 2023): neutral, sadness, joy and anger, official splits, and in each of these only
speakers with more than ten such utterances in a season. That leaves 7,318 training, 628 validation and 1,774 test
utterances.

The sound of an utterance is a .wav or .flac of the clip's name, beside the clip or in `waves/` (where FedMultimodal
puts it); without one it is taken from the film by `ffmpeg`. A clip without readable sound (dia125_utt3 of the training,
dia110_utt7 of the validation split) leaves its utterance out. Other clips in the folders are ignored.

Copies of the csv files differ in their quotation marks and dashes: some have single bytes of Windows-1252, or the
control characters of the same numbers (U+0080 to U+009F). Both become what they mean; the text is not changed further.

By default a speaker's sound is standardised by itself, in each split. (FedMultimodal means to do the same, but takes a
validation or test utterance's text for its speaker, and so standardises each of those utterances alone; `standardize:
{audio: fedmultimodal}` does that.)
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from raysim.data.arrays import Standardize
from raysim.data.dataset import DataError
from raysim.data.media import sound
from raysim.data.recipe import About, Index, Medium, Recipe, numbered
from raysim.data.table import Row, table

CLASSES = ("neutral", "sadness", "joy", "anger")
COLUMNS = {
    **dict.fromkeys(("Utterance", "Speaker", "Dialogue_ID", "Utterance_ID", "Season")),
    "Emotion": (*CLASSES, "surprise", "disgust", "fear"),
}
SPLITS = {
    "train": ("train", "train_splits"),
    "validation": ("dev", "dev_splits_complete"),
    "test": ("test", "output_repeated_splits_test"),
}
"""The prefix of a split's csv file, and the folder of its clips."""
WINDOWS_1252 = {
    code: bytes([code & 0xFF]).decode("cp1252", "ignore") for code in (*range(0x80, 0xA0), *range(0xDC80, 0xDD00))
}
"""Control characters and single bytes -> the characters that they stand for."""


class Utterance(NamedTuple):
    """What somebody says."""

    split: str
    client: str
    emotion: str
    text: str
    clip: Path


class Meld(Recipe):
    """Modalities `audio` and `text`; four classes; 86 training clients."""

    class Options(Recipe.Options):
        """Frames of audio are standardised by speaker."""

        standardize: Standardize = Field(default={"audio": "client"})

    class Settings(Recipe.Settings):
        """Whose utterances are used."""

        min_utterances: Annotated[
            int, Field(ge=1, description="Fewest of the four emotions that a speaker must have in a season of a split.")
        ] = 11

    about = About(
        home="https://affective-meld.github.io (MELD.Raw.tar.gz)",
        terms="annotations GPL-3.0; clips of a television series, for research",
        layout=(
            "{train,dev,test}_sent_emo.csv",
            "train_splits/diaD_uttU.{wav,flac,mp4}, dev_splits_complete/..., output_repeated_splits_test/...",
            "all of these in DIR, in MELD.Raw, or there in train, dev and test",
        ),
    )
    features: ClassVar = {"audio": ("log_mel", "mfcc"), "text": ("mobilebert", "bert", "tokens")}

    @classmethod
    def index(cls, root: Path, settings: Settings) -> Index:
        """The utterances in the order of the csv files."""
        home = root / "MELD.Raw" if (root / "MELD.Raw").is_dir() else root
        every = [u for split in SPLITS for u in cls._utterances(home, split, settings.min_utterances)]
        if not any(u.split == "train" for u in every):
            raise DataError(
                f"{home}: nobody has {settings.min_utterances} training utterances in a season; lower min_utterances"
            )
        return Index(
            media={
                "audio": Medium("audio", [u.clip for u in every], sound),
                "text": Medium("text", [u.text for u in every]),
            },
            labels=numbered([u.emotion for u in every], CLASSES),
            classes=CLASSES,
            split=np.array([u.split for u in every]),
            clients=np.array([u.client for u in every]),
        )

    @classmethod
    def _utterances(cls, home: Path, split: str, minimum: int) -> list[Utterance]:
        """Those of a split that have one of the four emotions and a speaker with enough of them."""
        part, folder = SPLITS[split]
        path = cls._find(home, part, f"{part}_sent_emo.csv")
        rows = table(path, COLUMNS, cls.error, repair=WINDOWS_1252)
        rows = [row for row in rows if row["Emotion"] in CLASSES]
        counts = Counter(map(_client, rows))
        place = cls._find(home, part, folder)
        clips = _clips(place)
        found: list[Utterance] = []
        for row in rows:
            name = f"dia{row['Dialogue_ID']}_utt{row['Utterance_ID']}"
            if counts[client := _client(row)] >= minimum:
                clip = clips.get(name, place / f"{name}.mp4")
                found.append(Utterance(split, client, row["Emotion"], row["Utterance"], clip))
        return found

    @classmethod
    def _find(cls, home: Path, part: str, name: str) -> Path:
        return home / part / name if (home / part / name).exists() else cls.need(home, name)


def _client(row: Row) -> str:
    """A speaker in a season. Names sort as FedMultimodal's do, which makes client numbers equal."""
    return f"season{row['Season']}_{row['Speaker']}"


def _clips(folder: Path) -> dict[str, Path]:
    """Name -> the file to take the sound from: .wav rather than .flac rather than .mp4."""
    suffixes = (".mp4", ".flac", ".wav")
    return {path.stem: path for s in suffixes for sub in ("", "waves/") for path in folder.glob(f"{sub}*{s}")}
