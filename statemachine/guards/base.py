"""What a guard is, and what it answers."""

from collections.abc import Callable

from attrs import frozen

from statemachine.facts import Situation


@frozen
class Fact:
    """A guard's answer. `is_pending`: a no that only has to wait (a grace is not over yet)."""

    ok: bool
    saw: str
    is_pending: bool = False


Guard = Callable[[Situation], Fact]
