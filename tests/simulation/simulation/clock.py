"""Virtual time that jumps the moment nobody can run.

What a newcomer gets wrong: trio asks how long to sleep only when its run queue is empty, so jumping
right there saves the idle round that `MockClock(autojump_threshold=0)` needs for each jump.
"""

import trio
from attrs import define

IDLE_ROUNDS_MAX = 10_000


class NobodyEverRuns(Exception):
    """Every task waits, and none for a time: the simulation itself hangs."""


@define(eq=False)
class JumpingClock(trio.abc.Clock):
    """Starts at 0."""

    now_s: float = 0.0
    _idle_rounds: int = 0

    def start_clock(self) -> None:
        """Nothing to start."""

    def current_time(self) -> float:
        """Virtual seconds."""
        return self.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """None at all: it is `deadline` now."""
        if deadline == float("inf"):
            self._idle_rounds += 1  # trio's own tasks wait for a socket at the start and the end
            if self._idle_rounds > IDLE_ROUNDS_MAX:
                raise NobodyEverRuns
            return 0.0
        self._idle_rounds = 0
        self.now_s = max(self.now_s, deadline)
        return 0.0
