"""What people ask for: answered once, with the reason, and never against a safety rule."""

from typing import Any

import pytest
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
    pod,
    promoted,
    row,
    seen,
    view,
)

from statemachine import events as e
from statemachine.cluster import Change, Cluster, Pause, Refused
from statemachine.commands import CloseRequest, Demote, WriteResetToken
from statemachine.decide import decide
from statemachine.events import Event
from statemachine.evolve import evolve as fold
from statemachine.ids import Durability, Phase, Role, RowStatus, Term
from statemachine.observations import Container, Failure, Request, RequestsListed
from statemachine.observe import observe
from statemachine.plan import plan
from statemachine.view import RequestView, View

WALL_S = 1_800_000_000.0
NAMED = evolve(POLICY, cluster_name="graphs")


def asked(kind: str, what: View = WELL, for_s: float = 0.1, **fields: Any) -> View:
    """The view with one request that came `for_s` ago."""
    request = Request("r-1", kind, author="alice", reason="node maintenance", **fields)
    seen_ = (RequestView(request, NOW_S - for_s),)
    return evolve(
        what, requests=seen_, wall_s=WALL_S, policy=evolve(what.policy, cluster_name="graphs")
    )


def event(cluster: Cluster, what: View) -> Event:
    """The decision."""
    decision = decide(cluster, what)
    assert isinstance(decision, Event), decision
    return decision


def refusal(cluster: Cluster, what: View) -> str:
    """The reason in the ledger."""
    payload = event(cluster, what).payload
    assert isinstance(payload, e.RequestRefused), payload
    return payload.reason


def test_a_switchover_is_granted_and_answered() -> None:
    """To the named instance, or to whoever holds everything; the request is not looked at again,
    and its entry is removed."""
    for fields in ({"instance": B}, {}):
        what = asked("switchover", **fields)
        granted = event(OPERATIONAL, what)
        assert isinstance(granted.payload, e.SwitchoverStarted)
        assert granted.payload.candidate == B
        assert "alice" in granted.why
        assert "node maintenance" in granted.why
        after = fold(OPERATIONAL, granted)
        assert after.answered == ("r-1",)
        assert CloseRequest("r-1") in plan(after, what)
        assert decided(after, evolve(what, term_since_s=NOW_S)) == ""


REFUSED = [
    ("to the main itself", OPERATIONAL, {"instance": A}, "is the main already"),
    ("to nobody known", OPERATIONAL, {"instance": "redis-0"}, "there are memgraph-0, memgraph-1"),
    ("to an async replica", OPERATIONAL, {"instance": C}, "in sync set"),
    ("without a second copy", DEGRADED, {}, "holds every acknowledged write"),
    ("before there is a main", Cluster(leader=OPERATIONAL.leader), {}, "no main yet"),
    ("expired", OPERATIONAL, {"expires_s": WALL_S - 1}, "expired"),
    ("malformed", OPERATIONAL, {"trouble": "not JSON"}, "not JSON"),
    ("unknown kind", OPERATIONAL, {"kind": "dance"}, "known are switchover"),
]


@pytest.mark.parametrize(("name", "cluster", "fields", "says"), REFUSED)
def test_a_switchover_is_refused_with_the_reason(
    name: str, cluster: Cluster, fields: dict[str, Any], says: str
) -> None:
    """At once, and with what the person should know."""
    fields = {"kind": "switchover", **fields}
    assert says in refusal(cluster, asked(**fields))


def test_what_only_has_to_wait_a_moment_waits_a_moment() -> None:
    """A lagging candidate or a renewal under way is waited for; not for ever."""
    rows = (row(NAME_B, B, status=RowStatus.INVALID),)
    lagging = view(seen(A, Role.MAIN, rows), SYNC, OTHER)
    assert not isinstance(decide(OPERATIONAL, asked("switchover", lagging)), Event)
    assert "subject is complete" in refusal(OPERATIONAL, asked("switchover", lagging, for_s=3.1))
    assert decided(FAILOVER, asked("switchover", view(MAIN, SYNC, OTHER))) != "request_refused"
    assert "FAILOVER" in refusal(FAILOVER, asked("switchover", view(SYNC, OTHER), for_s=3.1))


def test_a_request_for_later_waits() -> None:
    """--at: nothing happens before its time."""
    assert not isinstance(decide(OPERATIONAL, asked("switchover", not_before_s=WALL_S + 5)), Event)
    assert (
        decided(OPERATIONAL, asked("switchover", not_before_s=WALL_S - 5)) == "switchover_started"
    )


