"""Training labels that are wrong or missing.

FedMultimodal (Feng et al. 2023, section 3.3): a client's labels are replaced by a transition matrix of its own, and
samples without a label are left out. Validation and test labels are never touched.

Shapes: N samples, C classes.
"""

import numpy as np
from numpy.typing import NDArray

from raysim.data import fedmultimodal
from raysim.data.dataset import Array
from raysim.data.partition import Parts
from raysim.scenario.clients import Labels
from raysim.scenario.schema import Compat
from raysim.seeding import stream


def noisy(labels: Array, parts: Parts, classes: int, spec: Labels, seed: int, compat: Compat) -> Array:
    """The labels as the clients have them; a copy where there is noise.

    A class becomes another with probability `noise`, by a matrix of the client's own in which a share `sparsity` of a
    row's other classes never comes; the remaining ones are alike. Of several labels a sample each flips with that
    probability.

    Args:
        labels: (N,) or (N, C).
        parts: each client's rows.
        classes: C.
        spec: the scenario's `labels` section.
        seed: the trial's.
        compat: whose draws are reproduced.

    Raises:
        DataError: the benchmark's draws fail.
    """
    if not spec.noise:
        return labels
    found = labels.copy()
    for client, rows in enumerate(parts):
        if compat and labels.ndim == 1:
            found[rows] = fedmultimodal.replacements(client, classes, spec.noise)[labels[rows]]
            continue
        draws = stream(seed, "labels", "noise", client).random(found[rows].shape)
        if labels.ndim == 2:
            found[rows] = np.where(draws < spec.noise, 1 - labels[rows], labels[rows])
        else:
            chances = transitions(client, classes, spec, seed).cumsum(axis=1)[labels[rows]]
            found[rows] = np.minimum((draws[:, None] >= chances).sum(axis=1), classes - 1)
    return found


def transitions(client: int, classes: int, spec: Labels, seed: int) -> NDArray[np.float64]:
    """(C, C): a client's chances of each class to become each other one."""
    rng, others = stream(seed, "labels", "matrix", client), classes - 1
    open_ = others - min(round(spec.sparsity * others), others - 1)
    matrix = np.eye(classes) * (1 - spec.noise)
    for label in range(classes):
        targets = rng.permutation(np.delete(np.arange(classes), label))[:open_]
        matrix[label, targets] = spec.noise / open_
    return matrix


def labelled(parts: Parts, spec: Labels, seed: int, compat: Compat) -> Parts:
    """Each client's rows without those that have no label."""
    if not spec.missing:
        return parts
    return [rows[~_unlabelled(client, len(rows), spec, seed, compat)] for client, rows in enumerate(parts)]


def _unlabelled(client: int, samples: int, spec: Labels, seed: int, compat: Compat) -> NDArray[np.bool_]:
    if compat:
        return fedmultimodal.unlabelled(client, samples, spec.missing)
    return stream(seed, "labels", "missing", client).random(samples) < spec.missing
