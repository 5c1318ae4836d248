"""Stories that seeds of the simulation told, each reduced to one situation."""

from attrs import evolve
from sights import (
    DEGRADED,
    FENCED,
    LEADER,
    NAME_B,
    NOW_S,
    OTHER,
    ROWS,
    SYNC,
    A,
    B,
    decided,
    seen,
    view,
)

from statemachine.cluster import Change
from statemachine.commands import Mark
from statemachine.ids import Incarnation, Instance, Role, Term
from statemachine.plan import plan
from statemachine.view import Marker, View


def with_marker_of(term: int) -> View:
    """The main with a marker that carried the replica's present incarnation in this term."""
    assert SYNC.answer is not None
    incarnations: tuple[tuple[Instance, Incarnation], ...] = ((B, SYNC.answer.incarnation),)
    marker = Marker(Term(term), NOW_S - 3, NOW_S - 2, (NAME_B,), incarnations)
    return view(seen(A, Role.MAIN, ROWS, marker=marker), SYNC, OTHER)


def test_a_marker_of_an_earlier_term_is_written_again() -> None:
    """A marker went through, and the API server was down until another reign of the same process:
    it proves nothing in the new term, so a new one is owed, or the replica never joins (seed
    186)."""
    assert Mark(A, DEGRADED.term, (NAME_B,)) in plan(DEGRADED, with_marker_of(2))


def test_a_marker_of_this_term_is_enough() -> None:
    """What is proven is not asked again."""
    assert Mark(A, DEGRADED.term, (NAME_B,)) not in plan(DEGRADED, with_marker_of(3))


def test_a_main_that_came_back_empty_is_lost_though_it_answers() -> None:
    """The only member of the sync set answers with another storage: nobody is safe, and the ledger
    says so (seed 148)."""
    empty = seen(A, Role.REPLICA, None, storage_uuid="storage-new", node_count=0)
    alone = evolve(DEGRADED, leader=LEADER)
    assert decided(alone, view(empty, SYNC, OTHER)) == "main_lost"


def test_a_candidate_that_came_back_empty_is_lost_though_it_answers() -> None:
    """In a renewal the main lost its disk: it would never become main again, and the other member
    holds everything (S10; seed 20278)."""
    renewal = Change(cause="", old_main=A, candidate=A, is_planned=True, fence="demoted")
    moved = evolve(FENCED, change=renewal)
    empty = seen(A, Role.REPLICA, None, storage_uuid="storage-new", node_count=0)
    assert decided(moved, view(empty, SYNC, OTHER)) == "candidate_lost"
