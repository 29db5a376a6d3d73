"""Official layouts of datasets as tests write them, with small pictures and short sounds, and their preparation."""

import csv
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from raysim.cli.data import extractor
from raysim.data.chest import LABELS
from raysim.data.extraction import here
from raysim.data.extractor import Extractor
from raysim.data.prepare import prepare

LENGTH = "layouts:Length"


class Length(Extractor):
    """The number of characters."""

    reads = "text"

    def extract(self, media):
        return [np.array([len(text)], dtype=np.float32) for text in media]


def prepared(recipe, root, cache, features=None, **settings):
    """What `raysim data prepare` does, in this process; `features` are those of --features."""
    wishes = {m: choices[0] for m, choices in recipe.features.items()} | (features or {})
    extractors = {m: extractor(m, wish) for m, wish in wishes.items()}
    return prepare(
        recipe, root, cache, settings=recipe.Settings(**settings), extractors=extractors, mapper=here,
        progress=lambda *_: None,
    )  # fmt: skip


def draw(path, color=0, size=(4, 4), **options):
    """A picture of one colour, or of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L" if isinstance(color, int) else "RGB", size, color).save(path, **options)


def write_csv(path, columns, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


MELD = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
"""The folder of each part's clips."""
UTTERANCES = (
    "Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
    "StartTime", "EndTime",
)  # fmt: skip


def write_utterances(path, rows):
    """Of (text, speaker, emotion, dialogue, utterance, season)."""
    write_csv(path, UTTERANCES, [(1, text, who, e, "positive", d, u, s, 1, 0, 1) for text, who, e, d, u, s in rows])


def meld(root, rows, *, csv_in="", clips_in="", suffix=".wav"):
    """MELD.Raw: by part, rows as above; a clip is half a second of noise at 16 kHz, each louder than the one before."""
    rng = np.random.default_rng(0)
    for part, folder in MELD.items():
        write_utterances(root / csv_in.format(part) / f"{part}_sent_emo.csv", rows[part])
        place = root / clips_in.format(part) / folder
        place.mkdir(parents=True)
        for number, (*_, dialogue, utterance, _) in enumerate(rows[part], start=1):
            wave = number / (len(rows[part]) + 1) * rng.uniform(-1, 1, 8000)
            soundfile.write(place / f"dia{dialogue}_utt{utterance}{suffix}", wave, 16000)
        (place / "._dia0_utt0.mp4").write_bytes(b"")
        (place / "final_videos_testdia0_utt0.mp4").write_bytes(b"")
    return root


TWEETS = (
    "event_name", "tweet_id", "image_id", "tweet_text", "image", "label", "label_text", "label_image",
    "label_text_image",
)  # fmt: skip
ALL, AGREED = "task_humanitarian_text_img_{}.tsv", "task_humanitarian_text_img_agreed_lab_{}.tsv"


def write_tweets(path, rows, columns=TWEETS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(row) + "\n" for row in (columns, *rows)), encoding="utf-8")


def crisismmd(root, rows, *, within="", folder="crisismmd_datasplit_all", name=ALL):
    """By part (train, dev, test), rows; pictures of 12 to 14 by 10 pixels, each darker than the one before."""
    home = root / within
    for part, some in rows.items():
        write_tweets(home / folder / name.format(part), some)
    every = [row for some in rows.values() for row in some]
    step = min(20, 250 // len(every))
    for i, row in enumerate(every):
        draw(home / row[TWEETS.index("image")], (250 - step * i,) * 3, (12 + i % 3, 10))
    return root


CUB = {
    "classes.txt": ("1 001.Black_footed_Albatross", "2 002.Laysan_Albatross"),
    "images.txt": tuple(f"{i} 00{1 + i % 2}.Albatross/Bird_{i}.jpg" for i in range(1, 7)),
    "image_class_labels.txt": tuple(f"{i} {1 + i % 2}" for i in range(1, 7)),
    "train_test_split.txt": ("1 1", "2 1", "3 0", "4 1", "5 0", "6 1"),
}


def cub(root, captions, folder="text_c10"):
    """Six photographs, 2 to test with, ten captions each; a class has the odd ones, the other the even ones."""
    lists = root / "CUB_200_2011"
    lists.mkdir(parents=True)
    for name, lines in CUB.items():
        (lists / name).write_text("".join(f"{line}\n" for line in lines))
    for photo in range(1, 7):
        name = Path(f"00{1 + photo % 2}.Albatross", f"Bird_{photo}.jpg")
        draw(lists / "images" / name, (40 * photo, 0, 0), (80, 100), quality=95)
        path = root / folder / name.with_suffix(".txt")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(captions[10 * photo - 10 : 10 * photo]), encoding="utf-8")
    return root


MIMIC_CXR = {
    "split": ("dicom_id", "study_id", "subject_id", "split"),
    "metadata": ("dicom_id", "subject_id", "study_id", "ViewPosition"),
    "chexpert": ("subject_id", "study_id", *sorted(LABELS)),
}
REPORTS = "mimic-cxr-reports/files"


def write_studies(root, pictures, labelled):
    """Tables of pictures (name, patient, study, view, split), and of studies: their cells by label."""
    rows = {
        "split": [(d, s, p, split) for d, p, s, _, split in pictures],
        "metadata": [(d, p, s, view) for d, p, s, view, _ in pictures],
        "chexpert": [("1", s, *(cells.get(name, "") for name in sorted(LABELS))) for s, cells in labelled.items()],
    }
    for name, columns in MIMIC_CXR.items():
        write_csv(root / f"mimic-cxr-2.0.0-{name}.csv", columns, rows[name])


def mimic_cxr(root, pictures, labelled, report, reports=REPORTS):
    """As above, with the files: pictures each lighter than the one before, and `report(study)`."""
    write_studies(root, pictures, labelled)
    step = min(30, 250 // len(pictures))
    for i, (dicom, patient, study, *_) in enumerate(pictures):
        folder = f"p{patient[:2]}/p{patient}"
        draw(root / "files" / folder / f"s{study}" / f"{dicom}.jpg", step * i)
        path = root / reports / folder / f"s{study}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report(study))
    return root
