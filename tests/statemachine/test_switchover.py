"""A planned change of main: who takes over, when it is refused, and how it is taken back."""

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
    decided,
    failing,
    joined,
    pod,
    promoted,
    refused,
    row,
    seen,
    view,
)

from statemachine import events as e
from statemachine.cluster import Change
from statemachine.commands import Demote, Promote, Register
from statemachine.decide import decide
from statemachine.events import Event
from statemachine.evolve import evolve as fold
from statemachine.ids import Durability, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import Container, Failure
from statemachine.plan import plan
from statemachine.view import Marker, Unsettled

LEAVING_MAIN = evolve(MAIN, pod=pod(A, deleting=True))
LEAVING_SYNC = evolve(SYNC, pod=pod(B, deleting=True))
PLANNED = evolve(
    FAILOVER,
    change=Change(cause="leaves", old_main=A, candidate=B, is_planned=True, needs_drain=True),
)
DRAINED = evolve(PLANNED, change=evolve(PLANNED.change, is_drained=True))
PLANNED_FENCED = evolve(DRAINED, registrations=(), change=evolve(DRAINED.change, fence="demoted"))
MARKER = Marker(Term(4), NOW_S - 0.3, NOW_S - 0.2, (NAME_B,), ())
JUST_NOW = {"term_since_s": NOW_S - 0.5}


def test_the_sync_takes_over_from_a_main_whose_pod_is_being_deleted() -> None:
    """A deletion of the main's pod is a planned change, not a loss of the main."""
    decision = decide(OPERATIONAL, view(LEAVING_MAIN, SYNC, OTHER))
    assert isinstance(decision, Event)
    assert decision.payload == e.SwitchoverStarted(B, f"the pod of {A} is being deleted")
    after = fold(OPERATIONAL, decision)
    assert after.phase is Phase.FAILOVER
    assert not after.rw_open
    assert after.term == OPERATIONAL.term + 1
    assert after.rw_closed_seq == after.seq
    assert B not in after.readers


def test_no_switchover_while_nobody_leaves() -> None:
    """A healthy cluster is left alone."""
    assert decided(OPERATIONAL, WELL) == ""


def test_no_switchover_to_a_candidate_that_leaves_too() -> None:
    """When both pods of the pair are deleted at once, the main stays main."""
    what = view(LEAVING_MAIN, LEAVING_SYNC, OTHER)
    assert decided(OPERATIONAL, what) != "switchover_started"


def test_no_switchover_to_a_replica_that_is_not_attached() -> None:
    """A sync replica whose row is invalid is not promoted for convenience."""
    rows = (row(NAME_B, B, status=RowStatus.INVALID),)
    main = evolve(seen(A, Role.MAIN, rows), pod=pod(A, deleting=True))
    said = refused(OPERATIONAL, view(main, SYNC, OTHER), "switchover_started")
    assert said.guard == "subject_is_complete"
    assert said.is_pending


def test_no_switchover_from_a_main_with_an_unsettled_role_command() -> None:
    """A late DEMOTE or PROMOTE may still land: wait (S9)."""
    main = evolve(LEAVING_MAIN, unsettled=Unsettled(NOW_S - 1, "uid"))
    said = refused(OPERATIONAL, view(main, SYNC, OTHER), "switchover_started")
    assert said.guard == "roles_are_settled"


def test_a_restarted_candidate_is_renewed_first_also_when_renewal_is_lazy() -> None:
    """Promoted as it is, everybody would refuse it (F13): the epoch is renewed, then it takes
    over; with renewal off the reset of the refused ones pays for it."""
    restarted = evolve(SYNC, pod=pod(B, restarts=1))
    for renewal, expected in (
        ("eager", "renewal_started"),
        ("lazy", "renewal_started"),
        ("off", "switchover_started"),
    ):
        policy = evolve(POLICY, renewal=renewal)
        what = view(LEAVING_MAIN, restarted, OTHER, policy=policy)
        assert decided(OPERATIONAL, what) == expected


def test_lazy_renewal_waits_for_a_planned_change() -> None:
    """A restarted sync alone interrupts nobody when renewal is lazy."""
    restarted = evolve(SYNC, pod=pod(B, restarts=1))
    what = view(MAIN, restarted, OTHER, policy=evolve(POLICY, renewal="lazy"))
    assert decided(OPERATIONAL, what) == ""


def test_the_old_main_is_demoted_only_after_the_drain() -> None:
    """Cut, marker, `drained`, and only then the demotion; the candidate comes last (S4, S5)."""
    what = view(LEAVING_MAIN, SYNC, OTHER, **JUST_NOW)
    assert not any(isinstance(c, Demote | Promote) for c in plan(PLANNED, what))
    marked = evolve(LEAVING_MAIN, marker=MARKER)
    assert decided(PLANNED, view(marked, SYNC, OTHER, **JUST_NOW)) == "drained"
    assert Demote(A, Term(4)) in plan(DRAINED, what)
    assert not any(isinstance(c, Promote) for c in plan(DRAINED, what))
    demoted = seen(A, pod=pod(A, deleting=True))
    fenced = decide(DRAINED, view(demoted, SYNC, OTHER, **JUST_NOW))
    assert isinstance(fenced, Event)
    assert fenced.payload == e.MainFenced("demoted")
    assert Promote(B, Term(4)) in plan(PLANNED_FENCED, view(demoted, SYNC, OTHER))


