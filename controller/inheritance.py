"""Entries that a leader wrote right before it died, and may have told nobody about.

Promise: whoever leads next tells the last few of them once more, each under the same name, so that
what was announced already is not announced again; old ones are no news and are left alone. What a
newcomer gets wrong: nothing in the ledger says whether an entry was announced. An entry is there
before anything else happens because of it, and its writer may have died in between.
"""

from collections import deque
from collections.abc import Callable, Iterator

import structlog

from controller.entries import History, NewEntries, NewEntry, between_s, entry_of
from statemachine.cluster import Cluster
from statemachine.events import LeaderElected
from statemachine.ledger import Ledger
from statemachine.view import View

log = structlog.get_logger(__name__)

INHERITED_MAX = 8  # a turn appends fewer, and a leader that lives has told the rest
NEWS_S = 300.0  # older than this at the next leader's barrier: kept in the ledger, not told
OWN_MAX = 2 * INHERITED_MAX  # of our own entries that are remembered


class Inheritance:
    """`follow` is called by the loop, before whoever announces what this process writes itself.
    `tell` is handed each inherited entry, the oldest first; it must not block."""

    def __init__(self, history: History, me: str, tell: Callable[[NewEntry], None]) -> None:
        self._history, self._me, self._tell = history, me, tell
        self._entries = NewEntries(history)
        self._own: deque[int] = deque(maxlen=OWN_MAX)

    def follow(self, cluster: Cluster, view: View) -> None:
        """A follower of the loop: tells what is inherited when a reign of this process begins."""
        for new in self._entries.take():
            if new.entry.by != self._me:
                continue
            if isinstance(new.entry.event.payload, LeaderElected):
                for old in inherited(self._history.ledger, new, frozenset(self._own)):
                    log.info("event_inherited", **old.line, by=old.entry.by)
                    self._tell(old)
            self._own.append(int(new.entry.seq))


def inherited(ledger: Ledger, barrier: NewEntry, own: frozenset[int]) -> Iterator[NewEntry]:
    """The last entries before this barrier that are young and that this process did not write."""
    end = int(barrier.entry.seq) - 1 - ledger.base_seq
    for line in ledger.lines[max(0, end - INHERITED_MAX) : max(0, end)]:
        old = entry_of(line)
        age_s = between_s(old.entry.at, barrier.entry.at)
        if int(old.entry.seq) not in own and age_s is not None and age_s <= NEWS_S:
            yield old
