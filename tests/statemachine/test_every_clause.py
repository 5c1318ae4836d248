"""Each clause of a guard has a fault that it stands against: without the clause one of these fails.

Planted faults (tests/mutants) have shown which clauses no other test of this room would miss.
"""

from typing import Any

import pytest
from attrs import evolve
from sights import (
    DEGRADED,
    FAILOVER,
    FENCED,
    LEADER,
    MAIN,
    NAME_B,
    NOW_S,
    OPERATIONAL,
    OTHER,
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

from statemachine import facts as f
from statemachine.cluster import Cluster
from statemachine.commands import Demote, Mark, Promote, Register, WithdrawResetToken
from statemachine.decide import weigh
from statemachine.events import Event, MainPromoted, SwitchoverStarted
from statemachine.evolve import evolve as fold
from statemachine.facts import Situation
from statemachine.guards import candidate_is_promoted, fence_proof, proof_of_sync
from statemachine.ids import Durability, Incarnation, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import Container, Failure, GatewaysListed, ProbeAnswered, ProbeFailed
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.proposals import Proposal
from statemachine.route import route
from statemachine.view import InstanceView, Marker, RefusedRegistration, Unsettled, View

MARKER = Marker(DEGRADED.term, NOW_S - 0.4, NOW_S - 0.3, (NAME_B,), ((B, Incarnation(2)),))


def marked(marker: Marker = MARKER, **more: Any) -> InstanceView:
    """The main after a marker, its rows as they were."""
    return evolve(seen(A, Role.MAIN, more.pop("rows", ROWS)), marker=marker, **more)


def asked(instance: InstanceView, at_s: float) -> InstanceView:
    """The same instance, its answer being one to an earlier question."""
    assert instance.answer is not None
    return evolve(instance, answer=evolve(instance.answer, asked_at_s=at_s))


def kinds(cluster: Cluster, what: View) -> set[type]:
    """The kinds of commands that are owed."""
    return {type(command) for command in plan(cluster, what)}


@pytest.mark.parametrize(
    ("main", "sync", "proven"),
    [
        (marked(), SYNC, True),
        (marked(evolve(MARKER, names=())), SYNC, False),
        (marked(evolve(MARKER, term=Term(DEGRADED.term - 1))), SYNC, False),
        (marked(evolve(MARKER, incarnations=((B, Incarnation(9)),))), SYNC, False),
        (marked(), asked(SYNC, MARKER.at_s - 0.1), False),
        (marked(rows=(row(NAME_B, B, status=RowStatus.INVALID), ROWS[1])), SYNC, False),
        (marked(), failing(SYNC, Failure.SILENT, 0.1), False),
    ],
    ids=[
        "went through",
        "did not carry it",
        "of an earlier term",
        "of another process",
        "not asked since",
        "its row is not ready",
        "it does not answer",
    ],
)
def test_what_proves_that_a_replica_is_complete(
    main: InstanceView, sync: InstanceView, proven: bool
) -> None:
    """S3: present name, present process, ready, and a marker of this term went through before it
    was asked again. Anything less may be a replica that lacks an acknowledged write."""
    what = view(main, sync, OTHER)
    assert proof_of_sync(Situation(DEGRADED, what, B, NAME_B), NAME_B) is proven


def test_the_row_of_a_member_is_not_given_up() -> None:
    """S3, S8: the sync set shrinks in the ledger first; until then the name of a member stays, even
    when its pod has another address by now."""
    moved = evolve(SYNC, pod=pod(B, ip="127.0.0.77"))
    assert decided(OPERATIONAL, view(MAIN, moved, OTHER)) != "registration_retired"
    assert decided(DEGRADED, view(MAIN, moved, OTHER)) == "registration_retired"


def test_a_renewal_is_fenced_by_the_demotion_alone() -> None:
    """S4: the candidate of a renewal is the old main itself: that it is silent,
    or dead, proves nothing of it, and another candidate is needed."""
    assert FAILOVER.change is not None
    renewing = evolve(FAILOVER, change=evolve(FAILOVER.change, candidate=A, is_planned=True))
    silent = view(failing(MAIN, Failure.SILENT, 60.0), SYNC, OTHER)
    assert fence_proof(Situation(renewing, silent, A)) == ""
    ended = pod(A, container=Container.TERMINATED)
    dead = view(failing(MAIN, Failure.REFUSED, 60.0, pod=ended), SYNC, OTHER)
    assert fence_proof(Situation(renewing, dead, A)) == ""
    assert fence_proof(Situation(FAILOVER, silent, B)) != ""


def test_no_role_command_before_every_gateway_has_cut() -> None:
    """S5: a gateway that has not acknowledged may still relay writes; the main keeps its rows."""
    slow = (gateway("controller-0"), gateway("controller-1", acked=1))
    assert Demote in kinds(FAILOVER, view(MAIN, SYNC, OTHER))
    assert not {Demote, Promote, Mark} & kinds(FAILOVER, view(MAIN, SYNC, OTHER, gateways=slow))


def test_nobody_is_registered_while_a_stray_main_lives() -> None:
    """S5: a replica that is registered by one main would refuse the other, whose writes may be the
    acknowledged ones."""
    nameless = evolve(DEGRADED, registrations=(), readers=frozenset())
    main = seen(A, Role.MAIN, (), marker=evolve(MARKER, term=DEGRADED.main_term))
    stray = seen(C, Role.MAIN, ())
    assert decided(nameless, view(main, SYNC, OTHER)) == "registration_opened"
    assert refused(nameless, view(main, SYNC, stray), "registration_opened").guard == (
        "main_is_alone_in_being_main"
    )


def test_rows_of_before_the_last_command_are_not_current() -> None:
    """S3: after a command ended the rows have to be read again before anything rests on them."""
    touched = evolve(MAIN, touched_at_s=NOW_S)
    assert f.rows_are_current(view(MAIN, SYNC), A)
    assert not f.rows_are_current(view(touched, SYNC), A)


def test_a_marker_counts_once_every_gateway_has_cut() -> None:
    """S13: behind a gateway that has not cut a client may still write, and the marker proves
    nothing of what comes after it."""
    assert FAILOVER.change is not None
    change = evolve(FAILOVER.change, is_planned=True, needs_drain=True)
    planned = evolve(FAILOVER, change=change)
    main = marked(evolve(MARKER, term=FAILOVER.term))
    slow = (gateway("controller-0"), gateway("controller-1", acked=1))
    assert decided(planned, view(main, SYNC, OTHER)) == "drained"
    assert decided(planned, view(main, SYNC, OTHER, gateways=slow)) != "drained"


def test_a_lease_that_does_not_move_grows_old() -> None:
    """S6: only a stamp that has changed is a sign of life; else a dead gateway would be waited for
    for ever."""
    lease = gateway("controller-1").facts
    first = observe(view(MAIN), GatewaysListed(NOW_S, (lease,)))
    again = observe(first, GatewaysListed(NOW_S + 9, (lease,)))
    moved = observe(again, GatewaysListed(NOW_S + 10, (evolve(lease, stamp="2"),)))
    ages = [
        w.now_s - g.changed_at_s for w in (again, moved) for g in w.gateways if not g.is_deleted
    ]
    assert ages == [pytest.approx(9.5), 0.0]


def test_a_deleted_lease_counts_from_when_it_is_missed() -> None:
    """S6: a watch that is late has not shown how long it was still renewed, so nobody knows for how
    long its gateway still serves; from when it is missed on it grows old like any other."""
    lease = gateway("controller-1").facts
    first = observe(view(MAIN, gateways=()), GatewaysListed(NOW_S, (lease,)))
    missed = observe(first, GatewaysListed(NOW_S + 9, ()))
    later = observe(missed, GatewaysListed(NOW_S + 12, ()))
    ages = [w.now_s - g.changed_at_s for w in (missed, later) for g in w.gateways if g.is_deleted]
    assert ages == [0.0, pytest.approx(3.0)]


def test_only_what_answers_as_replica_is_registered() -> None:
    """S8: REGISTER of a silent target freezes the main for as long as it waits."""
    main = seen(A, Role.MAIN, ROWS[1:])
    assert Register in kinds(DEGRADED, view(main, SYNC, OTHER))
    for other in (failing(SYNC, Failure.SILENT, 1.0), seen(B, Role.MAIN, ())):
        assert Register not in kinds(DEGRADED, view(main, other, OTHER))


@pytest.mark.parametrize(
    ("candidate", "is_owed"),
    [
        (SYNC, True),
        (evolve(SYNC, unsettled=Unsettled(NOW_S - 1, f"uid-{B}")), False),
        (evolve(SYNC, touched_at_s=NOW_S), False),
        (failing(SYNC, Failure.SILENT, 0.5), False),
    ],
    ids=["fresh", "an answer was lost", "not asked since the last command", "silent"],
)
def test_a_role_command_follows_a_fresh_answer(candidate: InstanceView, is_owed: bool) -> None:
    """S9: no second role command while an earlier one may still land, and none by an answer from
    before the last one."""
    gone = failing(MAIN, Failure.REFUSED, 9.0)
    assert (Promote in kinds(FENCED, view(gone, candidate, OTHER))) is is_owed


def test_a_promotion_counts_in_the_process_that_was_pinned() -> None:
    """S11: whoever restarted since has perhaps lost the new epoch, though it says MAIN."""
    whole = promoted(SYNC)
    assert whole.promotion is not None
    other = evolve(whole, promotion=evolve(whole.promotion, incarnation=Incarnation(77)))
    assert candidate_is_promoted(Situation(FENCED, view(whole, OTHER), B)).ok
    assert not candidate_is_promoted(Situation(FENCED, view(other, OTHER), B)).ok


def answer_of(instance: InstanceView, **changes: Any) -> ProbeAnswered:
    """What this instance answered, changed."""
    assert instance.answer is not None
    return evolve(instance.answer, **changes)


def test_an_answer_does_not_settle_a_lost_one() -> None:
    """S9: that the instance answers again says nothing of a command that is still on its way."""
    unsettled = evolve(SYNC, unsettled=Unsettled(NOW_S - 1, f"uid-{B}"))
    after = observe(view(unsettled), answer_of(SYNC, asked_at_s=NOW_S, at_s=NOW_S))
    assert after.instance(B).unsettled == unsettled.unsettled


def test_an_older_answer_says_nothing() -> None:
    """S9: answers may come in any order; the one to the later question holds."""
    late = answer_of(SYNC, asked_at_s=NOW_S - 5, at_s=NOW_S, role=Role.MAIN)
    assert observe(view(SYNC), late).instance(B).answer == SYNC.answer


def test_a_token_without_an_order_is_withdrawn() -> None:
    """S12: it would be carried out at any later start of the instance."""
    owed = plan(OPERATIONAL, view(MAIN, SYNC, evolve(OTHER, token_written=7)))
    assert WithdrawResetToken(C, OPERATIONAL.term) in owed


def test_gateways_are_listed_after_the_closing_event() -> None:
    """S6: a list of before it shows gateways as they were when writes were open."""
    early = view(MAIN, SYNC, OTHER, gateways_read_after=Seq(FAILOVER.rw_closed_seq - 1))
    assert refused(FAILOVER, early, "main_fenced").guard == "gateways_have_cut"


def test_nobody_joins_before_its_token_is_withdrawn() -> None:
    """S12: with a reset token its data would be gone at its next start."""
    sure = evolve(SYNC, token_written=0)
    for other in (SYNC, evolve(SYNC, token_written=7)):
        what = view(marked(), other, OTHER)
        assert refused(DEGRADED, what, "sync_joined").guard == "token_is_withdrawn"
    assert decided(DEGRADED, view(marked(), sure, OTHER)) == "sync_joined"


@pytest.mark.parametrize(
    ("code", "trigger"), [(3, "instance_refused"), (5, "registration_retired")]
)
def test_only_error_3_says_something_of_the_data(code: int, trigger: str) -> None:
    """Scenario 14: any other refusal of REGISTER gives up the name, and nothing else."""
    refusal = RefusedRegistration(NAME_B, code, f"Error: {code}")
    main = seen(A, Role.MAIN, ROWS[1:])
    what = view(main, SYNC, OTHER, refused_registrations=(refusal,))
    assert decided(DEGRADED, what) == trigger


def test_a_wrong_mode_is_put_right() -> None:
    """Scenario 33: an eligible replica that is registered as ASYNC, and need not be, gets a new
    name."""
    registrations = (joined(mode=Mode.ASYNC, is_joined=False), DEGRADED.registrations[1])
    main = seen(A, Role.MAIN, (row(NAME_B, B, Mode.ASYNC), ROWS[1]))
    cluster = evolve(DEGRADED, registrations=registrations)
    assert decided(cluster, view(main, SYNC, OTHER)) == "registration_retired"


def test_what_was_refused_once_is_decided_later() -> None:
    """Scenario 35: that a refusal stands in the ledger keeps nobody from deciding what comes after
    it, or the same once it can be."""
    ended = [pod(i, container=Container.TERMINATED) for i in (A, B)]
    gone = failing(MAIN, Failure.REFUSED, 9.0, pod=ended[0])
    nobody = view(gone, failing(SYNC, Failure.REFUSED, 9.0, pod=ended[1]), OTHER)
    noted = evolve(OPERATIONAL, noted=frozenset({"main_lost/memgraph-1/subject_answers"}))
    for what in (nobody, view(gone, SYNC, OTHER)):
        assert decided(noted, what) == decided(OPERATIONAL, what) == "main_lost"


def test_required_means_two_copies() -> None:
    """F11: with durability `required` a main that is promoted alone does not take writes yet."""
    required = evolve(FENCED, durability=Durability.REQUIRED)
    alone = Event(MainPromoted(B, frozenset(), "none"), FENCED.phase, Phase.DEGRADED, "because")
    assert not fold(required, alone).rw_open
    assert fold(FENCED, alone).rw_open


def test_a_planned_change_is_not_fenced_before_it_is_drained() -> None:
    """S13: else the candidate may lack what was acknowledged last, and the verdict says "none"."""
    assert FAILOVER.change is not None
    change = evolve(FAILOVER.change, is_planned=True, needs_drain=True)
    planned = evolve(FAILOVER, change=change)
    demoted = view(seen(A, Role.REPLICA), SYNC, OTHER, term_since_s=NOW_S)
    assert refused(planned, demoted, "main_fenced").guard == "drained_if_needed"
    assert decided(evolve(planned, change=evolve(change, is_drained=True)), demoted) == (
        "main_fenced"
    )


def test_an_instance_without_an_ip_has_no_address() -> None:
    """Scenario 6: no socket may be opened to nowhere, which is this very machine."""
    homeless = evolve(SYNC, pod=pod(B, ip=""))
    assert f.replication_address(view(MAIN, homeless), B) == ""


def test_while_the_main_changes_writes_are_closed_for_that_reason() -> None:
    """S4: whatever else is in the fold, FAILOVER opens nothing."""
    routes = route(evolve(FAILOVER, rw_open=True), view(MAIN, SYNC, OTHER))
    assert routes.main is None
    assert "candidate" in routes.reason


@pytest.mark.parametrize(
    ("nodes", "is_appointed"),
    [((0, 0, 0), True), ((0, 1, 0), False), ((0, 0, 1), False)],
    ids=["all empty", "an eligible one has data", "an async one has data"],
)
def test_a_cluster_is_not_appointed_over_data(
    nodes: tuple[int, int, int], is_appointed: bool
) -> None:
    """Scenario 15: one node anywhere, and nobody is appointed."""
    mains = (
        seen(i, Role.MAIN, (), node_count=count) for i, count in zip((A, B, C), nodes, strict=True)
    )
    done = decided(Cluster(leader=LEADER), view(*mains))
    assert (done == "main_appointed") is is_appointed


def test_silence_is_counted_from_its_first_question() -> None:
    """Scenario 34: a grace that begins anew with every failed probe is never over."""
    failed = [ProbeFailed(A, NOW_S + n, NOW_S + n, Failure.SILENT) for n in (1, 2, 3)]
    what = view(MAIN)
    for one in failed:
        what = observe(what, one)
    assert what.instance(A).failing_since_s == NOW_S + 1


def test_nobody_takes_over_who_restarted_inside_the_epoch() -> None:
    """F13: promoted, it would refuse everybody, though their data be the same: renewal first."""
    again = evolve(SYNC, pod=pod(B, uid="uid-again"))
    wish = Proposal(SwitchoverStarted(B, "asked for"), "asked for", B)
    assert isinstance(weigh(OPERATIONAL, WELL, wish), Event)
    verdict = weigh(OPERATIONAL, view(MAIN, again, OTHER), wish)
    assert not isinstance(verdict, Event)
    assert verdict[0].guard == "subject_is_of_this_epoch"


def test_nobody_follows_a_lone_main_before_its_first_commit() -> None:
    """F14: who is registered before the new epoch has a commit is refused after the next change."""
    nameless = evolve(DEGRADED, registrations=(), readers=frozenset())
    new = view(seen(A, Role.MAIN, ()), SYNC, OTHER)
    assert refused(nameless, new, "registration_opened").guard == "epoch_has_a_commit"
