"""Soft state: the latest observations with their age. Lost at a restart, rebuilt by listing and
probing. Nothing in here is true for ever; who uses a fact looks at its age."""

from attrs import field, frozen

from statemachine.ids import Durability, Incarnation, Instance, Mode, Role, Seq, Term
from statemachine.observations import (
    Container,
    Failure,
    GatewayFacts,
    PodFacts,
    ProbeAnswered,
    Request,
    Row,
)


@frozen
class Policy:
    """Settings that decisions look at. Durations in seconds; relations are checked by settings."""

    eligible: tuple[Instance, ...]
    durability: Durability = Durability.PREFERRED
    mode: Mode = Mode.STRICT_SYNC
    replication_port: int = 10000
    replication_domain: str = ""  # ".svc.ns.svc.cluster.local"; "" = register by pod IP
    main_grace_s: float = 2.0  # silence of the main before it counts as lost
    sync_grace_s: float = 3.0  # unreadiness of the sync before writes go on without it
    fresh_s: float = (
        1.5  # an answer older than this is no evidence of life (PROBE_INTERVAL + timeout)
    )
    gateway_barrier_s: float = 5.0  # > GATEWAY_SELF_FENCE: then a silent gateway has closed itself
    row_settle_s: float = 5.0  # DROP only a row unready that long: younger ones crashed a main (L8)
    candidate_grace_s: float = 15.0  # a candidate that others reach has a busy link, not a fault
    register_freeze_s: float = 12.0  # REGISTER of a silent target freezes the main 10 s (L9)
    renewal: str = "eager"  # eager | lazy (before a planned change of main) | off
    renewal_deadline_s: float = 2.0  # how long clients wait for replicas to be registered in it
    catch_up_s: float = 5.0  # an ASYNC stage lasts at least that long
    reset_interval_s: float = 60.0  # at most one reset of an instance in this time
    reset: str = "safe"  # off | safe (only when nothing acknowledged can be missing) | always
    diverged_keep_s: float = 604_800.0  # what a reset set aside is kept so long; infinity: for ever
    read_fallback_main: bool = False
    cluster_name: str = ""  # the release: what a person types who accepts a loss
    failover_cooldown_s: float = 0.0  # no second automatic failover sooner; 0 = no limit
    observe_only: bool = False  # decide, record, and do nothing


@frozen
class Unsettled:
    """A role command whose outcome is unknown (S9), and what the pod watch showed when it ended.

    The process that it went to may be one younger than that picture, which comes late; so that one
    restart more proves nothing by itself: it may be that very process's own.
    """

    since_s: float
    uid: str = ""
    restarts: int = 0
    was_refused: bool = False
    """A dial made since found nobody there: whoever listened when the command was sent has ended,
    or is about to, and never listens again."""

    def is_over(self, pod: PodFacts | None) -> bool:
        """Whether the process that the command was sent to has surely ended."""
        if pod is None or pod.uid != self.uid:
            return True
        surely = self.restarts + (1 if self.was_refused else 2)
        return pod.restarts >= surely


@frozen
class Promotion:
    """A Promote that was carried out wholly: role read back and epoch pinned in one incarnation."""

    term: Term
    incarnation: Incarnation
    at_s: float


@frozen
class Marker:
    """A marker write that went through the main."""

    term: Term
    started_at_s: float
    at_s: float
    names: tuple[str, ...]
    incarnations: tuple[tuple[Instance, Incarnation], ...]
    """Who was behind each connection *before* the marker was sent."""


