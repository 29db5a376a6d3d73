"""Beam search: the likeliest text by a network that says, word for word, what may follow.

A text is a row of indices, of which 0 begins, ends and pads.

Shapes: K clients (may be absent), B batch, T words, D features, V indices.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

NEVER = float("-inf")
State = tuple[Tensor, ...]
"""What a writer remembers of the words so far, each (*K, B, ., D)."""
Follow = Callable[[Tensor, State], tuple[Tensor, State]]
"""(words (*K, B, T), state) -> logits (*K, B, T, V) of what follows each, and the state after them."""


def search(follow: Follow, state: State, longest: int, beam: int, *, trigrams: bool) -> Tensor:
    """Beam search for likely texts; those that have ended keep their place. A beam of one takes the likeliest word.

    Args:
        follow: what comes next, for (*K, B beam) texts.
        state: for B rows before any word.
        longest: the most words; the end is not one.
        beam: how many texts are kept of each row.
        trigrams: whether no three words in a row may come twice.

    Returns:
        (*K, B, longest): the likeliest text, at least one word, then zeros.
    """
    rows = state[0].shape[:-2]
    state = tuple(s.repeat_interleave(beam, -3) for s in state)
    words = torch.zeros(*rows, beam, 0, dtype=torch.long, device=state[0].device)
    scores = torch.where(torch.arange(beam, device=words.device) == 0, 0.0, NEVER).expand(*rows, beam)
    last = words.new_zeros(*rows, beam)
    for _ in range(longest):
        logits, state = follow(last.flatten(-2).unsqueeze(-1), state)
        chances = torch.unflatten(logits[..., 0, :].float().log_softmax(-1), -2, (rows[-1], beam))
        chances = _allowed(chances, words, trigrams=trigrams)
        scores, best = (scores[..., None] + chances).flatten(-2).topk(beam)
        parents, last = best // chances.shape[-1], best % chances.shape[-1]
        words = torch.cat([words.take_along_dim(parents[..., None], -2), last[..., None]], -1)
        state = tuple(_reordered(s, parents) for s in state)
        if not last.any():
            break
    return F.pad(words[..., 0, :], (0, longest - words.shape[-1]))


def _allowed(chances: Tensor, words: Tensor, *, trigrams: bool) -> Tensor:
    """Log probabilities (*K, B, beam, V) after words (*K, B, beam, T): nothing is empty, and an end is the end."""
    end = torch.arange(chances.shape[-1], device=words.device) == 0
    if words.shape[-1] == 0:
        return torch.where(end, NEVER, chances)
    if trigrams:
        chances = torch.where(_third(words, chances.shape[-1]), NEVER, chances)
    return torch.where(words[..., -1:] == 0, torch.where(end, 0.0, NEVER), chances)


def _third(words: Tensor, indices: int) -> Tensor:
    """Which words have come after the last two before: words (..., T) -> (..., indices) bool."""
    again = (words[..., :-2] == words[..., -2:-1]) & (words[..., 1:-1] == words[..., -1:])
    counts = words.new_zeros(*words.shape[:-1], indices)
    return counts.scatter_add(-1, words[..., 2:], again.long()) > 0


def _reordered(state: Tensor, parents: Tensor) -> Tensor:
    """The texts (*K, B beam, ., D) that were gone on with, parents (*K, B, beam)."""
    apart = torch.unflatten(state, -3, parents.shape[-2:])
    return apart.take_along_dim(parents[..., None, None], -3).flatten(-4, -3)
