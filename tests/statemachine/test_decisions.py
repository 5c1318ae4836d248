"""decide by table: what is decided, what is refused, and which guard says so with what fact."""

from typing import Any

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    FAILOVER,
    FENCED,
    MAIN,
    NAME_B,
    NOW_S,
    OPERATIONAL,
    OTHER,
    POLICY,
    ROWS,
    SYNC,
    WELL,
    A,
    B,
    C,
    decided,
    failing,
    gateway,
    joined,
    pod,
    promoted,
    refused,
    row,
    seen,
    view,
)

from statemachine.cluster import Change, Cluster, Refused
from statemachine.decide import decide
from statemachine.events import (
    CandidateLost,
    DecisionRefused,
    Event,
    InstanceRefused,
    MainLost,
    MainPromoted,
)
from statemachine.evolve import evolve as fold
from statemachine.facts import Situation, choose_candidate
from statemachine.guards import reset_is_allowed
from statemachine.ids import Durability, Instance, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import Container, Failure
from statemachine.plan import plan
from statemachine.view import Unsettled, View

REFUSES = Failure.REFUSED
GONE = pod(A, container=Container.TERMINATED)
BAD_VIEW = (gateway("controller-0"), gateway("controller-1", vantage={A: "silent"}))


def test_all_is_well() -> None:
    """Nothing is decided and nothing refused while everything is as it should be."""
    assert decide(OPERATIONAL, WELL) == ()


def test_only_a_leader_decides() -> None:
    """A standby sees the same and decides nothing (scenario 94)."""
    dead = failing(MAIN, REFUSES, 5, pod=GONE)
    assert decide(OPERATIONAL, view(dead, SYNC, OTHER, identity="")) == ()


def test_the_barrier_comes_first() -> None:
    """A new reign decides nothing before its own event, however urgent."""
    dead = failing(MAIN, REFUSES, 5, pod=GONE)
    assert decided(OPERATIONAL, view(dead, SYNC, OTHER, identity="other")) == "leader_elected"


def test_nothing_is_commanded_before_the_barrier() -> None:
    """A reign whose own event is not in the ledger yet commands nobody: another may have written
    last (S1)."""
    stray = seen(C, Role.MAIN, ())
    assert plan(OPERATIONAL, view(MAIN, SYNC, stray)) != ()
    assert plan(OPERATIONAL, view(MAIN, SYNC, stray, identity="other")) == ()


LOST = [
    ("refused, and the kubelet says gone", failing(MAIN, REFUSES, 0, pod=GONE), {}, True),
    ("refused, seen here alone", failing(MAIN, REFUSES, 5), {}, False),
    ("refused, and another sees it too", failing(MAIN, REFUSES, 0), {"gateways": BAD_VIEW}, True),
    ("refused, and nobody else lives", failing(MAIN, REFUSES, 0), {"gateways": ()}, True),
    ("its pod is gone", failing(MAIN, Failure.NO_ADDRESS, 0, pod=None), {}, True),
    (
        "silent for less than the grace",
        failing(MAIN, Failure.SILENT, 1.9),
        {"gateways": BAD_VIEW},
        False,
    ),
    ("silent for the grace", failing(MAIN, Failure.SILENT, 2.0), {"gateways": BAD_VIEW}, True),
    ("silent, seen here alone", failing(MAIN, Failure.SILENT, 9), {}, False),
    ("our password is wrong", failing(MAIN, Failure.AUTH, 60), {"gateways": BAD_VIEW}, False),
    ("it answers with errors", failing(MAIN, Failure.ERROR, 60), {"gateways": BAD_VIEW}, False),
    (
        "silent while it registers",
        failing(MAIN, Failure.SILENT, 3),
        {"gateways": BAD_VIEW, "registering_since_s": NOW_S - 3},
        False,
    ),
    ("it came back as REPLICA", seen(A), {}, True),
    ("it lost its disk", seen(A, Role.MAIN, ROWS, storage_uuid="other"), {}, True),
    ("its row is gone", seen(A, Role.MAIN, ROWS[1:]), {}, True),
    (
        "its row replicates nothing",
        seen(A, Role.MAIN, (row(NAME_B, B, status=RowStatus.ABSENT),)),
        {},
        True,
    ),
    (
        "its row is invalid",
        seen(A, Role.MAIN, (row(NAME_B, B, status=RowStatus.INVALID),)),
        {},
        False,
    ),
    ("its replica lags", seen(A, Role.MAIN, (row(NAME_B, B, behind=-3), ROWS[1])), {}, False),
    (
        "its replica is ahead of it",
        seen(A, Role.MAIN, (row(NAME_B, B, behind=3), ROWS[1])),
        {},
        True,
    ),
]


