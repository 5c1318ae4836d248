"""When the live part of the ledger is cut, what moves into an archive, and what is given up.

Promise: every leader cuts the same bytes at the same places: where a segment ends depends on the
first lines of the live part alone, which nobody can change any more, and an archive is made of
stored lines; so a cut that was interrupted anywhere is done again, or found done. In order: the
archive is created and read back; then one write of the ledger appends `ledger_archived` and takes
the lines out. What a newcomer gets wrong: an archive that exists without its event is no part of
the history, and one whose number is taken by something else (an older history that a person has
removed) is passed over, never written over. And a version from before there were archives takes a
cut ledger for a broken one, so nothing is cut while such a pod serves.
"""

from collections.abc import Iterable, Mapping

from attrs import field, frozen

from statemachine.cluster import Archived, Cluster
from statemachine.codec import LedgerCorrupt, key_of
from statemachine.events import Event, LedgerArchived
from statemachine.facts import is_expired
from statemachine.ids import Phase, Seq
from statemachine.ledger import FORMAT, Ledger, digest, fold_lines
from statemachine.snapshot import SNAPSHOT_KEY, Snapshot, read_snapshot
from statemachine.view import View


@frozen
class Limits:
    """How long the live part may become, and how much moves at once. Every append sends the whole
    live part to every pod; a ConfigMap holds 1 MiB."""

    segment_entries: int = 128  # of one archive: about 100 KB
    segment_bytes: int = 512 * 1024  # fewer entries where they are this long
    live_entries: int = 256
    live_bytes: int = 128 * 1024
    urgent_bytes: int = 768 * 1024
    """Above this the ledger is cut in FAILOVER too, where nothing else delays a decision on
    purpose: at 1 MiB the API server refuses the next entry, and a failover that goes round and
    round (two instances that crash by turns) would end in a ledger that takes no entry any more."""


LIMITS = Limits()
RETIRED_AT_ONCE_MAX = 8  # a lowered limit is reached step by step


@frozen
class Cut:
    """What moves out of the live part: `data` of the archive, and the snapshot that then stands in
    front."""

    base: Snapshot
    data: Mapping[str, str] = field(hash=False, repr=False)

    @property
    def upto(self) -> Seq:
        """The last entry that moves."""
        return self.base.seq


def segment_end(ledger: Ledger, limits: Limits = LIMITS) -> Seq | None:
    """The last entry of the segment that would move next; None while it may still grow."""
    size_bytes = 0
    for count, line in enumerate(ledger.lines):
        is_full = count == limits.segment_entries
        if is_full or (count and size_bytes + len(line) > limits.segment_bytes):
            return Seq(ledger.base_seq + count)
        size_bytes += len(line)
    return None


def is_urgent(ledger: Ledger, limits: Limits = LIMITS) -> bool:
    """Whether the live part is so long that it may soon take no entry any more."""
    return sum(map(len, ledger.lines)) > limits.urgent_bytes


def who_cannot_read(view: View) -> tuple[str, ...]:
    """The pods that serve, or may still, and whose version would take a cut ledger for a broken
    one: their gateways would close, and none of them could lead."""
    return tuple(
        g.facts.pod
        for g in view.gateways
        if g.facts.ledger_format < FORMAT and not is_expired(view, g)
    )


def is_due(ledger: Ledger, limits: Limits = LIMITS) -> bool:
    """Whether the live part is longer than it should be, and may be cut now."""
    size_bytes = sum(map(len, ledger.lines))
    if ledger.cluster.phase is Phase.FAILOVER:
        is_long = is_urgent(ledger, limits)
    else:
        is_long = len(ledger.lines) > limits.live_entries or size_bytes > limits.live_bytes
    return is_long and segment_end(ledger, limits) is not None


