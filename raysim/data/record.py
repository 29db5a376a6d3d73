"""What a trial's `partition.npz` says: who has which training samples, and with which modalities.

| key | shape | meaning |
|---|---|---|
| `rows` | (R,) integers | training samples, numbered from 0 in the order of the data; client after client |
| `client` | (R,) integers | the client that each belongs to, from 0 |
| `trained` | (R,) booleans | False: public, kept, without a label or without a modality, so nobody trains on it |
| `held.validation`, `held.test` | (R,) booleans | which clients keep, to be judged by; absent where none are |
| `present.<modality>` | (R,) booleans | what the scenario leaves of each; in some round where that changes |
| `observed.<modality>` | (R,) booleans | what the method makes of that, where it makes anything else of it |
| `validation.<modality>`, `test.<modality>` | (N of that split,) booleans | what the scenario leaves of these samples |
| `scored.validation`, `scored.test` | (N of that split,) booleans | which of them count; absent where all do |
| `ids` | (K,) text | the clients' own ids, where they have any |
| `natural` | (R,) integers | the natural client of each sample, where the data has any |
| `natural_names` | (G,) text | what these are called, where they have names |
| `public` | (P,) integers | the training samples that the server keeps, where it has some |
| `samples` | one integer | N, all training samples of the data |

Hidden parts and feature noise are not in it: they follow from the scenario and the seed. Nothing in it is pickled.
`partition: {name: file}` and `missing: {name: file}` read it (`data/stored.py`).
Shapes: N training samples, R of them that clients have, K clients, G natural clients, P public samples.
"""

import numpy as np

from raysim.data.dataset import Array
from raysim.data.federated import Federated
from raysim.data.partition import joined, sizes_of


def table(data: Federated) -> dict[str, Array]:
    """The arrays of `partition.npz`, by key."""
    deal, names, train = data.deal, data.dataset.names, data.dataset.train
    assert deal is not None, "only what federate returns knows how it was dealt"
    rows = joined(deal.parts)
    trained = np.zeros(len(train), dtype=bool)
    trained[data.rows[: data.offsets[data.clients]]] = True
    found: dict[str, Array] = {
        "samples": np.array(len(train)),
        "rows": _short(rows),
        "client": _short(np.repeat(np.arange(data.clients), sizes_of(deal.parts))),
        "trained": trained[rows],
    }
    found |= {f"present.{m}": deal.left[rows, i] for i, m in enumerate(names)}
    if (data.mask != deal.left)[trained].any():
        found |= {f"observed.{m}": data.mask[rows, i] for i, m in enumerate(names)}
    found |= {f"held.{split}": held[rows] for split, held in deal.held.items()}
    for split, mask in deal.views.items():
        found |= {f"{split}.{m}": mask[:, i] for i, m in enumerate(names)}
        if (scored := data.views[split].scored) is not None:
            found[f"scored.{split}"] = scored
    if deal.ids is not None:
        found["ids"] = deal.ids.astype(str)
    if train.clients is not None:
        found["natural"] = _short(train.clients[rows])
        found |= {"natural_names": np.array(data.dataset.client_names)} if data.dataset.client_names else {}
    if data.public:
        found["public"] = _short(data.part(data.clients))
    return found


def _short(numbers: Array) -> Array:
    """In four bytes each where they fit."""
    return numbers.astype(np.int32) if numbers.max(initial=0) < 2**31 else numbers
