"""The ledger as a value: an ordered, chained, verified record, and the cluster that it folds to.

Promise: `fold` accepts exactly what `append` and `cut` wrote. An edited, dropped or swapped
line is found here, and so is an edited snapshot: an entry behind it carries its hash. A cut tail
cannot be found by the chain alone, so who holds a Ledger compares a new reading with it by
`continues`. What a newcomer gets wrong: `lines` are the live part; `seq` counts from the beginning
of the history, and what stood before the snapshot is in the archives.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property

from attrs import define, field

from statemachine.cluster import Cluster
from statemachine.codec import Entry, LedgerCorrupt, decode, encode, key_of
from statemachine.edits import change
from statemachine.events import Event
from statemachine.evolve import evolve
from statemachine.ids import Seq
from statemachine.invariants import InvariantViolated
from statemachine.machine import IllegalTransition
from statemachine.snapshot import SNAPSHOT_KEY, Snapshot, read_snapshot, snapshot_of

FORMAT = 2
"""1: every entry is in the live part. 2: it may begin with a snapshot, older ones in archives."""
GENESIS = "0" * 32  # `prev` of the first entry
PREFIX = "memgraph-controller/"  # of the annotations
TEXT_MAX = 400  # characters of one fact or reason in the ledger; status shows them whole


@define(frozen=True, slots=False)
class Ledger:
    """A verified history. `lines` are the entries of the live part as stored, `head` the hash of
    the last one; `base` stands in front of them once older ones are archived."""

    cluster: Cluster = field(factory=Cluster)
    head: str = GENESIS
    lines: tuple[str, ...] = field(default=(), repr=False)
    base: Snapshot | None = field(default=None, repr=False)

    @property
    def seq(self) -> Seq:
        """Position of the last entry; 0 when there is none."""
        return self.cluster.seq

    @property
    def base_seq(self) -> Seq:
        """Position of the last entry that is not in the live part; 0 when all are."""
        return Seq(self.seq - len(self.lines))

    @cached_property
    def data(self) -> dict[str, str]:
        """The ConfigMap's `data`."""
        first = self.base_seq + 1
        entries = {key_of(first + i): line for i, line in enumerate(self.lines)}
        return entries if self.base is None else {**entries, SNAPSHOT_KEY: self.base.line}

    @property
    def annotations(self) -> dict[str, str]:
        """For `kubectl get -o custom-columns`. Only the seal is read back: statemachine/seal.py."""
        c = self.cluster
        values = {
            "phase": c.phase.value,
            "main": c.main or "",
            "sync": ",".join(sorted(c.sync_replicas)),
            "term": str(c.term),
            "seq": str(c.seq),
            "head": f"{c.seq}:{self.head}",
        }
        return {f"{PREFIX}{k}": v for k, v in values.items()}

    def append(self, event: Event, *, at: str, by: str, entry_id: str) -> "Ledger":
        """The ledger with this event as its last entry. Nothing is stored anywhere by this.

        Raises IllegalTransition and InvariantViolated, as `evolve`.
        """
        event = shortened(event)
        cluster = evolve(self.cluster, event)
        line = encode(_entry(cluster, event, at, by, entry_id, self.head))
        return change(self, cluster=cluster, head=digest(line), lines=(*self.lines, line))

    def snapshot_at(self, seq: int) -> Snapshot:
        """The fold of the entries up to `seq`, which is within the live part or just before it."""
        cluster = self.base.cluster if self.base else Cluster()
        head = self.base.head if self.base else GENESIS
        for line in self.lines[: seq - self.base_seq]:
            cluster, head = evolve(cluster, decode(line).event), digest(line)
        return snapshot_of(cluster, head)

    def cut(self, base: Snapshot) -> "Ledger":
        """The same history with everything up to `base` taken out of the live part."""
        return change(self, lines=self.lines[base.seq - self.base_seq :], base=base)

    def without_last(self) -> "Ledger":
        """The same history before its last entry, which is in the live part."""
        base = self.snapshot_at(self.seq - 1)
        return change(self, cluster=base.cluster, head=base.head, lines=self.lines[:-1])

    def has_entry(self, entry_id: str) -> bool:
        """Whether the entry with this id is in here: how a write of unknown outcome is known."""
        return any(f'"id":"{entry_id}"' in line for line in reversed(self.lines))

    def head_at(self, seq: int) -> str | None:
        """Hash of the entry at `seq`; None where that cannot be told from the live part."""
        index = seq - self.base_seq - 1
        if 0 <= index < len(self.lines):
            return digest(self.lines[index])
        if index == -1:
            return self.base.head if self.base else GENESIS
        return None

    def continues(self, older: "Ledger") -> bool:
        """Whether this is `older` and what came after it: its last line still stands in here, or
        is the last one before the snapshot."""
        return older.seq == 0 or self.head_at(older.seq) == older.head


def _entry(cluster: Cluster, event: Event, at: str, by: str, entry_id: str, prev: str) -> Entry:
    return Entry(
        seq=cluster.seq,
        at=at,
        event=event,
        main=cluster.main,
        sync=tuple(sorted(cluster.sync)),
        readers=tuple(sorted(cluster.readers)),
        term=cluster.term,
        by=by,
        id=entry_id,
        prev=prev,
    )