@pytest.mark.parametrize(("main", "more", "lost"), [c[1:] for c in LOST], ids=[c[0] for c in LOST])
def test_what_loses_a_main(main: Any, more: dict[str, Any], lost: bool) -> None:
    """Each kind of evidence, with and without what it needs (scenarios 5, 12, 34, 36, 42)."""
    assert (decided(OPERATIONAL, view(main, SYNC, OTHER, **more)) == "main_lost") is lost


def test_a_refusal_names_guard_and_fact() -> None:
    """The sentence tells who, which guard, and what it saw."""
    silent = failing(MAIN, Failure.SILENT, 0.4)
    refusal = refused(OPERATIONAL, view(silent, SYNC, OTHER, gateways=BAD_VIEW), "main_lost")
    assert (refusal.candidate, refusal.guard, refusal.is_pending) == (B, "evidence_lasts", True)
    assert "0.4 s of 2.0 s" in refusal.reason


CANDIDATES = [
    ("the main itself when it can be reached", (seen(A), SYNC, OTHER), A),
    ("the sync when the main is gone", (failing(MAIN, REFUSES, 1), SYNC, OTHER), B),
    ("the sync when the main lost its disk", (seen(A, storage_uuid="other"), SYNC, OTHER), B),
    ("never an async one", (failing(MAIN, REFUSES, 1), failing(SYNC, REFUSES, 1), OTHER), A),
]


@pytest.mark.parametrize(
    ("instances", "wanted"), [c[1:] for c in CANDIDATES], ids=[c[0] for c in CANDIDATES]
)
def test_who_is_candidate(instances: Any, wanted: Instance) -> None:
    """The recorded main first, then the sync set, in no order of index or age (22, 23; S2, S3)."""
    assert choose_candidate(OPERATIONAL, view(*instances)) == wanted


UNFIT = [
    (
        "it may be reset any moment",
        SYNC,
        {"refused": (Refused(B, Term(3), "Error: 3", 7),)},
        "no_reset_is_open",
    ),
]


@pytest.mark.parametrize(
    ("sync", "more", "guard"), [c[1:] for c in UNFIT], ids=[c[0] for c in UNFIT]
)
def test_an_unfit_candidate_is_refused_and_noted(sync: Any, more: Any, guard: str) -> None:
    """No failover to it; the refusal goes into the ledger once (scenarios 35, 43, 44)."""
    cluster = evolve(OPERATIONAL, **more)
    sight = view(failing(MAIN, REFUSES, 5, pod=GONE), sync, OTHER)
    decision = decide(cluster, sight)
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, DecisionRefused)
    assert (decision.payload.trigger, decision.payload.guard) == ("main_lost", guard)
    noted = f"main_lost/{decision.payload.candidate}/{guard}"
    assert decided(evolve(cluster, noted=frozenset({noted})), sight) == ""


