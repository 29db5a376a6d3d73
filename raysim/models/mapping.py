"""Networks between latent spaces, which know how well they do (FedRecon, section 4.4 and its code).

Shapes: K clients (may be absent).
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from raysim.models.layers import LayerNorm, Linear

WORST = 100.0
"""Larger errors of a mapping, as shares of the variance, are kept as this one: sums of what travels must stay exact."""


class LatentMapping(nn.Module):
    """From one latent space to another, (*K, ..., latent) both: three hidden layers (FedRecon's code).

    Its buffers tell how it does on pairs that clients hold back. They travel and are averaged with the weights.

    Attributes:
        held_back: (*K, 4), of the mapping as a client has trained it: the share of the clients that have measured it,
            and the sums over these of its error, of the class mean's, and of 1 for each client that finds it no better
            than the mean.
        progress: (*K, 4), of the mapping as it came: the share and the sum of errors likewise; the least mean error of
            all rounds before; for how many rounds it has not fallen.
    """

    client_axis = True
    held_back: Tensor
    progress: Tensor

    def __init__(self, latent: int, hidden: int = 512) -> None:
        super().__init__()
        parts: list[nn.Module] = []
        for before, after in pairwise([latent, hidden, hidden, hidden]):
            parts += [Linear(before, after), LayerNorm(after), nn.GELU()]
        self.net = nn.Sequential(*parts, Linear(hidden, latent))
        self.register_buffer("held_back", torch.zeros(4))
        self.register_buffer("progress", torch.zeros(4))

    def forward(self, z: Tensor) -> Tensor:
        """The vector to decode instead."""
        return self.net(z)

    def note(self, error: Tensor, class_mean: Tensor) -> None:
        """Keeps what a client has measured, (*K) each, as shares of the variance; nothing new where it is NaN."""
        new = torch.stack([torch.ones_like(error), error, class_mean, (error >= 1).to(error)], dim=-1)
        self.held_back.copy_(torch.where(error.isnan().unsqueeze(-1), self.held_back, new.clamp(max=WORST)))

    def stalled(self, error: Tensor) -> Tensor:
        """Keeps a client's error of the mapping as it came, (*K), NaN where it has none, as a share of the variance.

        All clients reckon alike from the mean over the clients of the round before, so that they agree.

        Returns:
            (*K): for how many rounds that mean has not fallen below what it was.
        """
        share, total, least, rounds = self.progress.unbind(-1)
        mean = total / torch.where(share > 0, share, 1.0)
        fallen = (share > 0) & ((least == 0) | (mean < least))
        rounds = torch.where(fallen, 0.0, torch.where(share > 0, rounds + 1, rounds))
        measured = ~error.isnan()
        new = (
            torch.where(measured, 1.0, share),
            torch.where(measured, error.nan_to_num().clamp(max=WORST), total),
            torch.where(fallen, mean, least),
            rounds,
        )
        self.progress.copy_(torch.stack(new, dim=-1))
        return rounds

    def useful(self) -> Tensor:
        """Whether it predicts better than the mean, as far as anybody has measured, (*K, 1) bool."""
        return (self.held_back[..., :1] == 0) | (self.held_back[..., 1:2] < self.held_back[..., :1])
