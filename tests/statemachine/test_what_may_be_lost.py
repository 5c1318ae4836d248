"""What the verdict of a failover says depends on what was seen right before it (S13)."""

import pytest
from attrs import evolve
from sights import (
    FAILOVER,
    MAIN,
    NAME_B,
    NOW_S,
    OPERATIONAL,
    OTHER,
    ROWS,
    SYNC,
    A,
    B,
    failing,
    pod,
    promoted,
    row,
    seen,
    view,
)

from statemachine.cluster import Change, Cluster
from statemachine.decide import decide
from statemachine.events import Event, MainFenced, MainLost, MainPromoted
from statemachine.evolve import evolve as fold
from statemachine.ids import Phase, Role, RowStatus
from statemachine.observations import Container, Failure, ProbeFailed, Row
from statemachine.observe import observe
from statemachine.view import InstanceView, View

AT_MOST_ONE = "at most 1 transaction a writer"
GONE = pod(A, container=Container.TERMINATED)


def shown(*rows: Row) -> View:
    """The main shows these rows, one answer after the other, half a second apart, all young."""
    sight = view(InstanceView(A, pod=pod(A)), SYNC, OTHER)
    for number, made in enumerate(rows):
        answer = seen(A, Role.MAIN, (made, *ROWS[1:])).answer
        assert answer is not None
        at_s = NOW_S - 0.5 * (len(rows) - number)
        sight = observe(sight, evolve(answer, asked_at_s=at_s, at_s=at_s))
    return sight


def dies(sight: View, failure: Failure = Failure.REFUSED) -> View:
    """Nobody answers there any more, and the kubelet says so too."""
    after = observe(sight, ProbeFailed(A, NOW_S - 0.1, NOW_S, failure, "away"))
    gone = tuple(evolve(i, pod=GONE) if i.instance == A else i for i in after.instances)
    return evolve(after, instances=gone)


def lost(sight: View, cluster: Cluster = OPERATIONAL) -> MainLost:
    """The main is given up for its replica."""
    decision = decide(cluster, sight)
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, MainLost)
    assert decision.payload.candidate == B
    return decision.payload


WHOLE = row(NAME_B, B, ts=8)
IN_FLIGHT = row(NAME_B, B, behind=-2, ts=8)
NEXT_IN_FLIGHT = row(NAME_B, B, behind=-2, ts=10)
INVALID = row(NAME_B, B, status=RowStatus.INVALID, behind=-2, ts=8)

SHOWN = [
    ("everything is there", (WHOLE, WHOLE), False),
    ("a commit is under way", (WHOLE, IN_FLIGHT), False),
    ("another commit is under way at each look", (IN_FLIGHT, NEXT_IN_FLIGHT), False),
    ("it replicates right now", (evolve(IN_FLIGHT, status=RowStatus.REPLICATING),), False),
    ("it stands still behind the main", (IN_FLIGHT, IN_FLIGHT), True),
    ("its row is invalid", (WHOLE, INVALID), True),
    ("it catches up", (evolve(INVALID, status=RowStatus.RECOVERY),), True),
    ("it has caught up again", (INVALID, IN_FLIGHT, WHOLE), False),
    ("its row is another's by now", (row("memgraph_1_g9", B),), True),
]


@pytest.mark.parametrize(("rows", "is_behind"), [s[1:] for s in SHOWN], ids=[s[0] for s in SHOWN])
def test_a_main_that_dies_with_a_replica_behind_may_lose(
    rows: tuple[Row, ...], is_behind: bool
) -> None:
    """It acknowledges what a replica did not hear of, and shows that until the replica has caught
    up: "none" is said only of what was seen whole (seed 30412)."""
    assert lost(dies(shown(*rows))).was_behind is is_behind


def test_an_async_replica_behind_takes_no_promise_away() -> None:
    """It was never promised to be complete."""
    lagging = evolve(ROWS[1], status=RowStatus.INVALID, behind=-9)
    main = seen(A, Role.MAIN, (WHOLE, lagging))
    assert main.answer is not None
    sight = observe(view(InstanceView(A, pod=pod(A)), SYNC, OTHER), main.answer)
    assert lost(dies(sight)).was_behind is False