@pytest.mark.parametrize(
    "sync", [failing(SYNC, REFUSES, 5), seen(B, storage_uuid="other")], ids=["gone", "empty"]
)
def test_an_operational_cluster_that_lost_both_copies_says_so(sync: Any) -> None:
    """Main and sync are both unusable: writes close in the ledger, which says who must come back;
    whoever comes first goes on (found by the model check)."""
    dead = failing(MAIN, REFUSES, 5, pod=GONE)
    decision = decide(OPERATIONAL, view(dead, sync, OTHER))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, MainLost)
    assert decision.payload.candidate is None
    assert "memgraph-0 or memgraph-1 must come back" in decision.why
    lost = fold(OPERATIONAL, decision)
    assert lost.phase is Phase.DEGRADED
    assert decided(lost, view(dead, SYNC, OTHER)) == "main_lost"
    back = decide(lost, view(MAIN, sync, OTHER))
    assert isinstance(back, Event)
    assert (back.trigger, back.dest) == ("main_returned", Phase.OPERATIONAL)


def test_a_refused_old_main_amends_the_verdict() -> None:
    """A main acknowledges also when the second phase of its commit was lost on the way, and may die
    right afterwards: an old main that is refused may hold that write, and no setting but `always`
    sets it aside by itself (S12, S13; found by the model check)."""
    registrations = (joined("memgraph_0_g9", A, is_joined=False),)
    undrained = evolve(
        DEGRADED,
        main=B,
        sync=frozenset({B}),
        readers=frozenset({C}),
        registrations=registrations,
        verdict="none",
    )
    refusal = InstanceRefused(A, "memgraph_0_g9", "Error: 3")
    happened = Event(refusal, Phase.DEGRADED, Phase.DEGRADED, "because")
    assert fold(undrained, happened).verdict == "none"
    after = fold(evolve(undrained, is_main_drained=False), happened)
    assert after.verdict.startswith("at most 1 transaction a writer: memgraph-0 may hold what")
    assert not reset_is_allowed(Situation(after, WELL, A)).ok


def test_without_a_candidate_writes_close_until_the_main_is_back() -> None:
    """DEGRADED and the main dies: closed, in a new term; back as MAIN it is opened again, back as
    REPLICA it is its own candidate (S2)."""
    dead = view(failing(MAIN, REFUSES, 5, pod=GONE), SYNC, OTHER)
    decision = decide(DEGRADED, dead)
    assert isinstance(decision, Event)
    assert decision.payload == MainLost(None, "the main refuses connections", False)
    closed = evolve(DEGRADED, is_main_lost=True, rw_open=False)
    assert decided(closed, view(MAIN, SYNC, OTHER)) == "main_returned"
    assert decided(closed, view(seen(A), SYNC, OTHER)) == "main_lost"


HARMLESS = [
    ("demoted", view(seen(A), SYNC, OTHER), "demoted"),
    ("dead", view(failing(MAIN, REFUSES, 1, pod=GONE), SYNC, OTHER), "dead"),
    (
        "silent, with the row in place",
        view(failing(MAIN, Failure.SILENT, 3), SYNC, OTHER),
        "complete by STRICT_SYNC",
    ),
    ("answers as MAIN", WELL, ""),
    (
        "silent, last seen without the row",
        view(failing(seen(A, Role.MAIN, ()), Failure.SILENT, 3), SYNC, OTHER),
        "",
    ),
    ("silent, last seen as REPLICA", view(failing(seen(A), Failure.SILENT, 3), SYNC, OTHER), ""),
]


@pytest.mark.parametrize(
    ("sight", "proof"), [c[1:] for c in HARMLESS], ids=[c[0] for c in HARMLESS]
)
def test_what_fences_an_old_main(sight: View, proof: str) -> None:
    """Demoted, dead, or unable to commit without the candidate; else it is waited for (S4, F2)."""
    decision = decide(FAILOVER, sight)
    if proof:
        assert isinstance(decision, Event)
        assert decision.why == f"fenced: {proof}"
    else:
        assert refused(FAILOVER, sight, "main_fenced").guard == "old_main_is_harmless"


