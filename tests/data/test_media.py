import os
import pickle

import numpy as np
import pytest
import soundfile
from PIL import Image

from raysim.data.media import Sound, Unreadable, image, sound


def noise(*shape):
    return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


@pytest.mark.parametrize(
    ("mode", "pixel", "rgb"),
    [
        ("RGB", (1, 2, 3), [1, 2, 3]),
        ("L", 9, [9, 9, 9]),
        ("RGBA", (1, 2, 3, 0), [1, 2, 3]),
        ("1", 1, [255, 255, 255]),
        ("P", 0, [0, 0, 0]),
    ],
)
def test_a_picture_is_rgb(tmp_path, mode, pixel, rgb):
    Image.new(mode, (3, 2), pixel).save(tmp_path / "a.png")
    found = image(tmp_path / "a.png")
    assert (found.mode, found.size) == ("RGB", (3, 2))
    assert np.asarray(found).tolist() == [[rgb] * 3] * 2


@pytest.mark.parametrize("suffix", ["png", "bmp", "jpg"])
def test_picture_files(tmp_path, suffix):
    pixels = noise(4, 5, 3)
    Image.fromarray(pixels).save(tmp_path / f"a.{suffix}")
    assert np.asarray(image(tmp_path / f"a.{suffix}")).shape == (4, 5, 3)
    if suffix != "jpg":
        assert np.array_equal(image(tmp_path / f"a.{suffix}"), pixels)


def half(path, write):
    write(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def picture(path):
    Image.fromarray(noise(64, 64, 3)).save(path)


def broken_png(path):
    picture(path)
    content = bytearray(path.read_bytes())
    content[200] ^= 255
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("a.png", lambda path: None, "missing"),
        ("a.png", lambda path: path.touch(), "no readable image: cannot identify image file"),
        ("a.png", lambda path: path.write_text("<html>404</html>"), "no readable image: cannot identify image file"),
        ("a.png", lambda path: path.mkdir(), "no readable image: "),
        ("a.png", lambda path: half(path, picture), "no readable image: image file is truncated"),
        ("a.jpg", lambda path: half(path, picture), "no readable image: image file is truncated"),
        ("a.png", broken_png, "no readable image: broken data stream when reading image file"),
    ],
    ids=["missing", "empty", "html", "folder", "half a png", "half a jpeg", "broken"],
)
def test_no_picture(tmp_path, name, spoil, reason):
    spoil(tmp_path / name)
    with pytest.raises(Unreadable) as caught:
        image(tmp_path / name)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_a_picture_that_would_fill_the_memory(tmp_path, monkeypatch):
    picture(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 64 // 3)
    with pytest.raises(Unreadable, match="no readable image: Image size"):
        image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_a_recording(tmp_path, suffix):
    wave = np.sin(np.arange(4000) / 20) / 2
    soundfile.write(tmp_path / f"a.{suffix}", wave, 8000)
    found = sound(tmp_path / f"a.{suffix}")
    assert (found.wave.shape, found.wave.dtype, found.rate) == ((4000,), np.float32, 8000)
    assert np.abs(found.wave - wave).max() < (0.05 if suffix == "ogg" else 1e-4)


def test_channels_are_mixed(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.array([[0.5, 0.25], [0.5, -0.5], [-1, 0]]), 16000, subtype="FLOAT")
    assert sound(tmp_path / "a.wav").wave.tolist() == [0.375, 0, -0.5]


def recording(path):
    soundfile.write(path, np.ones(4000), 8000)


@pytest.mark.parametrize(
    ("name", "spoil", "reason"),
    [
        ("a.wav", lambda path: None, "missing"),
        ("a.wav", lambda path: path.mkdir(), "missing"),
        ("a.wav", lambda path: path.touch(), "no readable audio: "),
        ("a.wav", lambda path: path.write_text("<html>404</html>"), "no readable audio: "),
        ("a.flac", lambda path: path.write_bytes(b"fLaC" + bytes(40)), "no readable audio: "),
        ("a.wav", lambda path: soundfile.write(path, np.zeros(0), 8000), "no sound in it"),
        ("a.mp4", lambda path: None, "missing"),
    ],
    ids=["missing", "folder", "empty", "html", "broken", "nothing", "no film"],
)
def test_no_recording(tmp_path, name, spoil, reason):
    spoil(tmp_path / name)
    with pytest.raises(Unreadable) as caught:
        sound(tmp_path / name)
    assert str(caught.value).startswith(reason)
    assert "\n" not in str(caught.value)


def test_half_a_wav_is_what_there_is_of_it(tmp_path):
    half(tmp_path / "a.wav", recording)
    assert 1900 < len(sound(tmp_path / "a.wav").wave) < 2000


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "MP4"])
def test_a_film_without_ffmpeg(tmp_path, monkeypatch, suffix):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / f"a.{suffix}").write_bytes(b"film")
    with pytest.raises(Unreadable, match=r"^a film needs ffmpeg on the path, or a \.wav of the same name beside it$"):
        sound(tmp_path / f"a.{suffix}")


def program(folder, text):
    (folder / "ffmpeg").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "ffmpeg").chmod(0o755)


def test_a_film_is_read_through_ffmpeg(tmp_path, monkeypatch):
    """The stand-in takes what follows -i for a .wav, in whose header there are no sizes: they are unknown in a pipe."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program(tmp_path, '[ "$1 $2 $3 $5 $6 $7 $8" = "-v error -i -vn -f wav -" ] && cat "$4"')
    recording(tmp_path / "a.wav")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    size = content.index(b"data") + 4
    content[4:8] = content[size : size + 4] = b"\xff" * 4
    (tmp_path / "a.mp4").write_bytes(content)
    found = sound(tmp_path / "a.mp4")
    assert (found.wave.shape, found.rate) == ((4000,), 8000)


@pytest.mark.parametrize(
    ("script", "reason"),
    [("echo first >&2; echo 'moov atom not found' >&2; exit 1", "ffmpeg: "), ("exit 0", "no readable audio: ")],
)
def test_a_film_that_ffmpeg_cannot_read(tmp_path, monkeypatch, script, reason):
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    program(tmp_path, script)
    (tmp_path / "a.mp4").write_bytes(b"film")
    with pytest.raises(Unreadable) as caught:
        sound(tmp_path / "a.mp4")
    assert str(caught.value).startswith(reason)
    assert "first" not in str(caught.value)


def test_a_sound_can_be_sent():
    sent = pickle.loads(pickle.dumps(Sound(np.ones(2, np.float32), 8000)))
    assert (sent.wave.tolist(), sent.rate) == ([1, 1], 8000)
