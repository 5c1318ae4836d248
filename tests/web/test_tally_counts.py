"""What a process counts of the ledger and of what it sees."""

import itertools

import pytest
import web_picture as p
from attrs import evolve

from controller.entries import NewEntries
from controller.tally import OTHER, REASONS, Tally, reason_word, verdict_word
from gateway.histogram import Histogram
from statemachine import events as e
from statemachine.cluster import Registration
from statemachine.decide import Refusal
from statemachine.events import Event
from statemachine.facts import evidence_against_main
from statemachine.ids import Mode, Phase, Role, RowStatus
from statemachine.ledger import Ledger
from statemachine.observations import Failure
from statemachine.proposals import verdict
from statemachine.view import View

B, O, F, D = Phase.BOOTSTRAP, Phase.OPERATIONAL, Phase.FAILOVER, Phase.DEGRADED  # noqa: E741


class Told:
    """A tally, and a history that grows under it."""

    def __init__(self, ledger: Ledger | None = None) -> None:
        self.ledger, self.was_read = ledger or Ledger(), True
        self.opened: tuple[int, str] = (0, "")
        self.refusals: tuple[Refusal, ...] = ()
        self.tally = Tally(NewEntries(self), lambda: self.refusals, lambda: self.opened)
        self.ids = itertools.count()

    def look(self, view: View | None = None) -> Tally:
        """One turn of the loop."""
        self.tally.follow(self.ledger.cluster, view or p.view())
        return self.tally

    def tell(self, payload: e.Payload, source: Phase, dest: Phase, at: str) -> None:
        """One more entry."""
        event = Event(payload, source, dest, "so")
        at = f"2025-11-21T{at}+00:00"
        self.ledger = self.ledger.append(event, at=at, by="c", entry_id=f"n{next(self.ids)}")


def steps(running: Histogram) -> tuple[int, float]:
    """How many, and their sum."""
    found = running.frozen()
    return sum(found.counts), pytest.approx(found.total)


def joined(told: Told, at: str) -> None:
    """The old main is registered again and has everything."""
    name = "memgraph_0_g1"
    opened = e.RegistrationOpened(name, p.M0, Mode.STRICT_SYNC, "10.0.0.10:10000", "uid/1")
    told.tell(opened, D, D, at)
    told.tell(e.SyncJoined(p.M0, name), D, O, at)


def test_history_is_not_counted_and_everything_after_it_is() -> None:
    """A pod that starts on a ledger of 6 entries counts none of them, and each later one once."""
    told = Told(p.history())
    assert not told.look().events
    joined(told, "07:00:12.000")
    assert told.look().events == {"registration_opened": 1, "sync_joined": 1}
    assert told.look().events.total() == 2


def test_a_ledger_that_was_not_read_yet_counts_nothing() -> None:
    """Between start and first read there is no history to compare with."""
    told = Told()
    told.was_read = False
    told.look()
    told.ledger, told.was_read = p.history(), True
    assert not told.look().events


def test_a_failover_is_counted_with_reason_outcome_and_steps() -> None:
    """Detected by this pod's clock; fenced, promoted, opened and redundant from the decision, by
    the times in the ledger; each once."""
    told = Told()
    told.look()
    failing = p.failing(p.view(), p.M0, Failure.SILENT, "", 2.1)
    told.ledger = p.history()
    tally = told.look(failing)
    assert tally.failovers == {("main_silent", "none"): 1}
    assert tally.changes == {"failover": 1}
    told.opened = (int(told.ledger.cluster.main_term), "2025-11-21T07:00:10.950+00:00")
    told.look()
    joined(told, "07:00:14.000")
    told.look()
    told.look()
    found = {step: steps(running) for (kind, step), running in tally.step_s.items()}
    assert found == {
        "detected": (1, 2.1),
        "fenced": (1, 0.25),
        "promoted": (1, 0.9),
        "opened": (1, 0.95),
        "redundant": (1, 4.0),
    }


