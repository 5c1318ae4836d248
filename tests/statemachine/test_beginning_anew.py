"""A fresh cluster whose appointed main loses its disk before anybody could write."""

import pytest
from attrs import evolve
from sights import LEADER, NOW_S, A, B, C, decided, row, seen, view

from statemachine import events as e
from statemachine.archive import why_implausible
from statemachine.cluster import Cluster
from statemachine.decide import decide
from statemachine.events import Event, MainAppointed
from statemachine.evolve import evolve as fold
from statemachine.ids import Phase, Role, Seq, Term
from statemachine.invariants import InvariantViolated
from statemachine.observations import Failure
from statemachine.view import InstanceView, Unsettled, View

D = Phase.DEGRADED
APPOINTED = Cluster(
    phase=D,
    seq=Seq(3),
    term=Term(2),
    leader=LEADER,
    main=A,
    main_term=Term(2),
    is_fresh=True,
    rw_closed_seq=Seq(2),
    sync=frozenset({A}),
    storage_uuid="first-disk",
)
OTHERS = (seen(B, storage_uuid="of-b", node_count=0), seen(C, storage_uuid="of-c", node_count=0))
BACK = seen(A, storage_uuid="second-disk", node_count=0)


def sight(main: InstanceView = BACK, *others: InstanceView) -> View:
    """What the leader sees."""
    return view(main, *(others or OTHERS))


def test_it_is_appointed_anew_over_what_is_proven_empty() -> None:
    """A new term, the new storage, writes closed as before: it goes on like the first time (S2,
    S10); nothing acknowledged can be missing, for nobody could write."""
    decision = decide(APPOINTED, sight())
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, MainAppointed)
    after = fold(APPOINTED, decision)
    assert (after.main, after.storage_uuid, after.term, after.main_term) == (A, "second-disk", 3, 3)
    assert (after.is_fresh, after.rw_open, after.rw_closed_seq) == (True, False, after.seq)
    assert why_implausible(APPOINTED, after) == ""


def test_a_late_promotion_of_the_empty_one_is_no_hindrance() -> None:
    """A command of before has made it a MAIN without any node: still nothing to lose."""
    assert decided(APPOINTED, sight(evolve(BACK, answer=as_main(BACK)))) == "main_appointed"


def as_main(of: InstanceView) -> object:
    """Its answer as a MAIN without replicas."""
    return evolve(of.answer, role=Role.MAIN, rows=())


WITH_ROWS = evolve(BACK, answer=evolve(as_main(BACK), rows=(row("x", B),)))
HINDRANCES = {
    "it is the same disk": sight(seen(A, storage_uuid="first-disk", node_count=0)),
    "it has data": sight(seen(A, storage_uuid="second-disk", node_count=1)),
    "another one has data": sight(BACK, OTHERS[0], seen(C, storage_uuid="x", node_count=1)),
    "it was not counted": sight(seen(A, storage_uuid="second-disk")),
    "it has replicas": sight(WITH_ROWS),
    "an eligible one is away": sight(
        BACK, evolve(OTHERS[0], failing_since_s=NOW_S - 1, failure=Failure.REFUSED), OTHERS[1]
    ),
    "a command may still land": sight(evolve(BACK, unsettled=Unsettled(NOW_S - 1, "uid"))),
    "it does not answer": sight(
        evolve(BACK, failing_since_s=NOW_S - 1, failure=Failure.REFUSED), *OTHERS
    ),
    "the pods were not listed": evolve(sight(), pods_known=False),
}


@pytest.mark.parametrize("what", HINDRANCES.values(), ids=HINDRANCES)
def test_what_is_not_proven_is_waited_for(what: View) -> None:
    """As at the beginning: everybody eligible answers, and everybody is proven empty."""
    assert decided(APPOINTED, what) != "main_appointed"


def test_a_cluster_that_clients_could_write_to_is_never_begun_anew() -> None:
    """Once it was promoted its storage is the cluster's for ever, whatever answers (S10); an entry
    that says otherwise stops everything."""
    given = evolve(APPOINTED, is_fresh=False, rw_open=True)
    assert decided(given, sight()) != "main_appointed"
    anew = Event(e.MainAppointed(A, "second-disk"), D, D, "a bug")
    with pytest.raises(InvariantViolated, match="storage_never_changes"):
        fold(given, anew)
    same_storage = Event(e.MainAppointed(A, "first-disk"), D, D, "a bug")
    with pytest.raises(InvariantViolated, match="appointed over it"):
        fold(given, same_storage)
