"""What is taken over with a main that is adopted."""

import pytest
from sights import LEADER, A, B, C, row, seen, view

from statemachine.cluster import Cluster
from statemachine.decide import decide
from statemachine.events import Event, RegistrationOpened
from statemachine.evolve import evolve as fold
from statemachine.facts import generation_found
from statemachine.ids import Role, RowStatus, Seq, Term
from statemachine.observations import Row
from statemachine.view import View

WITHOUT = Cluster(leader=LEADER, seq=Seq(1), term=Term(1))


def found(*rows: Row) -> View:
    """A main with data and these rows, and two replicas."""
    main = seen(A, Role.MAIN, rows, node_count=1)
    return view(main, seen(B, node_count=1), seen(C, node_count=1))


def test_names_go_on_behind_those_that_a_lost_ledger_gave() -> None:
    """S8: an adopted main's rows may carry names of ours, and a late command may still mean one of
    them: the next name has a generation above all of them, whoever they belong to."""
    gone = row("memgraph_7_g9", C, address="127.0.0.99:10000", status=RowStatus.INVALID)
    sight = found(row("memgraph_1_g7", B), gone)
    adopted = decide(WITHOUT, sight)
    assert isinstance(adopted, Event)
    after = fold(WITHOUT, adopted)
    assert (after.generation, [r.name for r in after.registrations]) == (9, ["memgraph_1_g7"])
    opened = decide(after, sight)
    assert isinstance(opened, Event)
    assert isinstance(opened.payload, RegistrationOpened)
    assert opened.payload.name == "memgraph_2_g10"


@pytest.mark.parametrize("rows", [(), (row("replica_one", B), row("x_g12a", C))])
def test_names_made_by_hand_have_no_generation(rows: tuple[Row, ...]) -> None:
    """Then names begin with the first."""
    assert generation_found(found(*rows), A) == 0
    assert generation_found(found(*rows), B) == 0