def test_a_planned_change_does_not_skip_the_demotion_for_a_moment_of_silence() -> None:
    """STRICT_SYNC is no proof against a main that was well a moment ago; after its grace it is, for
    clients wait (S4)."""
    for silent_s, expected in ((0.5, ""), (2.5, "main_fenced")):
        silent = failing(MAIN, Failure.SILENT, silent_s)
        assert decided(DRAINED, view(silent, SYNC, OTHER)) == expected


def test_a_candidate_that_does_not_take_the_marker_is_not_promoted() -> None:
    """The drain is overdue and the old main is well: it stays main, in a new term."""
    what = view(LEAVING_MAIN, SYNC, OTHER, term_since_s=NOW_S - 3)
    decision = decide(PLANNED, what)
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, e.CandidateLost)
    after = fold(PLANNED, decision)
    assert after.change is not None
    assert after.change.candidate == A
    assert after.term == PLANNED.term + 1


def test_a_main_that_stops_before_it_was_drained_is_followed_by_the_candidate() -> None:
    """Nobody waits for the marker of a dead main: it goes on as an ordinary failover."""
    gone = failing(MAIN, Failure.REFUSED, 0.2, pod=pod(A, container=Container.TERMINATED))
    what = view(gone, SYNC, OTHER, **JUST_NOW)
    assert decided(PLANNED, what) == "drain_abandoned"
    abandoned = evolve(PLANNED, change=evolve(PLANNED.change, needs_drain=False))
    fenced = decide(abandoned, what)
    assert isinstance(fenced, Event)
    assert fenced.payload == e.MainFenced("dead")


def test_the_verdict_of_a_planned_change_without_a_drain_is_not_none() -> None:
    """An old main that was alive and was not drained may have acknowledged one write more (S13)."""
    change = Change("leaves", A, B, is_planned=True, fence="demoted")
    fenced = evolve(FAILOVER, registrations=(), change=change)
    decision = decide(fenced, view(MAIN, promoted(SYNC), OTHER))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, e.MainPromoted)
    assert decision.payload.verdict != "none"
    drained = evolve(fenced, change=evolve(change, is_drained=True))
    decision = decide(drained, view(MAIN, promoted(SYNC), OTHER))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, e.MainPromoted)
    assert decision.payload.verdict == "none"


def test_a_leaving_instance_is_not_registered_and_not_waited_for() -> None:
    """Clients do not wait for a replica that will stop in a moment."""
    leaving = seen(A, pod=pod(A, deleting=True))
    what = view(leaving, promoted(SYNC), OTHER)
    assert not any(isinstance(c, Register) for c in plan(PLANNED_FENCED, what))
    assert decided(PLANNED_FENCED, what) == "main_promoted"
    staying = view(seen(A), promoted(SYNC), OTHER)
    assert decided(PLANNED_FENCED, staying) == "registration_opened"


def test_writes_stop_waiting_for_a_sync_replica_before_it_stops() -> None:
    """The set shrinks and the row goes while the leaving replica is still there."""
    what = view(MAIN, LEAVING_SYNC, OTHER)
    decision = decide(OPERATIONAL, what)
    assert isinstance(decision, Event)
    assert decision.payload == e.SyncLost(B, NAME_B)
    after = fold(OPERATIONAL, decision)
    assert after.phase is Phase.DEGRADED
    shrunk = decide(after, what)
    assert isinstance(shrunk, Event)
    assert isinstance(shrunk.payload, e.RenewalStarted)
    assert B in shrunk.payload.lagging


def test_a_replica_that_was_let_go_does_not_join_again_before_it_stopped() -> None:
    """The marker that carried it is still there, and must not undo what was just decided."""
    assert SYNC.answer is not None
    carried = ((B, SYNC.answer.incarnation),)
    main = evolve(MAIN, marker=Marker(Term(3), NOW_S - 2, NOW_S - 1, (NAME_B,), carried))
    staying, leaving = (evolve(i, token_written=0) for i in (SYNC, LEAVING_SYNC))
    assert decided(DEGRADED, view(main, staying, OTHER)) == "sync_joined"
    assert decided(DEGRADED, view(main, leaving, OTHER)) == "renewal_started"


def test_a_leaving_replica_is_not_made_synchronous() -> None:
    """Its turn comes when its new pod has caught up."""
    rows = (row(NAME_B, B, Mode.ASYNC),)
    lagging = evolve(
        DEGRADED,
        lagging=frozenset({B}),
        registrations=(joined(is_joined=False, mode=Mode.ASYNC),),
        readers=frozenset({B}),
    )
    main = seen(A, Role.MAIN, rows)
    assert decided(lagging, view(main, SYNC)) == "renewal_started"
    assert decided(lagging, view(main, LEAVING_SYNC)) == ""


def test_with_three_copies_one_may_be_lost_without_a_change_of_phase() -> None:
    """OPERATIONAL means a second copy: with three members it stays so, also when it is required."""
    name_c = "memgraph_2_g2"
    three = evolve(
        OPERATIONAL,
        durability=Durability.REQUIRED,
        durability_setting=Durability.REQUIRED,
        sync=frozenset({A, B, C}),
        registrations=(joined(), joined(name_c, C)),
    )
    policy = evolve(POLICY, eligible=(A, B, C), durability=Durability.REQUIRED)
    rows = (row(NAME_B, B), row(name_c, C))
    what = view(seen(A, Role.MAIN, rows), LEAVING_SYNC, OTHER, policy=policy)
    decision = decide(three, what)
    assert isinstance(decision, Event)
    assert decision.payload == e.SyncLost(B, NAME_B)
    after = fold(three, decision)
    assert after.phase is Phase.OPERATIONAL
    assert after.rw_open
    assert after.rw_closed_seq < Seq(21)