def test_modes_other_than_strict_sync_prove_nothing() -> None:
    """A silent main with a SYNC replica may go on committing (MEMGRAPH 3.6)."""
    cluster = evolve(FAILOVER, registrations=(joined(mode=Mode.SYNC),))
    sight = view(failing(MAIN, Failure.SILENT, 3), SYNC, OTHER)
    assert refused(cluster, sight, "main_fenced").guard == "old_main_is_harmless"


OPEN_GATEWAYS = [
    ("one has not acknowledged", {"gateways": (gateway("c0"), gateway("c1", acked=20))}, False),
    ("it has expired", {"gateways": (gateway("c1", acked=20, changed_at_s=NOW_S - 5.1),)}, True),
    ("its Lease was deleted", {"gateways": (gateway("c1", is_deleted=True),)}, False),
    ("they were not listed since", {"gateways_read_after": Seq(20)}, False),
    ("we have only begun to look", {"gateways_watched_since_s": NOW_S - 4}, False),
    ("there is none", {"gateways": ()}, True),
]


@pytest.mark.parametrize(
    ("more", "fenced"), [c[1:] for c in OPEN_GATEWAYS], ids=[c[0] for c in OPEN_GATEWAYS]
)
def test_every_gateway_counts(more: dict[str, Any], fenced: bool) -> None:
    """Acknowledged or surely closed, by a list that was read after the cut (S6, F9)."""
    sight = view(failing(MAIN, REFUSES, 1, pod=GONE), SYNC, OTHER, **more)
    assert (decided(FAILOVER, sight) == "main_fenced") is fenced


PROMOTED = [
    ("pinned and read back", promoted(SYNC), True),
    ("of another term", promoted(SYNC, term=3), False),
    ("still REPLICA", SYNC, False),
    ("restarted since", evolve(promoted(SYNC), answer=SYNC.answer), False),
    ("an earlier answer is still out", evolve(promoted(SYNC), unsettled=Unsettled(1, "u")), False),
    ("dead since", failing(promoted(SYNC), REFUSES, 0.1), False),
    (
        "not asked since",
        evolve(promoted(SYNC), promotion=evolve(promoted(SYNC).promotion, at_s=NOW_S)),
        False,
    ),
]


@pytest.mark.parametrize(
    ("candidate", "opens"), [c[1:] for c in PROMOTED], ids=[c[0] for c in PROMOTED]
)
def test_what_opens_a_new_main(candidate: Any, opens: bool) -> None:
    """Promotion and snapshot in one incarnation of this term, read back, alive (S11, F7, 49)."""
    sight = view(failing(MAIN, REFUSES, 1, pod=GONE), candidate, OTHER)
    assert (decided(FENCED, sight) == "main_promoted") is opens


@pytest.mark.parametrize(
    ("silent", "verdict"), [(False, "none"), (True, "at most 1 transaction a writer")]
)
def test_the_verdict_tells_a_dead_main_from_a_silent_one(silent: bool, verdict: str) -> None:
    """What may be missing is said with the promotion (S13)."""
    change = Change("x", A, B, was_silent=silent, fence="dead")
    sight = view(failing(MAIN, REFUSES, 1), promoted(SYNC), OTHER)
    decision = decide(evolve(FENCED, change=change), sight)
    assert isinstance(decision, Event)
    assert decision.payload == MainPromoted(B, frozenset(), verdict)


@pytest.mark.parametrize(
    ("how", "for_s", "closes"),
    [
        (Failure.SILENT, 5.0, False),
        (Failure.SILENT, 16.0, True),
        (Failure.REFUSED, 1.0, False),
        (Failure.REFUSED, 3.0, True),
    ],
)
def test_writes_close_without_a_successor_only_after_patience(
    how: Failure, for_s: float, closes: bool
) -> None:
    """A main that is only slow comes back to its clients; a busy candidate gets to answer."""
    alone = view(failing(MAIN, how, for_s), failing(SYNC, Failure.SILENT, 1.0), OTHER)
    agreed = evolve(
        alone, gateways=tuple(gateway(f"controller-{i}", vantage={A: how.value}) for i in (0, 1))
    )
    decision = decide(OPERATIONAL, agreed)
    lost = isinstance(decision, Event) and isinstance(decision.payload, MainLost)
    assert lost is closes


