"""Log-mel filterbank energies (T, bands) of a recording, by librosa.

The defaults are those of FedMultimodal (Feng et al. 2023, section 4; its code calls them "mfcc"): 80 bands, windows of
25 ms every 10 ms, Hamming, 16 kHz, at most 1,000 frames.
"""

from collections.abc import Sequence
from functools import cache
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from raysim.data.dataset import Array
from raysim.data.extractor import Extractor
from raysim.data.media import Sound

FLOOR = 1e-10
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


@cache
def _filters(rate: int, size: int, bands: int) -> Array:
    import librosa

    return librosa.filters.mel(sr=rate, n_fft=size, n_mels=bands)


class LogMel(Extractor):
    """One frame a hop; a recording shorter than a window is padded to one frame."""

    class Options(Extractor.Options):
        """What may be chosen."""

        bands: Count = Field(default=80, description="Mel bands.")
        rate: Count | None = Field(default=16000, description="Sampling rate in Hz; null: the recording's own.")
        window_s: Seconds = Field(default=0.025, description="Length of a window, in seconds.")
        hop_s: Seconds = Field(default=0.01, description="From one window's begin to the next one's, in seconds.")
        max_frames: Count = Field(default=1000, description="What is longer is cut.")

    reads = "audio"
    requires: ClassVar = {"librosa": "audio", "soundfile": "audio"}

    def extract(self, media: Sequence[Any]) -> Sequence[Array]:
        """Natural logarithms of the bands' energies."""
        return [self.bands(sound) for sound in media]

    def bands(self, sound: Sound) -> Array:
        """(T, bands) float32."""
        import librosa

        o = self.options
        wave, rate = sound.wave, sound.rate
        if o.rate is not None and rate != o.rate:
            wave, rate = librosa.resample(wave, orig_sr=rate, target_sr=o.rate), o.rate
        window, hop = max(2, round(o.window_s * rate)), max(1, round(o.hop_s * rate))
        wave = wave[: window + (o.max_frames - 1) * hop]
        wave = np.pad(wave, (0, max(0, window - len(wave))))
        size = 1 << (window - 1).bit_length()
        frames = librosa.util.frame(wave, frame_length=window, hop_length=hop).T * np.hamming(window)
        power = np.abs(np.fft.rfft(frames, size)) ** 2
        mel = _filters(rate, size, o.bands)
        return np.log(np.maximum(power @ mel.T, FLOOR)).astype(np.float32)
