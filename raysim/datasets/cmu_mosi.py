"""CMU-MOSI: the sentiment of spoken film reviews from text, audio and video features; a video is a client.

Zadeh et al., "MOSI", 2016; features of Poria et al., "Context-dependent sentiment analysis", ACL 2017: a convolutional
network's for text (100), averaged acoustic descriptors (73), a 3-D convolutional network's for video (100). The 62
videos of the training split and the 31 of the test split share no speaker; the majority class is 0.62 of the test
samples.
"""

from pathlib import Path
from typing import ClassVar

import numpy as np

from raysim.data.arrays import Standardize
from raysim.data.recipe import About, Index, Medium, Recipe
from raysim.data.table import table

MODALITIES = ("text", "audio", "video")


class CmuMosi(Recipe):
    """Vectors `text`, `audio` and `video`; two classes; 93 clients, of which 62 train."""

    class Options(Recipe.Options):
        """Features are standardised: audio values reach the hundreds."""

        standardize: Standardize = True

    about = About(
        home="https://github.com/soujanyaporia/contextual-utterance-level-multimodal-sentiment-analysis",
        terms="for research, with citation",
        layout=(
            "features.npz: text, audio, video (N, D), label and is_test (N,), from the repository's csv files",
            "utterances.csv: a row for each of the N utterances, with video_id",
        ),
    )
    features: ClassVar = dict.fromkeys(MODALITIES, ("keep",))

    @classmethod
    def index(cls, root: Path, settings: Recipe.Settings) -> Index:
        """All utterances in the order of the files."""
        videos = [row["video_id"] for row in table(cls.need(root, "utterances.csv"), {"video_id": None}, cls.error)]
        label, is_test, *features = cls.arrays(root, "features.npz", "label", "is_test", *MODALITIES)
        if len(label) != len(videos):
            raise cls.error(f"{root}: features.npz has {len(label)} utterances, utterances.csv {len(videos)}")
        return Index(
            media={m: Medium("array", list(x)) for m, x in zip(MODALITIES, features, strict=True)},
            labels=label.astype(np.int64),
            classes=("negative", "positive"),
            split=np.where(is_test, "test", "train"),
            clients=np.array(videos),
        )