def test_a_copy_that_is_gone_is_no_copy_whatever_its_row_says() -> None:
    """The sync replica came back with an empty disk, and the idle main still calls it ready: it
    leaves the sync set at once, and is registered anew (S10, F8)."""
    emptied = view(MAIN, seen(B, storage_uuid="another", node_count=0), OTHER)
    assert decided(OPERATIONAL, emptied) == "sync_lost"


def test_a_main_that_says_itself_that_it_is_none_is_not_waited_for() -> None:
    """It answers as REPLICA and nobody else is there: it is candidate itself, at once."""
    demoted = view(seen(A), failing(SYNC, Failure.SILENT, 1.0), OTHER)
    assert decided(OPERATIONAL, demoted) == "main_lost"


def test_in_sync_mode_nothing_is_promised_about_an_unplanned_change() -> None:
    """A main goes on without its SYNC replica, so what is missing is not known (S13)."""
    sight = view(failing(MAIN, REFUSES, 1, pod=GONE), promoted(SYNC), OTHER)
    sight = evolve(sight, policy=evolve(sight.policy, mode=Mode.SYNC))
    decision = decide(FENCED, sight)
    assert isinstance(decision, Event)
    assert decision.payload == MainPromoted(B, frozenset(), "unknown")


def test_a_dead_candidate_gives_way() -> None:
    """Another member of the sync set follows in a new term; when there is none, writes stay closed
    and the ledger says who must come back."""
    dead = failing(SYNC, REFUSES, 5)
    assert decided(FENCED, view(seen(A), dead, OTHER)) == "candidate_lost"
    waiting = view(failing(MAIN, REFUSES, 5, pod=GONE), dead, OTHER)
    decision = decide(FENCED, waiting)
    assert isinstance(decision, Event)
    assert decision.payload == CandidateLost(None, f"{B} is gone: no answer")
    lost = fold(FENCED, decision)
    assert (lost.phase, lost.is_main_lost, lost.change) == (Phase.DEGRADED, True, None)
    assert decided(lost, view(failing(MAIN, REFUSES, 5, pod=GONE), SYNC, OTHER)) == "main_lost"


UNREADY = evolve(
    seen(A, Role.MAIN, (row(NAME_B, B, status=RowStatus.INVALID), ROWS[1])),
    unready_since_s=((NAME_B, NOW_S - 3),),
)


def test_a_lost_sync_leaves_the_set_before_its_row_goes() -> None:
    """After its grace; then the main is renewed without it, and never by a DROP (S3, L8)."""
    early = evolve(UNREADY, unready_since_s=((NAME_B, NOW_S - 2.9),))
    assert decided(OPERATIONAL, view(early, SYNC, OTHER)) == ""
    assert decided(OPERATIONAL, view(UNREADY, SYNC, OTHER)) == "sync_lost"
    decision = decide(DEGRADED, view(UNREADY, failing(SYNC, REFUSES, 3), OTHER))
    assert isinstance(decision, Event)
    assert decision.trigger == "renewal_started"
    assert decision.payload.lagging == {B}  # type: ignore[union-attr]
    required = evolve(
        DEGRADED, durability=Durability.REQUIRED, durability_setting=Durability.REQUIRED
    )
    policy = evolve(POLICY, durability=Durability.REQUIRED)
    closed = view(UNREADY, failing(SYNC, REFUSES, 3), OTHER, policy=policy)
    assert decided(required, closed) == "readers_changed"


