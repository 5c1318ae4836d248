"""The ledger as a value: an ordered, chained, verified record, and the cluster that it folds to.

Promise: `fold` accepts exactly what `append` wrote. An edited, dropped or swapped line is found
here; a cut tail cannot be found by the chain alone, so who holds a Ledger compares a new reading
with it by `continues`.
"""

import hashlib
from collections.abc import Mapping
from functools import cached_property

from attrs import define, field
from attrs import evolve as change

from statemachine.cluster import Cluster
from statemachine.codec import Entry, LedgerCorrupt, decode, encode, key_of
from statemachine.events import Event
from statemachine.evolve import evolve
from statemachine.ids import Seq
from statemachine.invariants import InvariantViolated
from statemachine.rules import IllegalTransition

GENESIS = "0" * 32  # `prev` of the first entry
TEXT_MAX = 400  # characters of one fact or reason in the ledger; status shows them whole


@define(frozen=True, slots=False)
class Ledger:
    """A verified history. `lines` are its entries as stored, `head` the hash of the last one."""

    cluster: Cluster = field(factory=Cluster)
    head: str = GENESIS
    lines: tuple[str, ...] = field(default=(), repr=False)

    @property
    def seq(self) -> Seq:
        """Position of the last entry; 0 when there is none."""
        return self.cluster.seq

    @cached_property
    def data(self) -> dict[str, str]:
        """The ConfigMap's `data`."""
        first = self.seq - len(self.lines) + 1
        return {key_of(first + i): line for i, line in enumerate(self.lines)}

    @property
    def annotations(self) -> dict[str, str]:
        """For `kubectl get -o custom-columns`; never read back."""
        c = self.cluster
        values = {
            "phase": c.phase.value,
            "main": c.main or "",
            "sync": ",".join(sorted(c.sync_replicas)),
            "term": str(c.term),
            "seq": str(c.seq),
        }
        return {f"memgraph-controller/{k}": v for k, v in values.items()}

    def append(self, event: Event, *, at: str, by: str, entry_id: str) -> "Ledger":
        """The ledger with this event as its last entry. Nothing is stored anywhere by this.

        Raises IllegalTransition and InvariantViolated, as `evolve`.
        """
        event = shortened(event)
        cluster = evolve(self.cluster, event)
        line = encode(_entry(cluster, event, at, by, entry_id, self.head))
        return Ledger(cluster, digest(line), (*self.lines, line))

    def has_entry(self, entry_id: str) -> bool:
        """Whether the entry with this id is in here: how a write of unknown outcome is known."""
        return any(f'"id":"{entry_id}"' in line for line in reversed(self.lines))

    def continues(self, older: "Ledger") -> bool:
        """Whether this is `older` and what came after it: its last line still stands in here."""
        if older.seq == 0:
            return True
        index = older.seq - (self.seq - len(self.lines)) - 1
        return 0 <= index < len(self.lines) and digest(self.lines[index]) == older.head


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


def fold(data: Mapping[str, str]) -> Ledger:
    """The verified ledger of a ConfigMap's `data`.

    Raises:
        LedgerCorrupt: which entry is wrong, and how: a gap, a key that is not its seq, a broken
            chain, an edge that is not in the table, values that the fold does not confirm.
    """
    ledger = Ledger()
    for key in sorted(data):
        ledger = _fold_line(ledger, key, data[key])
    return ledger


def fold_on(known: Ledger, data: Mapping[str, str]) -> Ledger:
    """As `fold`, verifying only what came after `known` when its lines still stand in `data`."""
    if any(data.get(key) != line for key, line in known.data.items()):
        return fold(data)
    ledger = known
    for key in sorted(data.keys() - known.data.keys()):
        ledger = _fold_line(ledger, key, data[key])
    return ledger


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
    return Ledger(cluster, digest(line), (*ledger.lines, line))
