"""What tells how well a generator decodes each modality from itself and from each other one.

Shapes: K clients (may be absent), B batch.
"""

from itertools import permutations, product

from torch import Tensor

from raysim.generators.base import Generator, decoder_of
from raysim.method import Batch, Nets
from raysim.models.mapping import LatentMapping
from raysim.models.reconstruction import HELD_BACK, error_sums


def reconstruction_sums(generator: Generator, nets: Nets, batch: Batch) -> dict[tuple[str, ...], Tensor]:
    """What slices of samples add up for `raysim.models.reconstruction.shares`; of mappings also what was held back."""
    found, targets = dict[tuple[str, ...], Tensor](), generator.targets(nets, batch)
    posteriors = {m: generator.posterior(nets, batch, (m,)) for m in targets}
    for s, t in product(targets, repeat=2):
        made = generator.decode(nets, posteriors[s].mean(), t).squeeze(batch.rows.dim())
        divergence = generator.divergence(nets, batch, posteriors[t], t)
        rows, decoder = batch.rows & batch.all_present(s, t), decoder_of(nets, t)
        found |= error_sums(decoder, made, decoder.expected(targets[t]), divergence, rows, (s, t))
    for s, t in permutations(batch.present, 2):
        net = nets.get(f"map.{s}_{t}")
        if isinstance(net, LatentMapping):
            found[s, t, HELD_BACK] = net.held_back
    return found
