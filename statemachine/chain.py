"""A whole history from its pieces: archives and the live part, verified as one chain.

Promise: every line that is handed out was verified: its hash, its position, its edge in the table,
what it shows; and every snapshot is what the lines before it fold to, where those are there. The
first thing that is wrong is named with its position and its place; what stands behind it is taken
up again at the next snapshot, and said to be behind a break. What a newcomer gets wrong: a chain
that verifies was written by one hand or another; only a head hash that was kept elsewhere shows
that it is the chain which was there before.
"""

from collections.abc import Iterator, Mapping, Sequence

from attrs import define, field, frozen

from statemachine.archive import Part
from statemachine.cluster import Cluster
from statemachine.codec import LedgerCorrupt, decode, key_of
from statemachine.events import LedgerArchived
from statemachine.evolve import evolve
from statemachine.ledger import GENESIS, Ledger, digest, fold_lines
from statemachine.snapshot import SNAPSHOT_KEY, Snapshot

LIVE = 0  # the number of the live part among the archives'


@frozen
class Run:
    """Lines without a break. `begins` is the cluster before the first of them."""

    begins: Cluster
    lines: tuple[str, ...] = field(repr=False)

    @property
    def last(self) -> int:
        """Position of the last line."""
        return self.begins.seq + len(self.lines)


@frozen
class Fault:
    """What is wrong, at which entry, in which piece."""

    seq: int
    place: str
    what: str

    def __str__(self) -> str:
        return f"entry {self.seq} ({self.place}): {self.what}"


@frozen
class Chain:
    """A history. `faults` are in its order; `notes` say what is no fault, but good to know."""

    runs: tuple[Run, ...]
    cluster: Cluster
    head: str
    faults: tuple[Fault, ...] = ()
    notes: tuple[str, ...] = ()
    archives: int = 0  # that are part of it

    @property
    def first(self) -> int:
        """Position of the first entry that is there; 0 when there is none."""
        return self.runs[0].begins.seq + 1 if self.runs else 0

    @property
    def count(self) -> int:
        """How many entries were verified."""
        return sum(len(run.lines) for run in self.runs)

    def entries(self) -> Iterator[tuple[int, str]]:
        """All verified lines with their positions, oldest first."""
        for run in self.runs:
            yield from enumerate(run.lines, run.begins.seq + 1)

    def cluster_at(self, seq: int) -> Cluster | None:
        """The fold up to an entry; None where that is not in here."""
        for run in self.runs:
            if run.begins.seq <= seq <= run.last:
                cluster = run.begins
                for line in run.lines[: seq - run.begins.seq]:
                    cluster = evolve(cluster, decode(line).event)
                return cluster
        return None


def place_of(number: int) -> str:
    """How a piece is called to people."""
    return f"archive {number:06d}" if number != LIVE else "live part"


def pieces_of(
    live: Mapping[str, str] | None, archives: Mapping[int, Mapping[str, str]]
) -> tuple[list[Part], list[str]]:
    """The parts that belong to one history, oldest first, the live one last; and notes on those
    that do not. Found backwards: each has to end where the next one begins."""
    rest = [Part(number, archives[number]) for number in sorted(archives)]
    chain = [Part(LIVE, live)] if live is not None else rest[-1:]
    rest = rest if live is not None else rest[:-1]
    while chain and rest:
        wanted = _end_before(chain[0])
        part = _best_before(wanted, rest) if wanted is not None else None
        if part is None:
            break
        chain.insert(0, part)
        rest.remove(part)
    notes = [f"{place_of(part.number)} is no part of this history: passed over" for part in rest]
    return chain, notes


def _end_before(part: Part) -> tuple[str, str] | None:
    """Key and hash of the line that the part comes after; None: it is the first. Where its snapshot
    cannot be read the hash is "", and the key is all that is left to go by."""
    try:
        base = part.base
    except LedgerCorrupt:
        first = min(part.keys, default="")
        return (key_of(int(first) - 1) if first.isdecimal() else "", "")
    return None if base is None else (key_of(base.seq), base.head)


def _best_before(wanted: tuple[str, str], rest: Sequence[Part]) -> Part | None:
    """The part that ends with the right line; or else, so that damage can be named, one that ends
    in the right place; or else, behind a gap, the newest that ends before it."""
    key, head = wanted
    newest = sorted(rest, key=lambda p: (max(p.keys, default=""), p.number), reverse=True)
    in_place = [p for p in newest if max(p.keys, default="") == key]
    right = [p for p in in_place if p.keys and digest(p.data[key]) == head]
    before = [p for p in newest if max(p.keys, default="") < key]
    return next(iter([*right, *in_place, *before]), None)


