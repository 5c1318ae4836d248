"""A member of the sync set that may carry the cluster's storage without its data (S10).

REGISTER gives the storage to whoever listens at the address: a copy that restarted between its name
and the first marker may be a process that came back with an empty disk.
"""

from attrs import evolve
from sights import (
    FAILOVER,
    FENCED,
    OTHER,
    SYNC,
    A,
    B,
    C,
    decided,
    failing,
    joined,
    pod,
    promoted,
    seen,
    view,
)

from statemachine.cluster import Change
from statemachine.commands import Register
from statemachine.decide import decide
from statemachine.events import (
    CandidateLost,
    DecisionRefused,
    Event,
    FailoverForced,
    MainFenced,
    MainPromoted,
)
from statemachine.evolve import evolve as fold
from statemachine.facts import choose_candidate, is_usable
from statemachine.ids import Instance, Phase, Role
from statemachine.observations import Failure
from statemachine.plan import plan
from statemachine.view import InstanceView, View

F, D = Phase.FAILOVER, Phase.DEGRADED
NAME_A = "memgraph_0_g3"
CHANGE = Change("leaves", A, B, is_planned=True, needs_drain=True, is_drained=True, fence="demoted")
NAMED = evolve(
    FENCED,
    change=CHANGE,
    registrations=(joined(NAME_A, A, is_joined=False),),
    epoch_pods=((A, f"uid-{A}/0"),),
)
"""The candidate B was promoted, and A was given a name; that B is main is not recorded yet."""
RESTARTED = seen(A, pod=pod(A, restarts=1))
EMPTY = seen(A, storage_uuid="storage-new", node_count=0)
SILENT = failing(promoted(SYNC), Failure.SILENT, 60.0)


def registered(view_: View) -> list[object]:
    return [c.replica for c in plan(NAMED, view_) if isinstance(c, Register)]


def next_candidate(a: InstanceView) -> Instance | None:
    """Who follows the candidate that fell silent."""
    event = decide(NAMED, view(a, SILENT, OTHER))
    assert isinstance(event, Event)
    assert isinstance(event.payload, CandidateLost)
    return event.payload.candidate


def test_a_name_that_was_opened_before_the_disk_was_lost_is_not_registered() -> None:
    """The command is owed anew on every turn, and looked at anew."""
    assert registered(view(seen(A), promoted(SYNC), OTHER)) == [A]
    assert registered(view(EMPTY, promoted(SYNC), OTHER)) == []


def test_a_copy_that_restarted_since_it_was_named_is_no_candidate() -> None:
    """It may be a process without data, which a late REGISTER reached."""
    assert is_usable(NAMED, view(seen(A)), A)
    assert not is_usable(NAMED, view(RESTARTED), A)
    lost = fold(NAMED, Event(CandidateLost(None, "gone"), F, D, ""))
    assert lost.is_main_lost
    assert not is_usable(lost, view(RESTARTED), A)
    assert decided(lost, view(RESTARTED, SILENT, OTHER)) != "main_lost"
    assert decided(lost, view(RESTARTED, SYNC, OTHER)) == "main_lost"  # B is back


def test_the_ledger_says_why_a_copy_that_is_there_does_not_help() -> None:
    """The candidate came back with an empty disk, the other copy is there and not believed: a
    person learns which one he could force (seed 301646)."""
    wiped = seen(B, storage_uuid="storage-new", node_count=0)
    sight = view(RESTARTED, wiped, OTHER)
    closed = decide(NAMED, sight)
    assert isinstance(closed, Event)
    assert f"{A} restarted since it was registered: it may hold nothing" in closed.why
    lost = fold(NAMED, closed)
    assert choose_candidate(evolve(lost, main=B), sight) == A
    said = decide(lost, sight)
    assert isinstance(said, Event)
    assert isinstance(said.payload, DecisionRefused)
    assert said.payload.candidate == A
    assert "it may hold nothing" in said.why


def test_a_copy_that_did_not_restart_follows_a_lost_candidate() -> None:
    """Its data are its own, REGISTER or not."""
    assert next_candidate(seen(A)) == A
    assert next_candidate(RESTARTED) is None


def test_a_marker_proves_a_copy_that_restarted() -> None:
    """A joined copy may restart as often as it likes."""
    proven = evolve(NAMED, registrations=(joined(NAME_A, A),))
    assert is_usable(proven, view(RESTARTED), A)


def test_the_names_of_a_lost_candidate_are_remembered_until_a_main_is_recorded() -> None:
    """The second candidate may restart without its data before it is promoted."""
    second = fold(NAMED, Event(CandidateLost(A, "gone"), F, F, ""))
    fenced = fold(second, Event(MainFenced("demoted"), F, F, ""))
    assert fenced.change is not None
    assert is_usable(fenced, view(seen(A)), A)
    assert not is_usable(fenced, view(RESTARTED), A)
    assert decided(fenced, view(RESTARTED, SYNC, OTHER)) == "candidate_lost"
    was_promoted = seen(A, Role.MAIN, (), pod=pod(A, restarts=1))
    assert decided(fenced, view(promoted(was_promoted), SYNC, OTHER)) == "candidate_lost"
    main = fold(fenced, Event(MainPromoted(A, frozenset(), "none"), F, D, ""))
    assert not main.epoch_pods


def test_a_person_decides_for_one_candidate_alone() -> None:
    """Whom he forces he takes for complete; a joined copy that restarted stays as safe as it was;
    one that may be empty does not become safer by it."""
    was = evolve(FENCED, registrations=(joined(),), epoch_pods=((B, "uid-b/0"),))
    lost = evolve(was, phase=D, change=None, is_main_lost=True)
    forced = fold(lost, Event(FailoverForced(C, "storage-0", "asked", "", "r"), D, F, ""))
    assert is_usable(forced, view(SYNC, OTHER), B)
    unproven = fold(NAMED, Event(CandidateLost(None, "gone"), F, D, ""))
    forced = fold(unproven, Event(FailoverForced(A, "storage-0", "asked", "", "r"), D, F, ""))
    assert is_usable(forced, view(RESTARTED), A)
    forced = fold(unproven, Event(FailoverForced(C, "storage-0", "asked", "", "r"), D, F, ""))
    assert not is_usable(forced, view(RESTARTED), A)


def test_the_names_of_joined_copies_end_with_the_fence() -> None:
    """They were proven: nothing is held against them in the next epoch."""
    change = Change("lost", A, B)
    moved = evolve(FAILOVER, change=change, epoch_pods=((B, "uid-b/0"),))
    assert not fold(moved, Event(MainFenced("dead"), F, F, "")).epoch_pods
