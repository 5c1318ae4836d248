"""What the preStop hook waits for: a yes only when clients would not notice."""

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    FAILOVER,
    MAIN,
    NAME_B,
    NOW_S,
    OPERATIONAL,
    OTHER,
    POLICY,
    SYNC,
    WELL,
    A,
    B,
    C,
    failing,
    joined,
    pod,
    row,
    seen,
    view,
)

from statemachine.cluster import Change, Cluster, Refused
from statemachine.ids import Instance, Mode, Role, RowStatus, Term
from statemachine.observations import Failure
from statemachine.prestop import may_stop
from statemachine.view import View

NAME_C = "memgraph_2_g2"
ASYNC_C = row(NAME_C, C, Mode.ASYNC)


def leaving(instance: Instance, what: View = WELL) -> View:
    """The same view with one pod being deleted."""
    changed = tuple(
        evolve(i, pod=pod(i.instance, deleting=True)) if i.instance == instance else i
        for i in what.instances
    )
    return evolve(what, instances=changed)


def with_rows(*rows: object, **more: object) -> View:
    """A main with these rows."""
    return view(seen(A, Role.MAIN, rows), SYNC, OTHER, **more)  # type: ignore[arg-type]


ALONE = evolve(
    DEGRADED,
    registrations=(joined(NAME_C, C, mode=Mode.ASYNC, is_joined=False),),
    lagging=frozenset({B}),
)
PLANNED = evolve(FAILOVER, change=Change("leaves", A, B, is_planned=True, needs_drain=True))
OTHER_CATCHES_UP = with_rows(row(NAME_B, B), evolve(ASYNC_C, status=RowStatus.RECOVERY))
SILENT = view(MAIN, SYNC, failing(OTHER, Failure.SILENT, 60))
REFUSED = evolve(OPERATIONAL, refused=(Refused(C, Term(3), "Error: 3"),))

CASES = [
    ("an async replica", OPERATIONAL, leaving(C), C, "", True),
    ("a pod that is not being deleted", OPERATIONAL, WELL, C, "not being deleted", False),
    ("the main", OPERATIONAL, leaving(A), A, "is the main", False),
    ("the main without a second copy", ALONE, leaving(A), A, "no second copy", False),
    ("the sync", OPERATIONAL, leaving(B), B, "in the sync set", False),
    ("the candidate", PLANNED, leaving(B), B, "takes part", False),
    ("the old main while it changes", PLANNED, leaving(A), A, "takes part", False),
    ("let go, its row still blocks", DEGRADED, leaving(B), B, "still waits", False),
    ("let go, its row is gone", ALONE, leaving(B, with_rows(ASYNC_C)), B, "", True),
    ("another one catches up", OPERATIONAL, leaving(B, OTHER_CATCHES_UP), B, "sync set", False),
    ("another one catches up, async", ALONE, leaving(C, with_rows()), C, "catches up", False),
    ("another one does not answer", OPERATIONAL, leaving(C, SILENT), C, "", True),
    ("another one is refused", REFUSED, leaving(C), C, "", True),
    ("the pods are not known", OPERATIONAL, evolve(leaving(C), pods_known=False), C, "yet", False),
    ("nothing was ever written", Cluster(), leaving(A), A, "", True),
]


@pytest.mark.parametrize(("name", "cluster", "what", "who", "says", "safe"), CASES)
def test_may_stop(
    name: str, cluster: Cluster, what: View, who: Instance, says: str, safe: bool
) -> None:
    """Exactly those may stop whom neither clients nor redundancy need, and the reason is told."""
    stop = may_stop(cluster, what, who)
    assert stop.is_safe == safe, stop
    assert says in stop.reason


def test_the_next_pod_waits_for_the_last_one_to_become_synchronous() -> None:
    """A replica that is attached but does not hold everything yet is no second copy."""
    cluster = evolve(
        DEGRADED,
        registrations=(
            joined(is_joined=False, mode=Mode.ASYNC),
            joined(NAME_C, C, mode=Mode.ASYNC, is_joined=False),
        ),
    )
    what = leaving(C, with_rows(row(NAME_B, B, Mode.ASYNC), ASYNC_C))
    stop = may_stop(cluster, what, C)
    assert not stop.is_safe
    assert "becomes synchronous" in stop.reason


def test_a_stale_look_at_the_main_is_no_proof() -> None:
    """The rows must have been read after the last command and lately (scenario 74)."""
    old = evolve(with_rows(ASYNC_C), now_s=NOW_S + POLICY.fresh_s + 1)
    assert not may_stop(ALONE, leaving(B, old), B).is_safe