def test_two_at_once_one_wins() -> None:
    """The second is told that the first has changed the main already."""
    first = Request("r-1", "switchover", "alice", instance=B)
    second = Request("r-2", "switchover", "bob", instance=B)
    both = (RequestView(first, NOW_S - 4), RequestView(second, NOW_S - 3.5))
    what = evolve(WELL, requests=both, wall_s=WALL_S)
    after = fold(OPERATIONAL, event(OPERATIONAL, what))
    answer = event(after, what).payload
    assert isinstance(answer, e.RequestRefused)
    assert (answer.request, answer.author) == ("r-2", "bob")


def test_while_paused_nothing_is_decided_or_commanded() -> None:
    """Not even for a dead main; a person's resume, or the end of the pause, ends it."""
    granted = event(OPERATIONAL, asked("pause", for_s=0.1))
    assert isinstance(granted.payload, e.Paused)
    paused = evolve(OPERATIONAL, pause=Pause("alice", "maintenance", int(WALL_S) + 60))
    dead = failing(MAIN, Failure.REFUSED, 9, pod=pod(A, container=Container.TERMINATED))
    stray = seen(C, Role.MAIN, ())
    what = evolve(view(dead, SYNC, stray), wall_s=WALL_S)
    assert decide(paused, what) == ()
    assert plan(paused, what) == ()
    assert Demote(C, Term(3)) in plan(OPERATIONAL, what)
    assert "resume first" in refusal(paused, asked("switchover", what))
    assert decided(paused, asked("resume", what)) == "resumed"
    over = evolve(what, wall_s=WALL_S + 61)
    resumed = event(paused, over)
    assert isinstance(resumed.payload, e.Resumed)
    assert decided(fold(paused, resumed), over) == "main_lost"


def test_a_failover_under_way_is_not_paused() -> None:
    """Half a change of main is no state to stay in."""
    assert "FAILOVER" in refusal(FAILOVER, asked("pause", for_s=4))


@pytest.mark.parametrize("by_setting", [True, False])
def test_observed_only_decisions_are_recorded_once_and_not_done(by_setting: bool) -> None:
    """What would have been decided stands in the ledger, and nothing happens."""
    observed = evolve(OPERATIONAL, is_observed=not by_setting)
    dead = failing(MAIN, Failure.REFUSED, 9, pod=pod(A, container=Container.TERMINATED))
    policy = evolve(POLICY, observe_only=by_setting)
    what = view(dead, SYNC, OTHER, policy=policy)
    would = event(observed, what)
    assert would.payload == e.WouldHave("main_lost", B)
    after = fold(observed, would)
    assert after.phase is Phase.OPERATIONAL
    assert decide(after, what) == ()
    assert plan(after, what) == ()


def test_a_forced_failover_needs_the_clusters_name() -> None:
    """A slip of the keyboard loses no data."""
    dead = failing(MAIN, Failure.SILENT, 9)
    what = view(dead, failing(SYNC, Failure.SILENT, 9), OTHER)
    lost = evolve(DEGRADED, is_main_lost=True, rw_open=False)
    assert "confirm by the cluster's name, 'graphs'" in refusal(
        lost, asked("failover", what, instance=C)
    )
    granted = event(lost, asked("failover", what, instance=C, confirm="graphs"))
    assert isinstance(granted.payload, e.FailoverForced)
    assert granted.payload.verdict.startswith("unknown")
    after = fold(lost, granted)
    assert after.phase is Phase.FAILOVER
    assert after.term == lost.term + 1
    fenced = event(after, evolve(what, requests=()))
    assert fenced.payload == e.MainFenced("accepted by a person")
    given = event(fold(after, fenced), view(dead, SYNC, promoted(OTHER)))
    assert isinstance(given.payload, e.MainPromoted)
    assert given.payload.verdict.startswith("unknown")


def test_a_forced_failover_demotes_a_main_that_still_answers() -> None:
    """What can be fenced is fenced, also when a person is in a hurry."""
    change = Change("asked for", A, C, is_forced=True, verdict="unknown")
    forced = evolve(FAILOVER, sync=frozenset({A, B, C}), readers=frozenset(), change=change)
    assert decided(forced, WELL) == ""
    assert Demote(A, Term(4)) in plan(forced, WELL)


def test_a_forced_failover_is_no_way_around_a_reset() -> None:
    """An instance with an open order may be empty in a moment (F18)."""
    ordered = evolve(DEGRADED, refused=(Refused(C, Term(3), "Error: 3", token=7),))
    assert "no reset is open" in refusal(
        ordered,
        asked(
            "failover",
            WELL,
            instance=C,
            confirm="graphs",
        ),
    )


