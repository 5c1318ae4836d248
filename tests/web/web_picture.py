"""Hand-made pictures of a controller pod, for the tests of what is shown."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from attrs import evolve, field, frozen

from controller.web import Snapshot
from gateway.histogram import Distribution
from statemachine import events as e
from statemachine.cluster import Cluster, Refused, Registration
from statemachine.decide import Refusal
from statemachine.events import Event, Payload, trigger_of
from statemachine.ids import Incarnation, Instance, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.ledger import Ledger
from statemachine.observations import (
    Container,
    Failure,
    GatewayFacts,
    PodFacts,
    ProbeAnswered,
    Row,
)
from statemachine.view import GatewayView, InstanceView, Policy, View

NOW_S = 100.0
STARTED_AT = datetime(2025, 11, 21, 7, 0, tzinfo=UTC)
M0, M1, M2 = (Instance(f"memgraph-{i}") for i in range(3))
UUID = "7c2f6f0e"
FAILED_OVER_AT = "2025-11-21T07:00:10"


DURATIONS = Distribution((1.0, 10.0), (2, 3, 1), 40.0)
WAITS = Distribution((0.01,), (6, 0), 0.02)


@frozen
class FakeCounters:
    """Counters of a gateway that has seen some life."""

    term: int | None = 8
    accepted: int = 12
    active: int = 3
    held: int = 1
    cut: int = 4
    dial_failures: int = 2
    bytes_up: int = 1000
    bytes_down: int = 2000
    refused: Mapping[str, int] = field(factory=lambda: {"no_route": 5})
    ended: Mapping[str, int] = field(factory=lambda: {"client_closed": 6, "cut": 4})
    sessions: Mapping[str, int] = field(factory=lambda: {"memgraph-1": 3})
    durations_s: Distribution = DURATIONS
    waits_s: Distribution = WAITS
    dials_s: Distribution = WAITS
    cut_by_term: Mapping[str, int] = field(factory=lambda: {"8": 4})
    failed_dials: Mapping[str, int] = field(factory=lambda: {"memgraph-2": 2})
    drained_by_term: Mapping[str, int] = field(factory=lambda: {"8": 1})
    bytes_up_by: Mapping[str, int] = field(factory=lambda: {"memgraph-0": 400, "memgraph-1": 600})
    bytes_down_by: Mapping[str, int] = field(factory=lambda: {"memgraph-1": 2000})


def pod(name: str, ip: str) -> PodFacts:
    return PodFacts(name, f"uid-{name}", ip, True, False, Container.RUNNING, 0, "node-a")


def answer(instance: Instance, role: Role, *rows: Row, age_s: float = 0.2) -> ProbeAnswered:
    at_s = NOW_S - age_s
    seen = rows if role is Role.MAIN else None
    return ProbeAnswered(instance, at_s, at_s, Incarnation(4), role, "3.6.1", UUID, seen)


def row(name: str, mode: Mode, status: RowStatus = RowStatus.READY, behind: int = 0) -> Row:
    return Row(name, "10.0.0.1:10000", mode, status, behind)


def cluster(**changes: Any) -> Cluster:
    """OPERATIONAL after a failover: memgraph-1 is main, memgraph-0 sync, memgraph-2 async."""
    made = Cluster(
        phase=Phase.OPERATIONAL,
        seq=Seq(41),
        term=Term(8),
        leader="controller-a/1",
        main=M1,
        main_term=Term(8),
        rw_open=True,
        sync=frozenset({M0, M1}),
        readers=frozenset({M2}),
        storage_uuid=UUID,
        generation=5,
        registrations=(
            Registration("memgraph_0_g4", M0, Mode.STRICT_SYNC, "10.0.0.10:10000", "", True),
            Registration("memgraph_2_g5", M2, Mode.ASYNC, "10.0.0.12:10000"),
        ),
        verdict="none",
    )
    return evolve(made, **changes)


def view(**changes: Any) -> View:
    """All three answer; two gateways."""
    rows = (row("memgraph_0_g4", Mode.STRICT_SYNC), row("memgraph_2_g5", Mode.ASYNC, behind=-2))
    made = View(
        Policy(eligible=(M0, M1)),
        me="controller-a",
        now_s=NOW_S,
        started_at_s=10.0,
        identity="controller-a/1",
        reign_since_s=40.0,
        instances=(
            InstanceView(M0, pod(M0, "10.0.0.10"), answer(M0, Role.REPLICA)),
            InstanceView(M1, pod(M1, "10.0.0.11"), answer(M1, Role.MAIN, *rows)),
            InstanceView(M2, pod(M2, "10.0.0.12"), answer(M2, Role.REPLICA)),
        ),
        gateways=(
            GatewayView(
                GatewayFacts("controller-a", "71", Seq(41), True, Term(8), 3, {M1: "ok"}), 99.5
            ),
        ),
        pods_known=True,
    )
    return evolve(made, **changes)


def without(seen: View, instance: Instance, **changes: Any) -> View:
    """The view with changes to one instance."""
    changed = tuple(evolve(i, **changes) if i.instance == instance else i for i in seen.instances)
    return evolve(seen, instances=changed)


def failing(seen: View, instance: Instance, failure: Failure, text: str, for_s: float) -> View:
    """The view in which this instance has failed to answer for so long."""
    return without(
        seen,
        instance,
        failing_since_s=NOW_S - for_s,
        failure=failure,
        failure_text=text,
    )


def snapshot(**changes: Any) -> Snapshot:
    """A leader whose cluster is well."""
    made = Snapshot(
        cluster=cluster(),
        view=view(),
        started_at=STARTED_AT,
        now_s=NOW_S,
        turned_at_s=NOW_S - 0.1,
        is_ledger_verified=True,
        kube_trouble={"pods": ""},
        gateways={"rw": FakeCounters(), "ro": FakeCounters(accepted=1)},
        listening={"rw": "0.0.0.0:7687", "ro": "0.0.0.0:7688"},
        routed_at_s={"rw": NOW_S - 30, "ro": NOW_S - 20},
        is_leader=True,
    )
    return evolve(made, **changes)


REFUSAL = Refusal(
    "main_lost",
    "memgraph-0",
    "vantages_agree",
    "1 of 2 pods cannot reach it",
    True,
    (("evidence_lasts", "2.1 s of 2.0 s"), ("vantages_agree", "1 of 2 pods cannot reach it")),
)
REFUSED = Refused(M2, Term(8), "Error: 3")


def history() -> Ledger:
    """A ledger as the product writes it: adopted, a failover from memgraph-0 to memgraph-1."""
    name = "memgraph_1_g1"
    registered = Registration(name, M1, Mode.STRICT_SYNC, "10.0.0.11:10000")
    steps: tuple[tuple[Payload, Phase, Phase, str], ...] = (
        (e.LeaderElected("controller-a/1"), Phase.BOOTSTRAP, Phase.BOOTSTRAP, "07:00:00.000"),
        (
            e.ClusterAdopted(M0, UUID, (registered,)),
            Phase.BOOTSTRAP,
            Phase.DEGRADED,
            "07:00:00.100",
        ),
        (e.SyncJoined(M1, name), Phase.DEGRADED, Phase.OPERATIONAL, "07:00:01.000"),
        (
            e.MainLost(M1, "the main is silent", was_silent=True),
            Phase.OPERATIONAL,
            Phase.FAILOVER,
            "07:00:10.000",
        ),
        (e.MainFenced("dead"), Phase.FAILOVER, Phase.FAILOVER, "07:00:10.250"),
        (
            e.MainPromoted(M1, frozenset(), "none"),
            Phase.FAILOVER,
            Phase.DEGRADED,
            "07:00:10.900",
        ),
    )
    ledger = Ledger()
    for i, (payload, source, dest, at) in enumerate(steps):
        event = Event(payload, source, dest, f"because of {trigger_of(payload)}")
        ledger = ledger.append(
            event, at=f"2025-11-21T{at}+00:00", by="controller-a", entry_id=f"id{i}"
        )
    return ledger
