"""The speeds of a study's trials: measured here, one trial after another."""

from raysim.planning.outline import Ready
from raysim.planning.speed import Speed, measured, own_bytes

HERE = "here"


class Meter:
    """Measures in this process; made before anything is loaded.

    Args:
        machine: as `Speeds` has it.
    """

    def __init__(self, machine: str = HERE) -> None:
        self.machine, self.process_bytes, self._begun = machine, own_bytes(), False

    def of(self, ready: Ready) -> Speed:
        """Does a little of a trial's work.

        Raises:
            ClientFailure: the method's code raised.
        """
        if not self._begun:  # what libraries take when they are first used is every process's
            before, self._begun = own_bytes(), True
            measured(ready.job(), ready.info)
            self.process_bytes += max(own_bytes() - before, 0)
        return measured(ready.job(), ready.info)