def test_a_person_may_choose_among_ambiguous_instances() -> None:
    """From BOOTSTRAP a person names the instance whose data count."""
    nodes = (seen(A, Role.MAIN, (), node_count=5), seen(B, Role.MAIN, (), node_count=7))
    empty = Cluster(leader=OPERATIONAL.leader)
    granted = event(empty, asked("failover", view(*nodes), instance=B, confirm="graphs"))
    after = fold(empty, granted)
    assert after.storage_uuid == "storage-0"
    assert after.change is not None
    assert after.change.candidate == B


def test_durability_changes_at_run_time_and_holds() -> None:
    """A person's change is not undone by the settings; a new setting is newer than the person."""
    granted = event(OPERATIONAL, asked("durability", value="required"))
    after = fold(OPERATIONAL, granted)
    assert after.durability is Durability.REQUIRED
    assert decided(after, WELL) == ""
    newer = evolve(WELL, policy=evolve(POLICY, durability=Durability.REQUIRED))
    assert decided(after, newer) == "policy_changed"
    assert "one of preferred, required" in refusal(OPERATIONAL, asked("durability", value="maybe"))


def test_durability_opens_and_closes_a_lone_main() -> None:
    """`required` closes writes while there is one copy, `preferred` opens them again."""
    closed = fold(DEGRADED, event(DEGRADED, asked("durability", value="required")))
    assert not closed.rw_open
    assert closed.rw_closed_seq == closed.seq
    again = evolve(closed, answered=())
    opened = fold(again, event(again, asked("durability", value="preferred")))
    assert opened.rw_open


def test_reinit_goes_the_way_of_a_reset() -> None:
    """An async replica is rebuilt on request; the main and the sync set never are (S12)."""
    for spared in (A, B):
        assert "subject is expendable" in refusal(
            OPERATIONAL, asked("reinit", instance=spared, for_s=4)
        )
    granted = event(OPERATIONAL, asked("reinit", instance=C))
    assert granted.payload == e.ResetOrdered(C, "r-1")
    after = fold(OPERATIONAL, granted)
    assert after.registration_of(C) is None
    assert C not in after.readers
    assert WriteResetToken(C, after.seq, Term(3)) in plan(after, WELL)


def test_reinit_waits_for_a_register_that_is_on_its_way() -> None:
    """The row that it makes would be nobody's, and writes may wait for it (S8; seed 291201)."""
    under_way = evolve(WELL, registering_since_s=NOW_S - 0.2)
    assert decided(OPERATIONAL, asked("reinit", under_way, instance=C)) == ""
    late = refusal(OPERATIONAL, asked("reinit", under_way, for_s=4, instance=C))
    assert "register has ended: REGISTER under way for 0.2 s" in late


def test_a_cooldown_stops_the_second_failover_until_a_person_has_looked() -> None:
    """What fails twice in a row may fail because of us; the main itself may always go on."""
    dead = failing(MAIN, Failure.REFUSED, 9, pod=pod(A, container=Container.TERMINATED))
    policy = evolve(NAMED, failover_cooldown_s=300.0)
    lost = evolve(OPERATIONAL, lost_at_s=int(WALL_S) - 100)
    what = evolve(view(dead, SYNC, OTHER, policy=policy), wall_s=WALL_S)
    assert decided(lost, what) == ""
    assert decided(lost, evolve(what, wall_s=WALL_S + 201)) == "main_lost"
    lifted = fold(lost, event(lost, asked("acknowledge", what)))
    assert decided(lifted, what) == "main_lost"
    back = evolve(view(seen(A), SYNC, OTHER, policy=policy), wall_s=WALL_S)
    assert decided(lost, back) == "main_lost"


def test_requests_keep_the_time_when_they_were_first_seen() -> None:
    """A new list does not make an old request young."""
    request = Request("r-1", "pause", "alice")
    once = observe(WELL, RequestsListed(NOW_S, (request,)))
    twice = observe(once, RequestsListed(NOW_S + 9, (request,)))
    assert twice.requests == (RequestView(request, NOW_S),)
    assert observe(twice, RequestsListed(NOW_S + 10, ())).requests == ()


@pytest.mark.parametrize("kind", ["switchover", "failover", "reinit"])
@pytest.mark.parametrize("by_settings", [True, False])
def test_nothing_is_begun_that_would_not_be_carried_out(kind: str, by_settings: bool) -> None:
    """While decisions are only recorded, a granted change of main would close the writes and never
    promote anybody (S15): it is refused, with the way out."""
    what = asked(kind, instance=B, confirm="graphs")
    cluster = OPERATIONAL if by_settings else evolve(OPERATIONAL, is_observed=True)
    if by_settings:
        what = evolve(what, policy=evolve(what.policy, observe_only=True))
    assert "observe" in refusal(cluster, what).lower()
