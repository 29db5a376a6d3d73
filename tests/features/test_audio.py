import librosa
import numpy as np
import pytest

from raysim.data.media import Sound


def tone(hertz, rate=16000, seconds=0.5):
    return Sound((0.5 * np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)).astype(np.float32), rate)


@pytest.mark.parametrize(
    ("samples", "frames"), [(1, 1), (399, 1), (400, 1), (559, 1), (560, 2), (16000, 98), (160400, 1001), (161000, 1004)]
)
def test_frames(make, samples, frames):
    sound = Sound(np.ones(samples, np.float32), 16000)
    (found,) = make("log_mel", max_frames=2000).extract([sound])
    assert (found.shape, found.dtype) == ((frames, 80), np.float32)
    assert make("log_mel").extract([sound])[0].shape == (min(frames, 1000), 80)
    assert make("mfcc").extract([sound])[0].shape == (min(frames, 1000), 20)


def test_what_is_cut_leaves_the_rest_as_it_is(make):
    sound = Sound(np.random.default_rng(0).standard_normal(8000).astype(np.float32), 16000)
    (all_of_it,), (cut,) = make("log_mel").extract([sound]), make("log_mel", max_frames=5).extract([sound])
    assert np.array_equal(cut, all_of_it[:5])


@pytest.mark.parametrize(("hertz", "band"), [(200, 4), (440, 11), (1000, 26), (3000, 54), (6600, 75)])
def test_a_tone_peaks_in_its_band(make, hertz, band):
    """Band b of 80 is centred on point b + 1 of 82 that are equally far apart in mels from 0 to 8,000 Hz."""
    centres = librosa.mel_frequencies(82, fmin=0, fmax=8000)[1:-1]
    assert np.abs(centres - hertz).argmin() == band
    (found,) = make("log_mel").extract([tone(hertz)])
    assert set(found.argmax(axis=1).tolist()) == {band}


def test_energies_are_natural_logarithms_with_a_floor(make):
    quiet, loud = make("log_mel").extract([tone(1000), Sound(tone(1000).wave * 2, 16000)])
    assert (loud - quiet)[:, 26].tolist() == pytest.approx([np.log(4)] * len(quiet), abs=1e-4)
    (silence,) = make("log_mel").extract([Sound(np.zeros(800, np.float32), 16000)])
    assert np.unique(silence).tolist() == [pytest.approx(np.log(1e-10))]


def test_a_recording_is_resampled(make):
    found, wanted = make("log_mel").extract([tone(1000, rate=44100), tone(1000)])
    assert found.shape == wanted.shape == (48, 80)
    assert np.abs(found - wanted)[5:-5, 26].max() < 0.01
    assert set(found.argmax(axis=1).tolist()) == {26}


def test_without_a_rate_the_recordings_own_is_taken(make):
    (found,) = make("log_mel", rate=None).extract([tone(1500, rate=8000)])
    assert found.shape == (48, 80)
    assert set(found.argmax(axis=1).tolist()) == {47}


def test_windows_and_bands(make):
    (found,) = make("log_mel", rate=8000, bands=40, window_s=0.05, hop_s=0.1).extract([tone(1000, rate=8000)])
    assert found.shape == (5, 40)


def test_cepstra_are_a_cosine_transform_of_decibels(make):
    bands, cepstra = (
        make(name, **o).extract([tone(440)])[0] for name, o in (("log_mel", {}), ("mfcc", {"coefficients": 13}))
    )
    decibels = 10 * np.log10(np.exp(bands.astype(np.float64)))
    angles = np.pi / 80 * np.outer(np.arange(80) + 0.5, np.arange(13))
    scale = np.where(np.arange(13) == 0, np.sqrt(1 / 80), np.sqrt(2 / 80))
    assert cepstra.dtype == np.float32
    np.testing.assert_allclose(cepstra, decibels @ np.cos(angles) * scale, atol=1e-3)


@pytest.mark.parametrize("name", ["log_mel", "mfcc"])
def test_recordings_are_extracted_one_by_one(make, name):
    extractor, sounds = make(name), [tone(300), tone(500, seconds=0.1), tone(700, rate=8000)]
    together = extractor.extract(sounds)
    assert [extractor.extract([s])[0].tobytes() for s in sounds] == [f.tobytes() for f in together]
