"""Until when clients may be answered, and whose answers that concerns.

Promise (S6, S14): past the deadline nobody has confirmed lately who is the main. So RW serves
nobody, and RO goes on only with upstreams that cannot have become one meanwhile. Every byte towards
a client meets it, in the process that relays: a frozen process looks before it forwards.
"""

from collections.abc import Callable

from gateway.link import NEVER, Fence
from gateway.route import Kind, Upstream

FENCED_FROM_THE_START = float("-inf")


class Deadline:
    """Of one gateway.

    Args:
      on_due: called when it is over; ends every session that it concerns.
    """

    def __init__(self, kind: Kind, clock: Callable[[], float], on_due: Callable[[], None]) -> None:
        self._is_rw, self._clock = kind is Kind.RW, clock
        self._fence = Fence(on_due)

    @property
    def is_due(self) -> bool:
        """Whether it is over."""
        return self._clock() >= self._fence.at_s

    @property
    def closes_all(self) -> bool:
        """Whether it is over, and nobody at all may be answered."""
        return self._is_rw and self._clock() >= self._fence.at_s

    def set(self, at_s: float | None) -> None:
        """Monotonic seconds; None: there is none."""
        self._fence.at_s = NEVER if at_s is None else at_s

    def fence_of(self, upstream: Upstream) -> Fence | None:
        """What answers of this upstream have to meet."""
        return self._fence if self._is_rw or upstream.may_become_main else None

    def may_serve(self, upstream: Upstream) -> bool:
        """Whether its answers may go to clients now."""
        return self.fence_of(upstream) is None or not self.is_due