def test_a_main_lost_without_anybody_safe_is_told_apart() -> None:
    """no_candidate: nobody could be promoted. The first main of a fresh cluster is no failover."""
    told = Told()
    told.look()
    told.tell(e.LeaderElected("c/1"), B, B, "07:00:00.000")
    told.tell(e.MainAppointed(p.M0, p.UUID), B, D, "07:00:01.000")
    told.tell(e.MainPromoted(p.M0, frozenset(), "none"), D, D, "07:00:02.000")
    told.tell(e.MainLost(None, "the main refuses connections", False), D, D, "07:00:03.000")
    assert told.look().failovers == {("main_refuses", "no_candidate"): 1}
    assert not told.tally.changes


def test_refusals_are_counted_when_they_appear() -> None:
    """A refusal that stands for many turns is one; gone and back again it is two."""
    told = Told()
    for refusals in ((p.REFUSAL,), (p.REFUSAL,), (), (p.REFUSAL,)):
        told.refusals = refusals
        told.look()
    assert told.tally.refusals == {("main_lost", "vantages_agree"): 2}


def test_a_stray_main_is_counted_when_it_appears() -> None:
    """An instance that says MAIN unappointed, seen for several turns, is one sighting."""
    told = Told()
    stray = p.without(p.view(), p.M0, answer=p.answer(p.M0, Role.MAIN))
    for view in (stray, stray, p.view(), stray):
        told.tally.follow(p.cluster(), view)
    assert told.tally.strays == {p.M0: 2}


def test_answers_to_people_are_counted_by_kind() -> None:
    """Granted and refused; a kind that somebody made up becomes no label."""
    told = Told(p.history())
    told.look()
    told.tell(e.Paused("alice", "", 2_000_000_000, "r1"), D, D, "07:01:00.000")
    told.tell(e.RequestRefused("r2", "switchover", "bob", "no"), D, D, "07:01:01.000")
    told.tell(e.RequestRefused("r3", "format c:", "bob", "no"), D, D, "07:01:02.000")
    told.tell(e.Resumed("the pause is over"), D, D, "07:01:03.000")
    expected = {("pause", "granted"): 1, ("switchover", "refused"): 1, (OTHER, "refused"): 1}
    assert told.look().requests == expected


def against(view: View) -> str:
    """What the rules would write as the cause."""
    found = evidence_against_main(p.cluster(), view)
    assert found is not None
    return found.cause


def with_row(status: RowStatus, behind: int = 0) -> View:
    """The main says this of its sync replica."""
    row = p.row("memgraph_0_g4", Mode.STRICT_SYNC, status, behind)
    return p.without(p.view(), p.M1, answer=p.answer(p.M1, Role.MAIN, row))


def test_every_cause_that_the_rules_give_has_its_word() -> None:
    """The words follow the sentences of the rules; if one is reworded this test says so."""
    answered = p.answer(p.M1, Role.MAIN)
    found = {
        reason_word(against(view))
        for view in (
            p.failing(p.view(), p.M1, Failure.REFUSED, "", 1.0),
            p.failing(p.view(), p.M1, Failure.SILENT, "", 9.0),
            p.without(p.view(), p.M1, answer=p.answer(p.M1, Role.REPLICA)),
            p.without(p.view(), p.M1, answer=evolve(answered, storage_uuid="other")),
            with_row(RowStatus.DIVERGED),
            with_row(RowStatus.READY, behind=3),
        )
    }
    assert found == set(REASONS) - {"forced", OTHER}


def test_every_verdict_has_its_word() -> None:
    """`none` only where nothing may be missing."""
    moved = p.cluster(phase=F)
    assert verdict_word(verdict(moved)) == "none"
    assert verdict_word("at most 1 transaction a writer: memgraph-0 may") == "at_most_one"
    assert verdict_word("up to 12 transactions") == "up_to_n"
    assert verdict_word("unknown: memgraph-2 was not in the sync set") == "unknown"
    assert verdict_word("a text of another version") == "unknown"
    assert verdict_word("") == "none"


def test_a_registration_is_no_change() -> None:
    """The adopted cluster of the picture has no change of main to count."""
    told = Told()
    told.look()
    told.tell(e.LeaderElected("c/1"), B, B, "07:00:00.000")
    row = Registration("memgraph_1_g1", p.M1, Mode.STRICT_SYNC, "10.0.0.11:10000")
    told.tell(e.ClusterAdopted(p.M0, p.UUID, (row,)), B, D, "07:00:01.000")
    assert not told.look().changes