@define(eq=False)
class _Reader:
    """Owned by one call of `read_chain`. `ledger` is the run that is being read."""

    runs: list[Run] = field(factory=list)
    faults: list[Fault] = field(factory=list)
    cluster: Cluster = field(factory=Cluster)
    head: str = GENESIS
    begins: Cluster = field(factory=Cluster)
    lines: list[str] = field(factory=list)
    snapshots: dict[int, str] = field(factory=dict)  # position -> hash, as stored in a part

    def fault(self, seq: int, part: Part, what: str) -> None:
        """Something is wrong; the run ends here."""
        self.faults.append(Fault(seq, place_of(part.number), what))

    def end_run(self) -> None:
        """What was read so far is one run."""
        if self.lines:
            self.runs.append(Run(self.begins, tuple(self.lines)))
        self.lines = []

    def begin_at(self, cluster: Cluster, head: str) -> None:
        """Go on from here, behind a break or at the very beginning."""
        self.end_run()
        self.cluster = self.begins = cluster
        self.head = head

    def take(self, part: Part) -> None:
        """Verify one part."""
        if not self._take_base(part):
            return
        for key in sorted(set(part.data) - {SNAPSHOT_KEY}):
            try:
                after = fold_lines(Ledger(self.cluster, self.head), {key: part.data[key]})
                self._vouch(part.data[key])
            except LedgerCorrupt as error:
                self.fault(self.cluster.seq + 1, part, str(error))
                self.end_run()
                return
            self.cluster, self.head = after.cluster, after.head
            self.lines.append(part.data[key])

    def _take_base(self, part: Part) -> bool:
        """Whether its entries can be read: they go on from what was read, or from its snapshot."""
        try:
            base = part.base
        except LedgerCorrupt as error:
            self.fault(self.cluster.seq + 1, part, str(error))
            return False
        if base is None:
            if self.cluster.seq:
                self.fault(self.cluster.seq + 1, part, "a beginning where there is one already")
                self.begin_at(Cluster(), GENESIS)
            return True
        self.snapshots[base.seq] = digest(base.line)
        is_first = not self.lines and not self.runs and not self.faults
        if (base.cluster, base.head) != (self.cluster, self.head):
            if not is_first:
                self._break_before(part, base)
            self.begin_at(base.cluster, base.head)
        return True

    def _break_before(self, part: Part, base: Snapshot) -> None:
        seq = self.cluster.seq
        if self.faults and self.faults[-1].seq == seq + 1:
            return  # the line that could not be read has been named
        if base.seq > seq:
            what = f"entries {seq + 1} to {base.seq} are missing before it"
        else:
            what = f"its snapshot at entry {base.seq} is not what the entries before it fold to"
        self.fault(seq + 1, part, what)

    def _vouch(self, line: str) -> None:
        """An entry of a cut carries the hash of the snapshot that stands behind it."""
        if '"on":"ledger_archived"' not in line:
            return
        payload = decode(line).event.payload
        if isinstance(payload, LedgerArchived):
            stored = self.snapshots.get(payload.upto)
            if stored is not None and stored != payload.snapshot:
                raise LedgerCorrupt(
                    f"the snapshot at entry {payload.upto} is not the one of this cut"
                )


def read_chain(
    live: Mapping[str, str] | None, archives: Mapping[int, Mapping[str, str]], since: int = 0
) -> Chain:
    """Verify a history.

    Args:
        live: `data` of the live part; None: only archives are at hand.
        archives: Their `data`, by number.
        since: Nobody asks for what is up to here: that it is not there is no fault.
    """
    parts, notes = pieces_of(live, archives)
    reader = _Reader()
    for part in parts:
        reader.take(part)
    if live is not None:
        _check_live(reader, parts[-1])
    reader.end_run()
    faults = reader.faults
    missing, given_up = _beginning(reader, parts, live is not None, since)
    return Chain(
        runs=tuple(reader.runs),
        cluster=reader.cluster,
        head=reader.head,
        faults=tuple([missing, *faults] if missing else faults),
        notes=tuple([given_up, *notes] if given_up else notes),
        archives=sum(part.number != LIVE for part in parts),
    )


def _check_live(reader: _Reader, live: Part) -> None:
    """The live part has a snapshot if its last cut says so."""
    archived = reader.cluster.archived
    if archived is not None and SNAPSHOT_KEY not in live.data and not reader.faults:
        reader.fault(int(archived.upto), live, "the snapshot that the last cut left is gone")


def _beginning(
    reader: _Reader, parts: Sequence[Part], has_live: bool, since: int
) -> tuple[Fault | None, str]:
    """Why a history does not begin with entry 1: what is missing, or what to know; None and "" when
    it does."""
    first = reader.runs[0].begins.seq + 1 if reader.runs else 1
    archived = reader.cluster.archived
    if first <= since + 1:
        return None, ""
    if archived is None or not has_live:
        return None, f"the pieces at hand begin with entry {first}"
    numbers = [part.number for part in parts if part.number != LIVE]
    oldest = min(numbers, default=archived.last + 1)
    if oldest <= archived.first:
        return None, (
            f"the chain begins with entry {first} by retention: the settings gave up what was "
            f"before archive {archived.first:06d}, as the ledger says"
        )
    what = f"the archives {archived.first:06d} to {oldest - 1:06d} are not there"
    return Fault(first - 1, place_of(oldest - 1), what), ""