@frozen
class InstanceView:
    """What this process knows of one instance."""

    instance: Instance
    pod: PodFacts | None = None
    answer: ProbeAnswered | None = None
    failing_since_s: float | None = None  # when the first unanswered probe was sent
    failed_at_s: float | None = None  # when the last unanswered probe was sent
    failure: Failure | None = None
    failure_text: str = ""
    unready_since_s: tuple[tuple[str, float], ...] = ()  # on a main: row name -> since
    is_behind: bool = False  # on a main: by its last answer some replica may miss a commit
    fell_silent: bool = False  # since it fails, some question got neither an answer nor a refusal
    seen_replica_at_s: float | None = None  # last answer as REPLICA
    process_told_at_s: float = float("-inf")  # last word of the kubelet that its process ended
    touched_at_s: float = float("-inf")  # last end of a command here: older answers are stale
    unsettled: Unsettled | None = None
    promotion: Promotion | None = None
    marker: Marker | None = None
    reset_at_s: float | None = None
    token_written: int | None = None
    """Reset token that its init container can read: 0 = surely none, None = not known in this
    reign, so that it is withdrawn once before anybody relies on the instance's data."""
    released_written: tuple[int, ...] | None = None
    """Copies that its init container can read to be released; None = not known in this reign."""
    restarted_for: int = 0  # reset token for which its pod was deleted

    @property
    def pod_incarnation(self) -> str:
        """The kubelet's word on the incarnation, stable for all observers: "uid/restarts"."""
        return f"{self.pod.uid}/{self.pod.restarts}" if self.pod else ""

    @property
    def kubelet_says_gone(self) -> bool:
        """Whether the API server says that no database process runs there."""
        return self.pod is None or self.pod.container in (Container.TERMINATED, Container.WAITING)

    def row(self, name: str) -> Row | None:
        """The row of SHOW REPLICAS under this name in the last answer."""
        rows = self.answer.rows if self.answer else None
        return next((r for r in rows or () if r.name == name), None)

    def unready_for_s(self, name: str, now_s: float) -> float:
        """For how long the row has not been ready; 0 when it is ready or absent."""
        return next((now_s - since for n, since in self.unready_since_s if n == name), 0.0)


@frozen
class GatewayView:
    """One gateway and when *we* saw its Lease change last."""

    facts: GatewayFacts
    changed_at_s: float
    is_deleted: bool = False


@frozen
class RequestView:
    """A request and when this process saw it first."""

    request: Request
    since_s: float


@frozen
class RefusedRegistration:
    """Memgraph's answer to a REGISTER that failed."""

    name: str
    code: int | None
    text: str


@frozen
class View:
    """Everything seen, by one process."""

    policy: Policy
    me: str = ""  # this pod's name
    now_s: float = 0.0
    started_at_s: float = 0.0
    identity: str = ""  # of the present reign; "" = not leader
    reign_since_s: float = 0.0
    term: Term = Term(0)
    seq: Seq = Seq(0)
    folded_at_s: float = 0.0  # when this process folded the last event
    term_since_s: float = 0.0  # when this process folded the first event of the present term
    instances: tuple[InstanceView, ...] = ()
    gateways: tuple[GatewayView, ...] = ()
    gateways_watched_since_s: float | None = None
    """When the first picture came, or the first after we saw none for too long: whoever came and
    went before that is not known."""
    gateways_seen_at_s: float | None = None  # the last picture
    gateways_read_after: Seq = Seq(0)  # last quorum list was taken after this event
    controllers: tuple[PodFacts, ...] = ()
    pods_known: bool = False
    registering_since_s: float | None = None  # a REGISTER is under way on the main
    marking: tuple[tuple[Instance, Incarnation], ...] = ()  # incarnations when the marker was sent
    refused_registrations: tuple[RefusedRegistration, ...] = field(default=())
    requests: tuple[RequestView, ...] = ()
    wall_s: float = 0.0  # for what people have dated

    @property
    def is_blind(self) -> bool:
        """Whether no picture of the gateways came for as long as one takes to close itself. Ours
        alone renews its Lease several times in that time, so the watch was interrupted, or hangs:
        a gateway may have come and gone unseen, and what others see is not known."""
        seen_s = self.gateways_seen_at_s
        return seen_s is None or self.now_s - seen_s > self.policy.gateway_barrier_s

    def instance(self, instance: Instance) -> InstanceView:
        """What is known of an instance; an empty view when nothing is."""
        for seen in self.instances:
            if seen.instance == instance:
                return seen
        return InstanceView(instance)

    def is_answering(self, instance: Instance) -> bool:
        """Whether its last probe was answered, and lately."""
        seen = self.instance(instance)
        if seen.answer is None or seen.failing_since_s is not None:
            return False
        return self.now_s - seen.answer.at_s <= self.policy.fresh_s

    def answers_as(self, instance: Instance, role: Role) -> bool:
        """Whether it answers now, in this role."""
        answer = self.instance(instance).answer
        return self.is_answering(instance) and answer is not None and answer.role is role

    def storage_uuid(self, instance: Instance) -> str:
        """The storage UUID in its last answer, "" when there is none."""
        answer = self.instance(instance).answer
        return answer.storage_uuid if answer else ""

    def vantage(self) -> dict[str, str]:
        """What this pod tells the others in its gateway Lease: instance -> ok | how it fails."""
        return {
            i.instance: i.failure.value if i.failure else ("ok" if i.answer else "unseen")
            for i in self.instances
        }
