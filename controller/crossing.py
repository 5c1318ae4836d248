"""Whether a verified copy of the ledger may go on as another one that was found: pure decisions of
the chronicle.

Promise: a copy is left for a ledger that was verified from our last entry on, with two exceptions.
Our last line gives way when another pod wrote it and a barrier follows in its place; and a gap
between the archives is jumped over when the settings gave those archives up.
"""

from attrs import frozen

from controller.archive_walk import Bridge
from statemachine.archive import bridge, why_implausible
from statemachine.codec import LedgerCorrupt, decode
from statemachine.events import LeaderElected
from statemachine.ids import Seq
from statemachine.ledger import Ledger


@frozen
class Taken:
    """What was found is ours and more; `drops_last`: without our last line."""

    drops_last: bool = False


@frozen
class Refused:
    """What was found is another history."""

    why: str


@frozen
class Stuck:
    """Nobody can tell, for what lies between cannot be read."""

    why: str


def crossed(copy: Ledger, own_seq: Seq, live: Ledger, way: Bridge) -> Taken | Refused | Stuck:
    """Whether the archives on this way lead from `copy` to the live part that begins behind it.

    Args:
        own_seq: The last entry that this process wrote itself.
    """
    if way.gap:
        return _leapt(copy, live, way)
    try:
        bridge(copy, way.parts, live)
    except LedgerCorrupt as error:
        if not _is_bridged_without_last(copy, own_seq, live, way):
            return Refused(str(error))
        return Taken(drops_last=True)
    return Taken()


def _may_be_edited(copy: Ledger, own_seq: Seq) -> bool:
    """Whether a hand may have edited our last line before we saw it: another pod wrote it."""
    return copy.seq > own_seq and bool(copy.lines)


def _is_bridged_without_last(copy: Ledger, own_seq: Seq, live: Ledger, way: Bridge) -> bool:
    if not _may_be_edited(copy, own_seq):
        return False
    try:
        bridge(copy.without_last(), way.parts, live)
    except LedgerCorrupt:
        return False
    return True


def _leapt(copy: Ledger, live: Ledger, way: Bridge) -> Taken | Stuck:
    """Where the settings gave up what lies between, the ledger is taken if nothing speaks against
    it, as a pod that starts takes it; else nobody can tell."""
    why_not = why_implausible(copy.cluster, live.cluster)
    if way.is_given_up and not why_not:
        return Taken()
    cure = "put them back, or restart it" if way.missing and not why_not else "restart it"
    return Stuck(f"cannot go on: {why_not or way.gap}; {cure}")


def corrects_last(copy: Ledger, own_seq: Seq, found: Ledger) -> bool:
    """Whether only our last line, which another pod wrote, is another one there, and a barrier
    follows it: what the leader restored (S16)."""
    seq = copy.seq
    if not _may_be_edited(copy, own_seq) or found.seq <= seq:
        return False
    before = copy.head_at(seq - 1)
    behind = found.lines[seq - found.base_seq] if found.base_seq <= seq else ""
    if before is None or found.head_at(seq - 1) != before or not behind:
        return False
    return isinstance(decode(behind).event.payload, LeaderElected)
