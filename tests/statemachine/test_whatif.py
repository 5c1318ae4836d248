"""Looking ahead: the rules that run the cluster, asked what they would do."""

import pytest
from attrs import evolve
from sights import DEGRADED, MAIN, OPERATIONAL, OTHER, SYNC, WELL, A, B, C, view

from statemachine.ids import Durability, Instance, Phase
from statemachine.imagined import Supposition
from statemachine.whatif import Foresight, foresee, unknown_names


def events(found: Foresight) -> list[str]:
    """The triggers, in order."""
    return [step.what for step in found.steps if step.kind == "event"]


def killed(*instances: Instance) -> Supposition:
    """These are gone."""
    return Supposition(killed=frozenset(instances))


def test_a_healthy_cluster_left_alone_decides_nothing() -> None:
    """Without a fault nothing is decided, and writes are never closed."""
    found = foresee(OPERATIONAL, WELL, Supposition())
    assert events(found) == []
    assert (found.writes_gap_s, found.is_at_rest, found.changes_main) == (0.0, True, False)


def test_the_death_of_the_main_makes_the_sync_main() -> None:
    """Lost, fenced, promoted, in this order; nothing acknowledged is missing; what is left is a
    main with one reader and without a second complete copy."""
    found = foresee(OPERATIONAL, WELL, killed(A))
    order = [t for t in events(found) if t in ("main_lost", "main_fenced", "main_promoted")]
    assert order == ["main_lost", "main_fenced", "main_promoted"]
    assert (found.after.main, found.after.phase, found.verdict) == (B, Phase.DEGRADED, "none")
    assert found.writes_gap_s is not None
    assert found.writes_gap_s < 5
    assert found.is_at_rest


def test_each_event_carries_what_its_guards_saw() -> None:
    """The facts are those that would stand in the ledger."""
    lost = next(s for s in foresee(OPERATIONAL, WELL, killed(A)).steps if s.what == "main_lost")
    assert dict(lost.facts)["in_sync_set"] == "sync set: memgraph-0, memgraph-1"


def test_a_hung_main_may_have_acknowledged_one_more_write() -> None:
    """The grace passes first, and the verdict is not `none`."""
    found = foresee(OPERATIONAL, WELL, Supposition(hung=frozenset({A})))
    lost = next(s for s in found.steps if s.what == "main_lost")
    assert lost.after_s >= WELL.policy.main_grace_s
    assert found.after.main == B
    assert found.verdict == "at most 1 transaction a writer"


def test_one_controller_that_alone_cannot_reach_the_main_changes_nothing() -> None:
    """The other vantage point reaches it; the refusal says so."""
    found = foresee(OPERATIONAL, WELL, Supposition(cut=frozenset({("controller-0", A)})))
    assert not found.changes_main
    assert any(r.guard == "vantages_agree" for r in found.refusals)


def test_a_cut_between_main_and_sync_costs_the_sync_and_not_the_main() -> None:
    """Writes wait for its grace, then they go on without it."""
    found = foresee(OPERATIONAL, WELL, Supposition(cut=frozenset({(A, B)})))
    assert "sync_lost" in events(found)
    assert found.after.main == A
    assert found.writes_gap_s is not None
    assert found.writes_gap_s >= WELL.policy.sync_grace_s


def test_without_a_second_copy_the_main_must_come_back() -> None:
    """Nobody safe is left: writes stay closed, and it is said who must come back."""
    found = foresee(DEGRADED, WELL, killed(A))
    assert found.writes_gap_s is None
    assert found.after.is_main_lost
    assert any("must come back" in s.why for s in found.steps)


def test_required_durability_closes_writes_when_the_sync_dies() -> None:
    """With one copy left nobody may write."""
    policy = evolve(WELL.policy, durability=Durability.REQUIRED)
    cluster = evolve(
        OPERATIONAL, durability=Durability.REQUIRED, durability_setting=Durability.REQUIRED
    )
    assert foresee(cluster, evolve(WELL, policy=policy), killed(B)).writes_gap_s is None


def test_while_observing_only_what_would_be_decided_is_told() -> None:
    """Nothing is commanded."""
    observed = evolve(WELL, policy=evolve(WELL.policy, observe_only=True))
    found = foresee(OPERATIONAL, observed, killed(A))
    assert events(found) == ["would_have"]
    assert [s for s in found.steps if s.kind == "command"] == []


def test_a_standby_is_asked_as_if_it_led() -> None:
    """Its view is less complete, but the same rules are asked."""
    standby = evolve(WELL, identity="")
    assert foresee(OPERATIONAL, standby, killed(A)).after.main == B


def test_somebody_unknown_is_named() -> None:
    """A typing mistake is no prediction."""
    supposed = Supposition(killed=frozenset({Instance("memgraph-9")}), cut=frozenset({(A, B)}))
    assert unknown_names(WELL, supposed) == ("memgraph-9",)


@pytest.mark.parametrize("broken", [(A, B), (B, C), (A, C), (A, B, C)])
def test_it_always_comes_to_rest(broken: tuple[Instance, ...]) -> None:
    """Whoever dies: no endless story, and a sentence for every end."""
    found = foresee(OPERATIONAL, WELL, killed(*broken))
    assert found.is_at_rest
    assert found.writes_gap_s is not None or found.refusals or found.steps


def test_an_instance_that_is_silent_already_stays_so() -> None:
    """The imagined world begins with what is seen."""
    a = evolve(MAIN, failing_since_s=99.0, failed_at_s=99.5)
    assert foresee(OPERATIONAL, view(a, SYNC, OTHER), Supposition()).after.main == B
