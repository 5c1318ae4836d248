"""How long a query may run at a stretch, and in all.

Promise: a query asks `is_due` at every row; it is told to pause after `SLICE_S`, so that a long one
keeps nobody else waiting, and ends with Memgraph's own sentence after its time (MEMGRAPH 5).
The one thing a newcomer gets wrong: the clock is looked at once in `ROWS_A_LOOK` rows.
"""

import time
from collections.abc import Callable

from controller.sandbox.memgraph.failures import TransientFailure

SLICE_S = 0.005  # far below the second in which a replica's ping must be answered
ROWS_A_LOOK = 64  # a row costs about a microsecond, a look at the clock a tenth of one
TIMED_OUT = "Transaction was asked to abort because of transaction timeout."


class Pace:
    """The time of one transaction; owned by its interpreter.

    Args:
        limit_s: from now until its queries are ended; None for no limit.
    """

    def __init__(
        self, limit_s: float | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._clock = clock
        now_s = clock()
        self._deadline_s = None if limit_s is None else now_s + limit_s
        self._pause_at_s = now_s + SLICE_S
        self._rows = 0

    def is_due(self) -> bool:
        """True when the query should pause here.

        Raises:
            TransientFailure: its time is over.
        """
        self._rows += 1
        if self._rows % ROWS_A_LOOK:
            return False
        self.check()
        return self._clock() >= self._pause_at_s

    def check(self) -> None:
        """Nothing, while there is time.

        Raises:
            TransientFailure: its time is over.
        """
        if self._deadline_s is not None and self._clock() >= self._deadline_s:
            raise TransientFailure(TIMED_OUT)

    def resumed(self) -> None:
        """The next slice begins now."""
        self._pause_at_s = self._clock() + SLICE_S
