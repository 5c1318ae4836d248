"""One client, from accept to its end: which state may follow which.

A session belongs to one incarnation of one upstream, or to none. The rows without successors are
written out: nobody comes back from them, a client that tries again is a new session.
"""

import socket
from enum import Enum

import attrs

from gateway.errors import IllegalMove
from gateway.link import Link
from gateway.route import UpstreamKey
from gateway.targets import Target


class State(Enum):
    """Where a client stands."""

    HELD = "held"
    DIALLING = "dialling"
    UNCONFIRMED = "unconfirmed"
    RELAYING = "relaying"
    REFUSED = "refused"
    ENDED = "ended"


MOVES: dict[State, frozenset[State]] = {
    State.HELD: frozenset({State.DIALLING, State.REFUSED}),
    State.DIALLING: frozenset({State.HELD, State.UNCONFIRMED, State.REFUSED}),
    State.UNCONFIRMED: frozenset({State.HELD, State.RELAYING, State.REFUSED}),
    State.RELAYING: frozenset({State.ENDED}),
    State.REFUSED: frozenset(),
    State.ENDED: frozenset(),
}


@attrs.define(eq=False)
class Session:
    """A client's connection with what was found for it so far. Owned by the desk.

    Attributes:
      number: order of arrival.
      dialled_at_s: when the dial began; from UNCONFIRMED on, when it was seen connected.
      seen_bytes, active_at_s: what the last idle sweep saw, and when that last changed.
    """

    number: int
    client: socket.socket
    arrived_at_s: float
    state: State = State.HELD
    target: Target | None = None
    upstream: socket.socket | None = None
    dialled_at_s: float = 0.0
    link: Link | None = None
    seen_bytes: int = 0
    active_at_s: float = 0.0

    @property
    def key(self) -> UpstreamKey | None:
        """The incarnation this session belongs to."""
        return None if self.target is None else self.target.upstream.key

    def move(self, state: State) -> None:
        """Take a row of MOVES.

        Raises:
          IllegalMove: there is no such row.
        """
        if state not in MOVES[self.state]:
            raise IllegalMove(f"session {self.number}: {self.state.name} to {state.name}")
        self.state = state
