"""What one Memgraph keeps on its disk, and what it only thinks: data, epochs, role.

Promise: plain functions; what is on `Disk` survives SIGKILL, what is on `Storage` alone does not.
Data are an ordered list of commits, each one write of a client (or a marker). What a newcomer gets
wrong: a new epoch is in memory until a commit or a storage snapshot carries it to the disk
(MEMGRAPH 3.5), and a restart inside an epoch leaves an entry in the history by which a later
promotion is refused by everybody (L4). Source: MEMGRAPH 1.6, 1.7, 3.5, 12.
"""

from bisect import bisect_right

from attrs import define, field, frozen

from statemachine.ids import Mode, Role, RowStatus

TS_STEP = 2  # a write takes a timestamp at its start and one at its commit
History = tuple[tuple[str, int], ...]
MARKER = 0  # write id of a commit that leaves nothing


@frozen
class Commit:
    """One transaction: its timestamp, the one before it, the epoch, and whose write it is."""

    ts: int
    before: int
    epoch: str
    write: int


@define(eq=False)
class SavedRow:
    """A registration as it is on the disk."""

    name: str
    address: str
    mode: Mode


@define(eq=False)
class Row(SavedRow):
    """A registration as a main works with it."""

    status: RowStatus = RowStatus.INVALID
    ts: int = 0
    missed_pings: int = 0
    is_recovering: bool = False
    invalid_since_s: float = 0.0


@define(eq=False)
class Disk:
    """The data directory. `commits` are durable one by one (flush-every-n-tx=1)."""

    storage_uuid: str
    role: Role = Role.MAIN  # a fresh Memgraph is a writable main
    main_uuid: str = ""
    rows: list[SavedRow] = field(factory=list)
    commits: list[Commit] = field(factory=list)
    writes: set[int] = field(factory=set)
    epoch: str = ""
    history: History = ()
    reset_token: int = 0  # the last one that its init container carried out


def with_latest(history: History, epoch: str, ldt: int) -> History:
    """The history after the present epoch ended at `ldt`; skipped if its last entry says so."""
    if history and history[-1][1] == ldt:
        return history
    return (*history, (epoch, ldt))


class Storage:
    """The default database of one running process."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.epoch, self.history = disk.epoch, disk.history
        self.prepared: Commit | None = None
        if disk.commits:  # L4: recovery closes the epoch at what it found
            self.history = with_latest(self.history, self.epoch, self.ldt)

    @property
    def ldt(self) -> int:
        """Timestamp of the last durable commit."""
        commits = self.disk.commits
        return commits[-1].ts if commits else 0

    @property
    def latest_ts(self) -> int:
        """The same, prepared included."""
        return self.prepared.ts if self.prepared else self.ldt

    def next_commit(self, write: int) -> Commit:
        """What a main would commit now."""
        return Commit(self.ldt + TS_STEP, self.ldt, self.epoch, write)

    def apply(self, commit: Commit) -> None:
        """Durable from here on; one that is already here is skipped (also if it is another's)."""
        if commit.ts <= self.ldt:
            return
        if commit.epoch != self.epoch:
            self.history = with_latest(self.history, self.epoch, self.ldt)
            self.epoch = commit.epoch
        self.disk.commits.append(commit)
        self.disk.writes.add(commit.write)
        self.pin()

    def pin(self) -> None:
        """Epoch and history are on the disk: by a commit, or by a storage snapshot."""
        self.disk.epoch, self.disk.history = self.epoch, self.history

    def begin_epoch(self, epoch: str) -> None:
        """Promotion: the old epoch ends at what is durable, a prepared transaction is dropped."""
        self.prepared = None
        self.history = with_latest(self.history, self.epoch, self.ldt)
        self.epoch = epoch

    def reported_epoch(self) -> str:
        """The epoch that a replica names in its heartbeat."""
        if self.history and self.history[-1][1] == self.ldt:
            return self.history[-1][0]
        return self.epoch

    def calls_diverged(self, replica: "Storage") -> bool:
        """Memgraph's rule, as a main; it searches the *oldest* entry of an epoch (L4)."""
        epoch = replica.reported_epoch()
        if epoch == self.epoch or replica.ldt == 0:
            return False
        for known, ended_at in self.history:
            if known == epoch:
                return ended_at < replica.ldt
        return True

    def after(self, ts: int) -> list[Commit]:
        """The commits that a replica with this timestamp misses."""
        commits = self.disk.commits
        return commits[bisect_right(commits, ts, key=lambda c: c.ts) :]