def cut_at(ledger: Ledger, upto: Seq) -> Cut:
    """What moves when everything up to `upto`, an entry of the live part, is taken out of it."""
    moved = ledger.lines[: upto - ledger.base_seq]
    data = {key_of(ledger.base_seq + 1 + i): line for i, line in enumerate(moved)}
    if ledger.base is not None:
        data[SNAPSHOT_KEY] = ledger.base.line
    return Cut(ledger.snapshot_at(upto), data)


def next_number(cluster: Cluster) -> int:
    """The number of the next archive, if nobody else has taken it."""
    return cluster.archived.last + 1 if cluster.archived else 1


def archived_event(cluster: Cluster, cut: Cut, number: int, retired: tuple[int, ...]) -> Event:
    """The entry that goes with the cut."""
    what = f"entries up to {cut.upto} are in archive {number}"
    gone = f"; given up by the settings: {', '.join(map(str, retired))}" if retired else ""
    payload = LedgerArchived(number, int(cut.upto), digest(cut.base.line), retired)
    return Event(payload, cluster.phase, cluster.phase, what + gone)


def beyond_count(archived: Archived | None, number: int, kept_max: int | None) -> tuple[int, ...]:
    """The oldest archives that are above the limit once archive `number` is there; None: no
    limit. `number` itself is never among them."""
    if archived is None or kept_max is None:
        return ()
    over = number - archived.first + 1 - max(kept_max, 1)
    return tuple(archived.first + i for i in range(min(over, RETIRED_AT_ONCE_MAX)))


@frozen
class Part:
    """An archive as it was read."""

    number: int
    data: Mapping[str, str] = field(hash=False, repr=False)

    @property
    def keys(self) -> list[str]:
        """The keys of its entries, in order."""
        return sorted(self.data.keys() - {SNAPSHOT_KEY})

    @property
    def base(self) -> Snapshot | None:
        """What its entries come after; None: they are the first. Raises LedgerCorrupt."""
        line = self.data.get(SNAPSHOT_KEY)
        return None if line is None else read_snapshot(line)

    def precedes(self, base: Snapshot) -> bool:
        """Whether its last entry is the one that this snapshot was taken after."""
        last = max(self.keys, default="")
        return last == key_of(base.seq) and digest(self.data[last]) == base.head


def follow(ledger: Ledger, part: Part) -> Ledger:
    """The ledger after those entries of the part that come behind it, each verified; they alone
    are its live part.

    Raises:
        LedgerCorrupt: the part does not fit behind the ledger: another snapshot than the fold, an
            entry missing or edited, or a chain that does not begin at the ledger's head.
    """
    base = part.base
    if base and base.seq == ledger.seq and base.cluster != ledger.cluster:
        raise LedgerCorrupt(f"its snapshot at entry {base.seq} is not what the entries fold to")
    behind = {key: part.data[key] for key in part.keys if key > key_of(ledger.seq)}
    return fold_lines(Ledger(ledger.cluster, ledger.head), behind)


def bridge(known: Ledger, parts: Iterable[Part], live: Ledger) -> None:
    """Nothing when the parts, oldest first, lead from `known` to the snapshot of `live`.

    Raises LedgerCorrupt when they do not: then one of the two is not our history.
    """
    ledger = known
    for part in parts:
        ledger = follow(ledger, part)
    base = live.base
    if base is None or (ledger.cluster, ledger.head) != (base.cluster, base.head):
        raise LedgerCorrupt(f"its archives do not go on from entry {known.seq}")


def why_implausible(known: Cluster, found: Cluster) -> str:
    """What speaks against `found` being what became of `known` when nothing between them is left
    to be read; "" = nothing. All of these only ever grow, or are set once."""
    if known.storage_uuid not in ("", found.storage_uuid) and not known.is_fresh:
        return f"storage {known.storage_uuid} is {found.storage_uuid} there"
    grows = ("seq", "term", "main_term", "generation", "rw_closed_seq")
    fallen = [name for name in grows if getattr(found, name) < getattr(known, name)]
    return f"{', '.join(fallen)} lower than known here" if fallen else ""
