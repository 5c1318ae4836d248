"""Waits for sessions to be between two requests.

Promise: a session that it names as quiet moved no byte for QUIET_S and owes its client no answer.
What a newcomer gets wrong: it ends nobody. Whoever asks does, and says why.
"""

from collections.abc import Iterable

from gateway.link import NEVER
from gateway.session import Session

QUIET_S = 0.02  # nothing moved for so long after an answer: the session is between two requests


class Drain:
    """Sessions that are waited for, until a deadline. Owned by the floor."""

    def __init__(self) -> None:
        self.until_s = NEVER
        self._seen: dict[Session, tuple[int, float]] = {}  # bytes so far, and when they changed

    def __bool__(self) -> bool:
        """Whether some session is still waited for."""
        return bool(self._seen)

    def begin(self, sessions: Iterable[Session], until_s: float, now_s: float) -> None:
        """Wait for exactly these from now on; whoever was named before, and is not now, goes on."""
        self.until_s = until_s
        self._seen = {session: (session.delivered_bytes, now_s) for session in sessions}

    def discard(self, session: Session) -> None:
        """It has ended."""
        if self._seen:
            self._seen.pop(session, None)

    def take_rest(self) -> list[Session]:
        """Everybody who is still here; nobody is waited for any more."""
        rest, self._seen = list(self._seen), {}
        return rest

    def quiet(self, now_s: float) -> list[Session]:
        """Those who are between two requests now."""
        found = []
        for session, (seen_bytes, since_s) in self._seen.items():
            delivered_bytes = session.delivered_bytes
            if delivered_bytes != seen_bytes:
                self._seen[session] = (delivered_bytes, now_s)
            elif now_s >= since_s + QUIET_S and not session.is_outstanding:
                found.append(session)
        return found