def test_who_has_caught_up_becomes_synchronous() -> None:
    """A lagging instance is ASYNC first, and only after a while renewed into the sync set."""
    lagging = evolve(
        DEGRADED,
        lagging=frozenset({B}),
        registrations=(joined(mode=Mode.ASYNC, is_joined=False), *DEGRADED.registrations[1:]),
    )
    rows = (row(NAME_B, B, Mode.ASYNC), ROWS[1])
    ready = view(seen(A, Role.MAIN, rows), SYNC, OTHER)
    assert decided(lagging, ready) == "renewal_started"
    assert decided(lagging, evolve(ready, term_since_s=NOW_S - 1)) == ""


def test_rows_of_nobody_are_cleared_without_a_drop() -> None:
    """A working row that no registration owns leads to a renewal that keeps the copies."""
    rows = (*ROWS, row("by_hand", C, Mode.ASYNC))
    decision = decide(OPERATIONAL, view(seen(A, Role.MAIN, rows), SYNC, OTHER))
    assert isinstance(decision, Event)
    assert decision.payload.needs_drain  # type: ignore[union-attr]


RETIRED = [
    ("it moved", {"pod": pod(C, ip="127.0.0.77")}, "moved"),
    (
        "its storage is foreign",
        {"answer": evolve(OTHER.answer, storage_uuid="x", node_count=3)},
        "foreign",
    ),
]


@pytest.mark.parametrize(("more", "why"), [c[1:] for c in RETIRED], ids=[c[0] for c in RETIRED])
def test_names_that_cannot_be_right_are_retired(more: dict[str, Any], why: str) -> None:
    """A moved address, a foreign identity: the name is never used again (S8, S10, 31)."""
    decision = decide(OPERATIONAL, view(MAIN, SYNC, evolve(OTHER, **more)))
    assert isinstance(decision, Event)
    assert decision.trigger == "registration_retired"
    assert why in decision.why


def test_foreign_data_are_not_registered() -> None:
    """An instance with another storage and nodes is refused; an empty one is welcome."""
    cluster = evolve(
        OPERATIONAL, registrations=OPERATIONAL.registrations[:1], readers=frozenset({B})
    )
    main = seen(A, Role.MAIN, ROWS[:1])
    foreign = seen(C, storage_uuid="other", node_count=5)
    decision = decide(cluster, view(main, SYNC, foreign))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, DecisionRefused)
    empty = seen(C, storage_uuid="other", node_count=0)
    assert decided(cluster, view(main, SYNC, empty)) == "registration_opened"


RESETS = [
    ("safe, nothing can be missing", "safe", "none", True),
    ("safe, something may be", "safe", "at most 1 transaction a writer", False),
    ("always", "always", "at most 1 transaction a writer", True),
    ("off", "off", "none", False),
]


@pytest.mark.parametrize(
    ("how", "verdict", "ordered"), [c[1:] for c in RESETS], ids=[c[0] for c in RESETS]
)
def test_when_data_are_set_aside(how: str, verdict: str, ordered: bool) -> None:
    """By the settings and the verdict; never the main or a member of the sync set (S12, 63)."""
    cluster = evolve(
        DEGRADED,
        registrations=(),
        readers=frozenset(),
        verdict=verdict,
        refused=(Refused(B, Term(3), "Error: 3"),),
    )
    policy = evolve(POLICY, reset=how)
    sight = view(seen(A, Role.MAIN, ()), SYNC, policy=policy)
    assert (decided(cluster, sight) == "reset_ordered") is ordered
    member = evolve(cluster, sync=frozenset({A, B}))
    assert decided(member, sight) != "reset_ordered"


