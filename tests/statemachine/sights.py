"""Short ways to make clusters and views for tests of decisions."""

from typing import Any

from attrs import evolve

from statemachine.cluster import Change, Cluster, Registration
from statemachine.decide import Refusal, decide
from statemachine.events import Event
from statemachine.ids import Incarnation, Instance, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import (
    Container,
    Failure,
    GatewayFacts,
    PodFacts,
    ProbeAnswered,
    Row,
)
from statemachine.view import GatewayView, InstanceView, Policy, Promotion, View

A, B, C = Instance("memgraph-0"), Instance("memgraph-1"), Instance("memgraph-2")
NOW_S = 100.0
LEADER = "controller-0/uid/1"
STORAGE = "storage-0"
NAME_B, NAME_C = "memgraph_1_g1", "memgraph_2_g2"
POLICY = Policy(eligible=(A, B))


def pod(instance: Instance, **changes: Any) -> PodFacts:
    """A running pod."""
    facts = PodFacts(
        instance, f"uid-{instance}", f"127.0.0.{instance[-1]}", True, False, Container.RUNNING
    )
    return evolve(facts, **changes)


def row(name: str, instance: Instance, mode: Mode = Mode.STRICT_SYNC, **changes: Any) -> Row:
    """A row in sync."""
    made = Row(name, f"127.0.0.{instance[-1]}:10000", mode, RowStatus.READY, 0, 5)
    return evolve(made, **changes)


ROWS = (row(NAME_B, B), row(NAME_C, C, Mode.ASYNC))


def seen(
    instance: Instance, role: Role = Role.REPLICA, rows: tuple[Row, ...] | None = None, **more: Any
) -> InstanceView:
    """An instance that answers now."""
    answer = ProbeAnswered(
        instance,
        NOW_S - 0.1,
        NOW_S - 0.1,
        Incarnation(int(instance[-1]) + 1),
        role,
        "3.12.0",
        STORAGE,
        rows,
        None,
    )
    answer = evolve(
        answer, **{k: more.pop(k) for k in ("storage_uuid", "node_count", "at_s") if k in more}
    )
    return evolve(InstanceView(instance, pod=pod(instance), answer=answer), **more)


def failing(view: InstanceView, failure: Failure, for_s: float, **more: Any) -> InstanceView:
    """The same instance, not answering for some time."""
    since_s = NOW_S - for_s
    return evolve(view, failing_since_s=since_s, failed_at_s=NOW_S, failure=failure, **more)


def gateway(name: str, acked: int = 99, vantage: dict[str, str] | None = None, **more: Any) -> Any:
    """A living gateway that has acknowledged everything."""
    facts = GatewayFacts(name, "1", Seq(acked), True, Term(3), 0, vantage or {A: "ok"})
    return evolve(GatewayView(facts, NOW_S - 0.5), **more)


def view(*instances: InstanceView, **more: Any) -> View:
    """What the leader sees: two gateways, everything read long ago."""
    made = View(
        policy=POLICY,
        me="controller-0",
        now_s=NOW_S,
        identity=LEADER,
        instances=tuple(sorted(instances, key=lambda i: i.instance)),
        gateways=(gateway("controller-0"), gateway("controller-1")),
        gateways_watched_since_s=0.0,
        gateways_seen_at_s=NOW_S,
        gateways_read_after=Seq(99),
        pods_known=True,
        term_since_s=NOW_S - 20,
    )
    return evolve(made, **more)


MAIN = seen(A, Role.MAIN, ROWS)
SYNC, OTHER = seen(B), seen(C)
WELL = view(MAIN, SYNC, OTHER)


def joined(name: str = NAME_B, instance: Instance = B, **changes: Any) -> Registration:
    """A registration in the sync set."""
    made = Registration(
        name,
        instance,
        Mode.STRICT_SYNC,
        f"127.0.0.{instance[-1]}:10000",
        pod=f"uid-{instance}/0",
        is_joined=True,
    )
    return evolve(made, **changes)


OPERATIONAL = Cluster(
    phase=Phase.OPERATIONAL,
    seq=Seq(20),
    term=Term(3),
    leader=LEADER,
    main=A,
    main_term=Term(3),
    rw_open=True,
    sync=frozenset({A, B}),
    readers=frozenset({B, C}),
    storage_uuid=STORAGE,
    generation=2,
    registrations=(joined(), joined(NAME_C, C, mode=Mode.ASYNC, is_joined=False)),
)
DEGRADED = evolve(
    OPERATIONAL,
    phase=Phase.DEGRADED,
    sync=frozenset({A}),
    registrations=(joined(is_joined=False), joined(NAME_C, C, mode=Mode.ASYNC, is_joined=False)),
)
FAILOVER = evolve(
    OPERATIONAL,
    phase=Phase.FAILOVER,
    seq=Seq(21),
    term=Term(4),
    rw_open=False,
    rw_closed_seq=Seq(21),
    readers=frozenset({C}),
    change=Change(cause="dead", old_main=A, candidate=B),
)
FENCED = evolve(
    FAILOVER, registrations=(), change=Change(cause="dead", old_main=A, candidate=B, fence="dead")
)


def promoted(instance: InstanceView, term: int = 4) -> InstanceView:
    """An instance that was promoted and pinned, and has answered as MAIN since."""
    assert instance.answer is not None
    answer = evolve(instance.answer, role=Role.MAIN, rows=())
    done = Promotion(Term(term), answer.incarnation, NOW_S - 0.5)
    return evolve(instance, answer=answer, promotion=done)


def decided(cluster: Cluster, what: View) -> str:
    """The trigger of the decision; "" when there is none."""
    decision = decide(cluster, what)
    return decision.trigger if isinstance(decision, Event) else ""


def refused(cluster: Cluster, what: View, trigger: str) -> Refusal:
    """Why this was not decided, the first reason."""
    decision = decide(cluster, what)
    assert not isinstance(decision, Event), decision
    return next(r for r in decision if r.trigger == trigger)
