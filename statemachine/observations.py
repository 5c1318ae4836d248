"""What adapters report. Each may be late, doubled or wrong; nothing may depend on seeing each one.

Times end in `_s` and are monotonic seconds of the observing process; they never enter the ledger.
"""

from collections.abc import Mapping
from enum import Enum

from attrs import field, frozen

from statemachine.commands import Command
from statemachine.ids import Incarnation, Instance, Mode, Role, RowStatus, Seq, Term


@frozen
class Row:
    """One row of SHOW REPLICAS. `behind` as Memgraph gives it: 0 or negative is lag, positive
    means that the replica is *ahead* of the main, which is an alarm. Source: MEMGRAPH 1.3."""

    name: str
    address: str  # "host:port"
    mode: Mode
    status: RowStatus
    behind: int | None = None  # storage timestamps; None when the row replicates nothing
    ts: int | None = None

    @property
    def is_in_sync(self) -> bool:
        """Whether the main believes that this replica has everything."""
        return self.status is RowStatus.READY and self.behind == 0


@frozen
class ProbeAnswered:
    """An instance answered all questions of one probe, on a connection known by `incarnation`."""

    instance: Instance
    asked_at_s: float
    at_s: float
    incarnation: Incarnation
    role: Role
    version: str = ""
    storage_uuid: str = ""  # "" = not shown
    rows: tuple[Row, ...] | None = None  # None on a replica
    node_count: int | None = None  # asked only while the phase is BOOTSTRAP


class Failure(Enum):
    """How a probe failed, by what it proves."""

    REFUSED = "refused"  # connection refused or reset: no process listens there now
    SILENT = "silent"  # no answer in time: hung, slow, or cut off
    AUTH = "auth"  # it lives and does not accept our password; never a reason to fail over
    UNSUPPORTED = "unsupported"  # a version below 3.5, or one that we cannot read
    ERROR = "error"  # it answered with an error; it lives
    NO_ADDRESS = "no_address"  # the pod has no IP (yet); no socket was opened


@frozen
class ProbeFailed:
    """A probe (on a kept or a fresh connection) of an instance failed."""

    instance: Instance
    asked_at_s: float
    at_s: float
    failure: Failure
    text: str = ""


class Container(Enum):
    """The kubelet's word on the database container of a pod."""

    RUNNING = "running"
    WAITING = "waiting"
    TERMINATED = "terminated"
    UNKNOWN = "unknown"


@frozen
class PodFacts:
    """What the API server says of one pod: instance pods and controller pods alike."""

    name: str
    uid: str
    ip: str = ""
    ready: bool = False
    deleting: bool = False
    container: Container = Container.UNKNOWN
    restarts: int = 0
    node: str = ""


@frozen
class PodsListed:
    """All pods of this release, by the informer: a full picture, not a change."""

    at_s: float
    instances: tuple[PodFacts, ...]
    controllers: tuple[PodFacts, ...]


@frozen
class GatewayFacts:
    """One gateway's Lease: what it has folded and cut, and what it sees.

    `stamp` changes with every renewal; the reader notes *when it saw* it change, and never
    compares the Lease's own wall clock times with its clock.
    """

    pod: str
    stamp: str
    acked_seq: Seq  # folded up to here, and every session that this forbids is cut
    rw_open: bool
    term: Term
    sessions: int = 0
    vantage: Mapping[str, str] = field(factory=dict, hash=False)
    """Instance -> "ok", "refused", "silent", ... as this pod's own prober sees it."""
    ledger_format: int = 1
    """The newest that its version reads (`ledger.FORMAT`); versions before there were two say
    nothing."""
    earlier_seq: Seq = Seq(0)
    """What an earlier process of the pod acknowledged, for as long as this one has acknowledged
    nothing."""

    @property
    def told_seq(self) -> Seq:
        """A ledger of so many entries has been there (S16)."""
        return max(self.acked_seq, self.earlier_seq)


@frozen
class GatewaysListed:
    """All gateway Leases. `quorum_after_seq`: the list was read from the API server (not from a
    cache) after the event with this seq was in the ledger; None for an informer's picture."""

    at_s: float
    gateways: tuple[GatewayFacts, ...]
    quorum_after_seq: Seq | None = None


class Outcome(Enum):
    """How a command ended. UNKNOWN: the answer was lost, it may still be carried out later."""

    DONE = "done"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"  # it certainly did not arrive
    UNKNOWN = "unknown"


@frozen
class CommandStarted:
    """The executor is about to send this command."""

    command: Command
    at_s: float


@frozen
class CommandEnded:
    """The executor's report on one command."""

    command: Command
    at_s: float
    outcome: Outcome
    text: str = ""
    code: int | None = None  # n of Memgraph's "Error: n" for a refused REGISTER
    started_at_s: float = 0.0
    incarnation: Incarnation | None = None  # of the instance that carried it out
    carried: tuple[str, ...] = ()  # Marker: names whose strict_sync row stood before and after


@frozen
class LeadershipChanged:
    """This process became leader under `identity` (new for each reign), or is none ("")."""

    at_s: float
    identity: str


@frozen
class Folded:
    """This process folded the ledger up to `seq`."""

    at_s: float
    seq: Seq
    term: Term


@frozen
class Request:
    """What a person asks for: one entry of the ConfigMap of requests. Times are wall seconds."""

    id: str
    kind: str
    author: str = ""
    reason: str = ""
    instance: str = ""
    value: str = ""
    confirm: str = ""  # the cluster's name, typed by a person who accepts a loss
    for_s: float = 0.0  # how long a pause lasts
    not_before_s: float = 0.0
    expires_s: float = float("inf")
    trouble: str = ""  # why the entry could not be read


@frozen
class RequestsListed:
    """All open requests: a full picture."""

    at_s: float
    requests: tuple[Request, ...]


@frozen
class Ticked:
    """Time has passed; nothing else happened. `wall_s`: seconds since the epoch, for what people
    have dated (expiry, a pause); no safety rule looks at it."""

    at_s: float
    wall_s: float = 0.0


Observation = (
    ProbeAnswered
    | ProbeFailed
    | PodsListed
    | GatewaysListed
    | CommandStarted
    | CommandEnded
    | LeadershipChanged
    | Folded
    | RequestsListed
    | Ticked
)
