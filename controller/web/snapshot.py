"""What this room is handed: one frozen picture of a controller pod."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Protocol

from attrs import field, frozen

from controller.measures import KubeTally
from controller.tally import Tally, idle_tally
from statemachine.cluster import Cluster
from statemachine.decide import Refusal
from statemachine.ids import Instance
from statemachine.prestop import Stop, may_stop
from statemachine.view import View

HEAD_IS_OLD_S = 3.0  # it is read every 1.3 s; older than this, others may have gone on
POLICY_STATES = ("enforced", "not_enforced", "unknown")
ALIVE_S = 30.0  # a turn waits at most for one write that the API server does not answer (5 s)


class Distribution(Protocol):
    """Counts by size. `gateway.histogram.Distribution` fits."""

    @property
    def bounds(self) -> tuple[float, ...]:
        """Upper bounds of the buckets but the last, ascending."""

    @property
    def counts(self) -> tuple[int, ...]:
        """Of each bucket, not cumulated."""

    @property
    def total(self) -> float:
        """Sum of all values."""


class GatewayCounters(Protocol):
    """What a gateway counted since it began, and what is open now. `gateway.Counters` fits."""

    @property
    def accepted(self) -> int:
        """Connections taken from the kernel, those refused at once included."""

    @property
    def active(self) -> int:
        """Sessions dialled or relayed now."""

    @property
    def held(self) -> int:
        """Clients that wait for a route now."""

    @property
    def refused(self) -> Mapping[str, int]:
        """Clients turned away, by reason."""

    @property
    def ended(self) -> Mapping[str, int]:
        """Sessions that are over, by reason."""

    @property
    def cut(self) -> int:
        """Sessions ended by a route."""

    @property
    def dial_failures(self) -> int:
        """Dials to an upstream that failed."""

    @property
    def bytes_up(self) -> int:
        """Bytes from clients to instances."""

    @property
    def bytes_down(self) -> int:
        """Bytes from instances to clients."""

    @property
    def sessions(self) -> Mapping[str, int]:
        """Sessions open now, by instance."""

    @property
    def term(self) -> int | None:
        """Term of the route that it follows; None before the first."""

    @property
    def durations_s(self) -> Distribution:
        """Of sessions that are over."""

    @property
    def waits_s(self) -> Distribution:
        """Of clients that were served, until they were."""

    @property
    def dials_s(self) -> Distribution:
        """Of dials that were answered."""

    @property
    def cut_by_term(self) -> Mapping[str, int]:
        """Sessions ended by a route, by its term."""

    @property
    def failed_dials(self) -> Mapping[str, int]:
        """Dials that failed, by instance."""

    @property
    def drained_by_term(self) -> Mapping[str, int]:
        """Sessions that a route ended between two requests, by its term."""

    @property
    def bytes_up_by(self) -> Mapping[str, int]:
        """Bytes from clients, by the instance that got them."""

    @property
    def bytes_down_by(self) -> Mapping[str, int]:
        """Bytes to clients, by the instance that sent them."""


@frozen
class Snapshot:
    """One picture. `now_s` and everything in `view` is monotonic time of this process."""

    cluster: Cluster
    view: View
    started_at: datetime  # wall, for people
    now_s: float
    turned_at_s: float = float("-inf")  # when the loop last finished a turn
    refusals: tuple[Refusal, ...] = ()
    ledger_lines: tuple[str, ...] = field(default=(), repr=False)
    earlier_lines: tuple[str, ...] = field(default=(), repr=False)
    """Of what stood before the live part: the newest entries and the last change of main."""
    is_ledger_verified: bool = False  # it was read, and what was read is what we have
    ledger_trouble: str = ""
    missing_archives: tuple[int, ...] = ()  # for want of which this pod's copy stays behind
    kube_trouble: Mapping[str, str] = field(factory=dict, hash=False)  # what -> text; "" = fine
    gateways: Mapping[str, GatewayCounters] = field(factory=dict, hash=False)  # "rw", "ro"
    listening: Mapping[str, str] = field(factory=dict, hash=False)  # "rw" -> "0.0.0.0:7687"
    routed_at_s: Mapping[str, float] = field(factory=dict, hash=False)  # "rw" -> its route's start
    is_leader: bool = False
    rw_opened_term: int = 0  # route's term in which this pod's RW gateway opened last
    rw_opened_at: str = ""  # and when, wall, as in the ledger
    head_read_at_s: float = float("-inf")  # when the last good read of the ledger's head was sent
    ledger_head: str = ""  # hash of the last line
    is_fenced: bool = False  # RW of this pod closed itself: head or own Lease too old (S6)
    worker_restarts: int = 0  # relay processes that had to be started again
    certificates: Mapping[str, float] = field(factory=dict, hash=False)  # which -> end, unix time
    network_policy: str = "unknown"  # of POLICY_STATES
    tally: Tally = field(factory=idle_tally, eq=False, repr=False)
    kube_tally: KubeTally = field(factory=KubeTally, eq=False, repr=False)

    @property
    def told_lines(self) -> tuple[str, ...]:
        """The ledger as far as people want to see it, in order; there may be gaps."""
        return (*self.earlier_lines, *self.ledger_lines)

    @property
    def head_age_from_s(self) -> float | None:
        """When the head was read last; None: never."""
        return self.head_read_at_s if self.head_read_at_s > float("-inf") else None

    @property
    def is_alive(self) -> bool:
        """Whether the loop turned lately."""
        return self.now_s - max(self.turned_at_s, self.view.started_at_s) <= ALIVE_S

    @property
    def why_not_ready(self) -> tuple[str, ...]:
        """What keeps this pod from serving clients: each gateway that is switched on listens, and
        the ledger was verified."""
        reasons = []
        if not self.is_ledger_verified:
            reasons.append(f"the ledger is not verified: {self.ledger_trouble or 'not read yet'}")
        reasons += [
            f"the {kind} gateway does not listen" for kind in self.gateways.keys() - self.listening
        ]
        return tuple(sorted(reasons))

    def may_stop(self, instance: Instance) -> Stop:
        """Whether the instance may stop, by a ledger that was confirmed just now."""
        if self.now_s - self.head_read_at_s > HEAD_IS_OLD_S:
            return Stop(False, "this pod has not read the ledger lately")
        return may_stop(self.cluster, self.view, instance)

    @property
    def troubles(self) -> dict[str, str]:
        """The present troubles with the API server."""
        return {what: text for what, text in self.kube_trouble.items() if text}


SnapshotSource = Callable[[], Snapshot]