def shortened(event: Event) -> Event:
    """The event with reason and facts cut to a length that people read and a ConfigMap holds."""
    facts = tuple((name, _cut(saw)) for name, saw in event.facts)
    return change(event, why=_cut(event.why), facts=facts)


def _cut(text: str) -> str:
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 3] + "..."


def digest(line: str) -> str:
    """Hash of a line, as the next one carries it: 32 hexadecimal digits of SHA-256."""
    return hashlib.sha256(line.encode("ascii", "backslashreplace")).hexdigest()[:32]


def why_gone(known_seq: int, told_seq: int) -> str:
    """What is wrong when no ledger is stored; "" = nothing, there never was one.

    Args:
        known_seq: How many entries this process has verified.
        told_seq: How many the gateways' Leases tell of. They outlive the ledger, and it is never
            begun anew while one of them remembers it: another process may do so too.
    """
    if known_seq:
        return "the ledger was deleted"
    if not told_seq:
        return ""
    return (
        f"the ledger is gone: a gateway has acknowledged entry {told_seq}, and this pod remembers "
        "none; put it back, or, to begin anew, stop the controllers and delete the gateways' Leases"
    )


def fold(data: Mapping[str, str]) -> Ledger:
    """The verified ledger of a ConfigMap's `data`.

    Found: any change of a line or of the snapshot that does not also rewrite every line behind it.
    Not found, for want of anything to compare with: a cut tail, and a history that was rewritten to
    its end. Who holds an older copy finds both (`continues`); `verify` compares with archives.

    Raises:
        LedgerCorrupt: which entry is wrong, and how: a gap, a key that is not its seq, a broken
            chain, an edge that is not in the table, values that the fold does not confirm, a
            snapshot that no entry vouches for.
    """
    return _vouched(fold_lines(based_on(data.get(SNAPSHOT_KEY)), data))


def fold_on(known: Ledger, data: Mapping[str, str]) -> Ledger:
    """As `fold`, verifying only what came after `known` when its lines still stand in `data`; a
    snapshot that was moved on within them has to be what they fold to."""
    base = _moved_on(known, data.get(SNAPSHOT_KEY))
    if base is None or not base.data.items() <= data.items():
        return fold(data)
    return _vouched(fold_lines(base, data))


def _moved_on(known: Ledger, line: str | None) -> Ledger | None:
    """`known` with the live part beginning where this snapshot ends; None: it has none there."""
    if line is None or (known.base and known.base.line == line):
        return known
    base = read_snapshot(line)
    if not known.base_seq <= base.seq <= known.seq:
        return None
    own = known.snapshot_at(base.seq)
    if own.head != base.head:
        return None  # another history: whether it may be ours, `continues` says
    if own.cluster != base.cluster:
        raise LedgerCorrupt(f"the snapshot at entry {base.seq} is not what the entries fold to")
    return known.cut(base)


def based_on(line: str | None) -> Ledger:
    """A ledger without a live part. Raises LedgerCorrupt for a snapshot that cannot be read."""
    if line is None:
        return Ledger()
    base = read_snapshot(line)
    return Ledger(base.cluster, base.head, (), base)


def fold_lines(ledger: Ledger, data: Mapping[str, str]) -> Ledger:
    """The ledger and the entries of `data` that come after it, each verified; whether its snapshot
    is vouched for is not asked. Raises LedgerCorrupt."""
    for key in sorted(data.keys() - ledger.data.keys() - {SNAPSHOT_KEY}):
        ledger = _fold_line(ledger, key, data[key])
    return ledger


def _vouched(ledger: Ledger) -> Ledger:
    """An entry of the live part carries the hash of the snapshot in front of it: the entry was
    written by the same PUT as the snapshot."""
    archived, base = ledger.cluster.archived, ledger.base
    given = (archived.upto, archived.snapshot) if archived else None
    if given == ((base.seq, digest(base.line)) if base else None):
        return ledger
    what = f"the snapshot at entry {base.seq}" if base else "a ledger without a snapshot"
    raise LedgerCorrupt(f"{what} is not what the last archiving left behind")


def _fold_line(ledger: Ledger, key: str, line: str) -> Ledger:
    wanted = key_of(ledger.seq + 1)
    if key != wanted:
        raise LedgerCorrupt(f"expected entry {wanted}, found key {key!r}")
    entry = decode(line)
    if key_of(entry.seq) != key:
        raise LedgerCorrupt(f"entry {entry.seq} stands under key {key}")
    if entry.prev != ledger.head:
        raise LedgerCorrupt(f"entry {key}: the chain is broken before it")
    try:
        cluster = evolve(ledger.cluster, entry.event)
    except (IllegalTransition, InvariantViolated, AssertionError) as error:
        raise LedgerCorrupt(f"entry {key}: {error}") from error
    shown = (entry.main, set(entry.sync), set(entry.readers), entry.term)
    if shown != (cluster.main, set(cluster.sync), set(cluster.readers), cluster.term):
        raise LedgerCorrupt(f"entry {key}: shows another cluster than it folds to")
    return change(ledger, cluster=cluster, head=digest(line), lines=(*ledger.lines, line))
