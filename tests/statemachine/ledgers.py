"""Long ledgers for tests: a cluster that goes on for ever, cut where the limits say."""

from itertools import cycle

from lives import LIFE

from statemachine import events as e
from statemachine.archive import Limits, Part, archived_event, cut_at, is_due, next_number
from statemachine.archive import segment_end as end_of
from statemachine.codec import decode
from statemachine.events import Event
from statemachine.ids import Instance, Phase
from statemachine.ledger import Ledger

SMALL = Limits(segment_entries=4, live_entries=8)
A, B = Instance("memgraph-0"), Instance("memgraph-1")
OP = Phase.OPERATIONAL
BUSY: tuple[e.Payload, ...] = (
    e.ReadersChanged(frozenset()),
    e.RequestRefused("r-1", "switchover", "bob", "the sync lags"),
    e.ReadersChanged(frozenset({Instance("memgraph-2")})),
    e.LeaderElected("controller-1/uid/1"),
)


def add(ledger: Ledger, event: Event) -> Ledger:
    """One entry more, by the same pod at the same time."""
    return ledger.append(event, at="2026-01-01T00:00:00.000Z", by="c0", entry_id=f"i{ledger.seq}")


def begun() -> Ledger:
    """A ledger up to its first OPERATIONAL."""
    ledger = Ledger()
    for payload, dest in LIFE[:8]:
        ledger = add(ledger, Event(payload, ledger.cluster.phase, dest, "because"))
    return ledger


def grown(count: int, ledger: Ledger | None = None) -> Ledger:
    """The ledger with `count` more entries of a cluster that is well; nothing is cut."""
    ledger = begun() if ledger is None else ledger
    for payload, _ in zip(cycle(BUSY), range(count), strict=False):
        ledger = add(ledger, Event(payload, OP, OP, "because"))
    return ledger


class Kept:
    """What a leader keeps: the live ledger and the archives, cut as soon as it is due."""

    def __init__(self, limits: Limits = SMALL) -> None:
        self.limits, self.ledger = limits, begun()
        self.parts: dict[int, Part] = {}
        self.whole = begun()  # the same entries, never cut

    def grow(self, count: int) -> "Kept":
        """That many more entries of a cluster that is well, and the cuts that they make due."""
        for payload, _ in zip(cycle(BUSY), range(count), strict=False):
            self.ledger = add(self.ledger, Event(payload, OP, OP, "because"))
            self.whole = add(self.whole, Event(payload, OP, OP, "because"))
            self.cut_if_due()
        return self

    def cut_if_due(self, retired: tuple[int, ...] = ()) -> bool:
        """Whether a segment has moved."""
        end = end_of(self.ledger, self.limits)
        if end is None or not is_due(self.ledger, self.limits):
            return False
        cut, number = cut_at(self.ledger, end), next_number(self.ledger.cluster)
        self.parts[number] = Part(number, cut.data)
        event = archived_event(self.ledger.cluster, cut, number, retired)
        self.ledger = add(self.ledger, event).cut(cut.base)
        self.whole = add(self.whole, decode(self.ledger.lines[-1]).event)
        return True
