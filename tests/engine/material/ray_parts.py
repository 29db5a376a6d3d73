"""A partition, a missing pattern and augmentations of one's own."""

import numpy as np
import torch

from methods.zero_fill import ZeroFill
from raysim.method import Derive, Phase


class Keeps(ZeroFill):
    """Computes once for all rounds."""

    def phases(self, task):
        return (Phase("train", (self.task_stage(derive=Derive(self.columns, every="phase")),)),)

    def columns(self, nets, batch):
        return {"there": batch.present["image"]}


def by_size(samples, rng, clients: int = 4):
    """Clients one, two, three ... times as large as the first."""
    shares = np.arange(1, clients + 1)
    return np.split(rng.permutation(samples), (shares.cumsum()[:-1] * samples) // shares.sum())


def overlapping():
    """Wrong: clients share samples."""
    return [range(3), range(2, 5)]


class Late:
    """A modality that each client lacks in its first samples, by the class of the sample's own label."""

    def __init__(self, modality: str, share: float = 0.5):
        self.modality, self.share = modality, share

    def __call__(self, present, parts, labels, names, rng):
        mask, column = present.copy(), names.index(self.modality)
        for rows in parts:
            late = rows[: max(1, round(self.share * len(rows)))]
            mask[late, column] &= (labels[late] == 0) | (rng.random(len(late)) < 0.2)
        return mask


def jitter(x, noise, sigma: float = 0.1):
    """Some noise in all."""
    return x + sigma * noise("jitter", x.shape)


class Dimmed:
    """Less of a sequence's last valid step."""

    def __init__(self, least: float = 0.5):
        self.least = least

    def __call__(self, x, lengths, noise):
        factor = self.least + (1 - self.least) * noise("factor", (*lengths.shape, 1, 1), "uniform")
        last = torch.arange(x.shape[-2]) == lengths[..., None] - 1
        return torch.where(last[..., None], factor * x, x)


def first_client(x):
    """Wrong with a client axis."""
    return x - x[0]


def elsewhere(x):
    """Draws from torch's own numbers."""
    return x + torch.rand(x.shape)
