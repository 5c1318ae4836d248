"""The ledger's entries as they come: each one once, in order, for who counts or announces them.

Promise: what stood in the ledger when this process first read it is history and is not handed out;
everything after it is, also what another pod wrote. What a newcomer gets wrong: a pod that was cut
off while its ledger was compacted sees only what still stands there, so counts are a lower bound.
"""

from datetime import datetime
from typing import Any, Protocol

from attrs import frozen

from statemachine.codec import Entry, decode
from statemachine.ids import Seq
from statemachine.ledger import Ledger, digest


class History(Protocol):
    """The verified copy of one process. `Chronicle` fits."""

    @property
    def ledger(self) -> Ledger:
        """What was verified."""

    @property
    def was_read(self) -> bool:
        """Whether it was read at all."""


@frozen
class NewEntry:
    """One entry, and the hash of its line: the chain's head right after it."""

    entry: Entry
    head: str

    @property
    def line(self) -> dict[str, Any]:
        """For the log: with what a copy outside the cluster needs to show tampering later."""
        entry, event = self.entry, self.entry.event
        return {
            "seq": entry.seq,
            "term": entry.term,
            "on": event.trigger,
            "phase": event.dest.value,
            "main": entry.main,
            "why": event.why,
            "head": self.head,
        }


class NewEntries:
    """A reader's place in the history. Each reader has one of its own."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._seen: Seq | None = None

    def take(self) -> tuple[NewEntry, ...]:
        """The entries since the last call; the first call that finds a ledger gives none."""
        if not self._history.was_read:
            return ()
        ledger = self._history.ledger
        seen, self._seen = self._seen, ledger.seq
        if seen is None or ledger.seq <= seen:
            return ()
        lines = ledger.lines[-(ledger.seq - seen) :]
        return tuple(map(entry_of, lines))


def entry_of(line: str) -> NewEntry:
    """A verified line of the ledger."""
    return NewEntry(decode(line), digest(line))


def between_s(begin: str, end: str) -> float | None:
    """Seconds between two times of the ledger; None where one is missing or is no time."""
    try:
        return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()
    except (ValueError, TypeError):
        return None
