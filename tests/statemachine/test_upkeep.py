"""Registrations: which names are given up, and why."""

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    NAME_B,
    NOW_S,
    SYNC,
    A,
    B,
    decided,
    failing,
    gateway,
    pod,
    row,
    seen,
    view,
)

from statemachine.commands import Drop, ListGateways
from statemachine.decide import decide
from statemachine.events import Event, RegistrationOpened, RegistrationRetired
from statemachine.evolve import evolve as fold
from statemachine.ids import Durability, Role, RowStatus, Seq, Term
from statemachine.observations import Failure
from statemachine.plan import plan
from statemachine.view import InstanceView, Marker, View

MARKER = Marker(Term(3), NOW_S - 3, NOW_S - 2, (), ())
INVALID = row(NAME_B, B, status=RowStatus.INVALID)
REQUIRED = evolve(
    DEGRADED,
    durability=Durability.REQUIRED,
    durability_setting=Durability.REQUIRED,
    rw_open=False,
    registrations=DEGRADED.registrations[:1],
    readers=frozenset(),
)


def lost_disk(for_s: float) -> View:
    """The sync came back empty under its old name; its row has been invalid for so long."""
    main = seen(A, Role.MAIN, (INVALID,), unready_since_s=((NAME_B, NOW_S - for_s),))
    what = view(main, seen(B, storage_uuid="another", node_count=0))
    return evolve(what, policy=evolve(what.policy, durability=Durability.REQUIRED))


def test_a_replica_that_lost_its_disk_gets_a_new_name() -> None:
    """Its row would stay invalid for ever: an empty replica takes our storage over at REGISTER
    only, and under `required` no renewal clears the row."""
    decision = decide(REQUIRED, lost_disk(for_s=6))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, RegistrationRetired)
    assert "lost its data" in decision.why


def test_a_row_that_was_just_registered_is_given_time() -> None:
    """Right after REGISTER the last answer may still show the replica's former storage."""
    assert not isinstance(decide(REQUIRED, lost_disk(for_s=1)), Event)


def cut_short(now: str, for_s: float = 6.0, replica: InstanceView = SYNC) -> View:
    """The row was opened while the main was process "uid-memgraph-0/0"; it is `now` another."""
    main = seen(A, Role.MAIN, (INVALID,), unready_since_s=((NAME_B, NOW_S - for_s),))
    pod_ = evolve(pod(A), restarts=int(now))
    what = view(evolve(main, pod=pod_), replica)
    return evolve(what, policy=evolve(what.policy, durability=Durability.REQUIRED))


OPENED = evolve(REQUIRED, registrations=(evolve(REQUIRED.registrations[0], main_pod=f"uid-{A}/0"),))


def test_a_register_that_the_main_did_not_survive_is_made_anew() -> None:
    """The restarted main calls on a replica that it never told whom to follow, and is turned away
    for ever: no write would go through under `required`, and an asynchronous copy would stay where
    it is (MEMGRAPH 1.6; seeds 250254, 250381)."""
    decision = decide(OPENED, cut_short("1"))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, RegistrationRetired)
    assert "cut short" in decision.why
    retired = fold(OPENED, decision)
    assert Drop(A, NAME_B, OPENED.term) in plan(retired, cut_short("1"))


def test_a_row_that_cannot_be_reached_waits_for_its_link() -> None:
    """REGISTER of one that does not answer stops the main for seconds (L9): a row that the very
    same process of the main registered comes back by itself, and one whose replica is gone too."""
    assert decided(OPENED, cut_short("0")) != "registration_retired"
    assert decided(OPENED, cut_short("1", for_s=1.0)) != "registration_retired"
    silent = failing(SYNC, Failure.SILENT, 6.0)
    assert decided(OPENED, cut_short("1", replica=silent)) != "registration_retired"


def test_entries_from_before_the_main_was_noted_prove_nothing() -> None:
    """Without its word a restart cannot be told from none."""
    assert decided(REQUIRED, cut_short("1")) != "registration_retired"


def test_the_incarnation_of_the_main_is_noted_with_each_name() -> None:
    """It is what a restart is told by."""
    alone = evolve(DEGRADED, registrations=())
    decision = decide(alone, view(seen(A, Role.MAIN, (), marker=MARKER), SYNC))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, RegistrationOpened)
    assert decision.payload.main_pod == f"uid-{A}/0"
    assert fold(alone, decision).registrations[0].main_pod == f"uid-{A}/0"


RETIRED = evolve(REQUIRED, registrations=(), rw_closed_seq=Seq(50))
LONG_UNREADY = seen(A, Role.MAIN, (INVALID,), unready_since_s=((NAME_B, NOW_S - 60),))


@pytest.mark.parametrize("acked", [49, 50])
def test_a_row_is_dropped_once_no_gateway_can_acknowledge(acked: int) -> None:
    """A commit waits for this very row, and DROP lets it through: a gateway that has not closed yet
    would acknowledge what one copy holds, which `required` excludes (seed 271320)."""
    gateways = (gateway("controller-0"), gateway("controller-1", acked=acked))
    what = view(LONG_UNREADY, SYNC, gateways=gateways, gateways_read_after=Seq(50))
    is_dropped = Drop(A, NAME_B, RETIRED.term) in plan(RETIRED, what)
    assert is_dropped is (acked == 50)


def test_the_gateways_are_listed_whenever_writes_were_closed() -> None:
    """Else nobody would know that they have, and the row would stay for ever."""
    listed = ListGateways(Seq(50), RETIRED.term)
    for read_after, is_owed in ((49, True), (50, False)):
        what = view(LONG_UNREADY, SYNC, gateways_read_after=Seq(read_after))
        assert (listed in plan(RETIRED, what)) is is_owed


@pytest.mark.parametrize(("for_s", "is_dropped"), [(1.0, False), (6.0, True)])
def test_a_young_row_is_not_dropped_under_writers(for_s: float, is_dropped: bool) -> None:
    """A recovery of that replica may be queued, and DROP crashes the main then (L8)."""
    open_ = evolve(DEGRADED, registrations=())
    main = seen(A, Role.MAIN, (INVALID,), unready_since_s=((NAME_B, NOW_S - for_s),), marker=MARKER)
    assert (Drop(A, NAME_B, open_.term) in plan(open_, view(main, SYNC))) is is_dropped
