"""Stories that the model check told, each reduced to one situation."""

from attrs import evolve
from sights import DEGRADED, NAME_B, NOW_S, OTHER, ROWS, SYNC, A, decided, row, seen, view

from statemachine.ids import Instance, Role, RowStatus
from statemachine.view import View

B = Instance("memgraph-1")


def with_zombie(for_s: float) -> View:
    """A main whose row for the replica has replicated nothing for some time."""
    zombie = row(NAME_B, B, status=RowStatus.ABSENT, behind=None)
    main = seen(A, Role.MAIN, (zombie, *ROWS[1:]), unready_since_s=((NAME_B, NOW_S - for_s),))
    return view(main, SYNC, OTHER)


def test_a_row_whose_register_failed_unheard_is_retired() -> None:
    """The leader died, or lost the answer, while REGISTER was refused: the row that is left
    replicates nothing and blocks its address, so the name is given up (S8); else the replica
    would never be registered again."""
    assert decided(DEGRADED, with_zombie(6.0)) == "registration_retired"


def test_a_row_that_replicates_nothing_yet_is_waited_for() -> None:
    """Only a while later is it sure that nobody is just about to tell why."""
    assert decided(DEGRADED, with_zombie(1.0)) == ""


def test_a_register_under_way_is_not_given_up() -> None:
    """While the leader waits for its own REGISTER the row is what it is."""
    running = evolve(with_zombie(6.0), registering_since_s=NOW_S - 6.0)
    assert decided(DEGRADED, running) != "registration_retired"