UNSEEN = [
    ("nobody ever asked it", evolve(MAIN, answer=None)),
    ("nobody asked it for long", seen(A, Role.MAIN, ROWS, at_s=NOW_S - 5)),
    ("it came back as REPLICA, and died again", seen(A)),
]


@pytest.mark.parametrize("main", [u[1] for u in UNSEEN], ids=[u[0] for u in UNSEEN])
def test_who_did_not_look_excludes_nothing(main: InstanceView) -> None:
    """What was seen of a main proves something only if it was seen right before its end."""
    dead = failing(main, Failure.REFUSED, 0.1, pod=GONE)
    assert lost(view(dead, SYNC, OTHER)).was_behind is True


@pytest.mark.parametrize(
    ("failures", "was_silent"),
    [((), False), ((Failure.REFUSED,), False), ((Failure.SILENT,), True)],
)
def test_a_main_that_was_silent_before_it_died_may_have_gone_on(
    failures: tuple[Failure, ...], was_silent: bool
) -> None:
    """For as long as it was cut off nobody knows whom it answered, however it ended."""
    sight = shown(WHOLE)
    for failure in failures:
        sight = observe(sight, ProbeFailed(A, NOW_S - 0.4, NOW_S - 0.2, failure, "away"))
    assert lost(dies(sight)).was_silent is was_silent
    answer = MAIN.answer
    assert answer is not None
    back = observe(sight, evolve(answer, asked_at_s=NOW_S - 0.15, at_s=NOW_S - 0.15))
    assert lost(dies(back)).was_silent is False


@pytest.mark.parametrize(("was_behind", "verdict"), [(False, "none"), (True, AT_MOST_ONE)])
def test_the_verdict_says_what_nobody_could_exclude(was_behind: bool, verdict: str) -> None:
    """From the loss of the main to its successor the fact stays in the ledger (S13)."""
    lost_main = MainLost(B, "dead", was_silent=False, was_behind=was_behind)
    cluster = fold(OPERATIONAL, Event(lost_main, Phase.OPERATIONAL, Phase.FAILOVER, "dead"))
    fenced = fold(cluster, Event(MainFenced("dead"), Phase.FAILOVER, Phase.FAILOVER, "dead"))
    after = promoted(SYNC, term=int(fenced.term))
    decision = decide(fenced, view(failing(MAIN, Failure.REFUSED, 1, pod=GONE), after, OTHER))
    assert isinstance(decision, Event)
    assert isinstance(decision.payload, MainPromoted)
    assert decision.payload.verdict == verdict


def test_a_main_that_fell_silent_in_a_planned_change_may_have_gone_on_before_it_died() -> None:
    """Cut off from us it may have acknowledged what its replica did not hear of, and its pod ended
    only then: its last look excludes nothing (S13; seed 230350)."""
    change = Change(cause="", old_main=A, candidate=B, is_planned=True)
    dead = dies(shown(WHOLE))
    silent = evolve(dead, instances=tuple(evolve(i, fell_silent=True) for i in dead.instances))
    decision = decide(evolve(FAILOVER, change=change), silent)
    assert isinstance(decision, Event)
    assert decision.payload == MainFenced("dead", True)


@pytest.mark.parametrize(("rows", "was_behind"), [((WHOLE,), False), ((WHOLE, INVALID), True)])
def test_a_main_that_dies_in_a_planned_change_is_looked_at_then(
    rows: tuple[Row, ...], was_behind: bool
) -> None:
    """A switchover began with a main that was well; what it showed last counts when it dies."""
    change = Change(cause="", old_main=A, candidate=B, is_planned=True)
    decision = decide(evolve(FAILOVER, change=change), dies(shown(*rows)))
    assert isinstance(decision, Event)
    assert decision.payload == MainFenced("dead", was_behind)