def test_orders_of_an_earlier_term_are_void() -> None:
    """A reset that was ordered in another term is cancelled; one that is done is told (F17)."""
    order = Refused(B, Term(2), "Error: 3", 9)
    cluster = evolve(DEGRADED, registrations=(), readers=frozenset(), refused=(order,))
    sight = view(seen(A, Role.MAIN, ()), SYNC)
    assert decided(cluster, sight) == "reset_cancelled"
    present = evolve(cluster, refused=(evolve(order, term=Term(3)),))
    back = view(seen(A, Role.MAIN, ()), seen(B, storage_uuid="new", node_count=0))
    assert decided(present, back) == "reset_done"


FRESH = [seen(i, storage_uuid=f"own-{i}", node_count=0) for i in (A, B, C)]


def beginning(*instances: Any, **more: Any) -> str:
    """What a leader decides about instances without a ledger."""
    cluster = Cluster(leader="controller-0/uid/1", seq=Seq(1), term=Term(1))
    return decided(cluster, view(*instances, **more))


def test_beginnings() -> None:
    """Fresh, adopted, refused, or waited for (scenarios 15, 16, 18, 19, 20)."""
    full = [evolve(i, answer=evolve(i.answer, node_count=1)) for i in FRESH]
    mains = [evolve(i, answer=evolve(i.answer, role=Role.MAIN, rows=())) for i in full]
    assert beginning(*FRESH) == "main_appointed"
    assert beginning(*FRESH, pods_known=False) == ""
    assert beginning(FRESH[0], failing(FRESH[1], REFUSES, 9), FRESH[2]) == ""
    assert beginning(FRESH[0], FRESH[1], full[2]) == "bootstrap_refused"
    assert beginning(mains[0], mains[1], full[2]) == "bootstrap_refused"
    assert beginning(*full) == "bootstrap_refused"
    assert beginning(full[0], mains[1], full[2]) == "cluster_adopted"
    assert beginning(full[0], full[1], mains[2]) == "bootstrap_refused"
    uncounted = evolve(FRESH[0], answer=evolve(FRESH[0].answer, node_count=None))
    assert beginning(uncounted, *FRESH[1:]) == ""


def test_settings_decide_about_durability() -> None:
    """What the settings say comes into force as an event."""
    policy = evolve(POLICY, durability=Durability.REQUIRED)
    assert decided(OPERATIONAL, evolve(WELL, policy=policy)) == "policy_changed"


def test_phases_of_the_samples() -> None:
    """The samples are what their names say."""
    phases = [c.phase for c in (OPERATIONAL, DEGRADED, FAILOVER, FENCED)]
    wanted = [Phase.OPERATIONAL, Phase.DEGRADED, Phase.FAILOVER, Phase.FAILOVER]
    assert phases == wanted
    assert C in WELL.instance(C).instance


def test_a_candidate_that_others_reach_is_given_time() -> None:
    """Its link to the leader may be busy with a command whose answer was lost: one vantage point is
    no reason to choose another (found by the simulation)."""
    silent = failing(SYNC, Failure.SILENT, 3)
    reached = (gateway("controller-0"), gateway("controller-1", vantage={B: "ok"}))
    assert decided(FENCED, view(seen(A), silent, OTHER, gateways=reached)) == ""
    assert decided(FENCED, view(seen(A), silent, OTHER)) == "candidate_lost"
    longer = failing(SYNC, Failure.SILENT, 15)
    assert decided(FENCED, view(seen(A), longer, OTHER, gateways=reached)) == "candidate_lost"


def test_a_fence_that_cannot_be_shown_is_told_to_people() -> None:
    """A node that died for good leaves a pod that still says running: after a while the ledger says
    what is waited for (found by the simulation)."""
    silent = failing(evolve(MAIN, answer=None), Failure.SILENT, 60)
    waiting = evolve(FAILOVER, registrations=())
    assert decided(waiting, view(silent, SYNC, OTHER)) == ""
    late = view(silent, SYNC, OTHER, term_since_s=NOW_S - 31)
    noted = decide(waiting, late)
    assert isinstance(noted, Event)
    assert "delete its pod by force" in noted.why
    assert decided(fold(waiting, noted), late) == ""
