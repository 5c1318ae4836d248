"""Registrations: which names are given up, and why."""

from attrs import evolve
from sights import DEGRADED, NAME_B, NOW_S, A, B, row, seen, view

from statemachine.decide import decide
from statemachine.events import Event, RegistrationRetired
from statemachine.ids import Durability, Role, RowStatus
from statemachine.view import View

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
