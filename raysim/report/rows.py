"""The clients' part of a round's record: a list of rows that travels by column, which costs a tenth."""

from collections.abc import Mapping, Sequence
from typing import Any

from raysim.data.dataset import Array


class ClientRows(list[dict[str, Any]]):
    """A row a client: `id`, `samples`, `steps`, `loss` by stage, maybe `offer`, `bytes_down`, `bytes_up`, `seconds_s`.

    Args:
        columns: name -> (R,), for all but `loss` and `offer`.
        losses: stage -> (R,); NaN where a client did not run it.
        offers: client -> name -> number, of those that said something.
    """

    def __init__(
        self, columns: Mapping[str, Array], losses: Mapping[str, Array], offers: Mapping[int, Mapping[str, float]]
    ) -> None:
        self._columns = columns, losses, offers
        names = ("id", "samples", "steps", "bytes_down", "bytes_up", "seconds_s")
        rows = zip(*(columns[n].tolist() for n in names), _by_row(losses, len(columns["id"])), strict=True)
        super().__init__(
            {
                "id": id_, "samples": samples, "steps": steps, "loss": loss,
                **({"offer": dict(offers[id_])} if id_ in offers else {}),
                "bytes_down": down, "bytes_up": up, "seconds_s": seconds,
            }
            for id_, samples, steps, down, up, seconds, loss in rows
        )  # fmt: skip

    def __reduce__(self) -> Any:
        return ClientRows, self._columns


def _by_row(losses: Mapping[str, Array], rows: int) -> Sequence[dict[str, float]]:
    found: list[dict[str, float]] = [{} for _ in range(rows)]
    for stage, column in losses.items():
        for row, value in zip(found, column.tolist(), strict=True):
            if value == value:  # not NaN
                row[stage] = value
    return found
