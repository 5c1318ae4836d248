"""One client, from accept to its end: which state may follow which.

A session belongs to one incarnation of one upstream, or to none. The rows without successors are
written out: nobody comes back from them, a client that tries again is a new session.
"""

from enum import Enum
from typing import TYPE_CHECKING

from gateway.errors import IllegalMove
from gateway.link import Link, Owner
from gateway.route import UpstreamKey
from gateway.targets import Target

if TYPE_CHECKING:
    from gateway.secure import SecureRelay


class State(Enum):
    """Where a client stands."""

    __hash__ = object.__hash__  # Enum's own is Python code; a session looks up its moves often

    GREETING = "greeting"
    HELD = "held"
    DIALLING = "dialling"
    UNCONFIRMED = "unconfirmed"
    RELAYING = "relaying"
    REFUSED = "refused"
    ENDED = "ended"


# as plain names: on Python 3.11 each look-up of a member in its class costs 0.2 us
GREETING, HELD, DIALLING, UNCONFIRMED, RELAYING, REFUSED, ENDED = State

MOVES: dict[State, frozenset[State]] = {
    GREETING: frozenset({HELD, REFUSED}),
    HELD: frozenset({DIALLING, REFUSED}),
    DIALLING: frozenset({HELD, UNCONFIRMED, REFUSED}),
    UNCONFIRMED: frozenset({HELD, RELAYING, REFUSED}),
    RELAYING: frozenset({ENDED}),
    REFUSED: frozenset(),
    ENDED: frozenset(),
}


class Session(Link):
    """A client's connection with what was found for it so far. Owned by the desk.

    Attributes:
      arrived_at_s: when it was accepted.
      touched_at_s: when the dial began; from UNCONFIRMED on, when it was seen connected; from
        RELAYING on, when a sweep last saw that bytes had moved.
      seen_bytes: the total which that sweep saw.
      term: of the route in which its upstream was reached.
      peer: address of the client, where somebody wants to know it.
      secure: relays in place of the pump where TLS is spoken.
    """

    __slots__ = (
        "arrived_at_s",
        "peer",
        "secure",
        "seen_bytes",
        "state",
        "target",
        "term",
        "touched_at_s",
    )

    def __init__(
        self,
        client: int,
        arrived_at_s: float,
        owner: Owner,
        state: State = HELD,
    ) -> None:
        super().__init__(client, owner)
        self.arrived_at_s = self.touched_at_s = arrived_at_s
        self.state = state
        self.target: Target | None = None
        self.seen_bytes = 0
        self.peer = ""
        self.term = 0
        self.secure: SecureRelay | None = None

    def let_go(self) -> None:
        """See Link."""
        super().let_go()
        self.secure = None

    @property
    def key(self) -> UpstreamKey | None:
        """The incarnation this session belongs to."""
        return None if self.target is None else self.target.key

    def move(self, state: State) -> None:
        """Take a row of MOVES.

        Raises:
          IllegalMove: there is no such row.
        """
        if state not in MOVES[self.state]:
            raise IllegalMove(f"a session went from {self.state.name} to {state.name}")
        self.state = state
