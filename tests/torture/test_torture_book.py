"""What a torture calls a loss, a phantom and a difference, on small made-up books."""

import json
from typing import Any

import pytest
from torture.book import (
    Ack,
    Book,
    Found,
    contradictions,
    differences,
    losses,
    other_problems,
    phantoms,
)
from torture.bounds import upper_bound
from torture.ledger_truth import Change, changes_of, trouble_with, wall_s
from torture.watching import LedgerBook

from statemachine import events as e
from statemachine.archive import archived_event, cut_at
from statemachine.events import Event
from statemachine.ids import Instance, Phase, Seq
from statemachine.ledger import Ledger

WHOLE = ((0, 100), (1, 100), (2, 100), (3, 100), (4, 100))
OFFSET_S = 1000.0
CLEAN = "none"
ONE = "at most 1 transaction a writer: memgraph-0 may hold what memgraph-1 does not"


def line(job: str, outcome: str = "acked", at_s: float = 1.0, **more: Any) -> dict[str, Any]:
    """What a client would print."""
    made = {"client": f"{job}0", "job": job, "round": 0, "begin": at_s - 0.1, "end": at_s}
    made |= {"outcome": outcome, "error": "broken"} if outcome != "acked" else {"outcome": outcome}
    return made | more


def book(*lines: dict[str, Any]) -> Book:
    """A book with these lines in it."""
    made = Book(OFFSET_S)
    for one in lines:
        made.take(one)
    return made


def found(*ids: str, **more: Any) -> Found:
    """What stands on an instance."""
    return Found(frozenset(ids), more.get("accounts", WHOLE), more.get("registers", ()))


def change(verdict: str, promoted_s: float = 5.0) -> Change:
    """A change of main, in seconds of the monotonic clock."""
    at_s = promoted_s + OFFSET_S
    return Change(9, "main_lost", at_s - 1, at_s, "memgraph-0", "memgraph-1", verdict)


TWO = (line("set", id="a", at_s=1.0), line("set", id="b", at_s=2.0))


@pytest.mark.parametrize(
    ("verdicts", "announced"),
    [
        ((), {"a": False, "b": False}),
        (((CLEAN, 5.0),), {"a": False, "b": False}),
        (((ONE, 5.0),), {"a": False, "b": True}),
        (((ONE, 5.0), (ONE, 9.0)), {"a": True, "b": True}),
        (((ONE, 0.5),), {"a": False, "b": False}),
        ((("unknown: memgraph-2 was not in the sync set", 5.0),), {"a": True, "b": True}),
    ],
)
def test_what_is_lost_was_announced_or_not(
    verdicts: tuple[tuple[str, float], ...], announced: dict[str, bool]
) -> None:
    """`none` announces nothing, `at most 1 a writer` the last one of each writer before that
    change, `unknown` everything; a change before the write announces nothing (S13)."""
    changes = [change(verdict, at_s) for verdict, at_s in verdicts]
    lost = losses(book(*TWO), found(), changes)
    assert {loss.id: loss.is_announced for loss in lost} == announced


def test_what_stands_on_the_main_is_not_lost() -> None:
    """Scenario 108: acknowledged by the client, and there."""
    assert losses(book(*TWO), found("a", "b"), []) == []


def test_a_refused_write_that_exists_is_a_phantom() -> None:
    """On any instance; one of unknown outcome may be there or not (scenario 51)."""
    kept = book(line("set", "refused", id="x"), line("set", "unknown", id="y"))
    assert phantoms(kept, {"memgraph-0": found(), "memgraph-1": found("x", "y")}) == ["x"]


def test_instances_that_differ_are_named() -> None:
    """Less, more, other accounts, other registers."""
    there = {
        "memgraph-0": found("a", "b"),
        "memgraph-1": found("a", "c"),
        "memgraph-2": found("a", "b", registers=((0, "z"),)),
    }
    told = differences(there, "memgraph-0")
    assert [text.split(" ")[0] for text in told] == ["memgraph-1", "memgraph-1", "memgraph-2"]
    assert differences({name: found("a") for name in there}, "memgraph-0") == []


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ((line("audit", accounts=5, total=499),), "499 in all"),
        ((line("audit", accounts=4, total=400),), "4 accounts"),
        ((line("intrude"),), "through read-only gateways"),
        ((line("bank", "refused", error="Write queries are forbidden on the replica"),), "met an"),
        ((), "no write was acknowledged"),
    ],
)
def test_every_other_broken_promise_is_told(lines: tuple[Any, ...], says: str) -> None:
    """Money is neither made nor lost, also as readers see it (S14, scenarios 82, 85)."""
    base = TWO if lines else ()
    told = other_problems(book(*base, *lines), {"memgraph-0": found("a", "b")})
    assert len(told) == 1, told
    assert says in told[0]


def test_an_empty_replica_shows_no_accounts_and_that_is_counted() -> None:
    """One that is copied anew is no broken sum."""
    kept = book(*TWO, line("audit", accounts=0, total=0))
    assert kept.empty_audits == 1
    assert other_problems(kept, {"memgraph-0": found("a", "b")}) == []


REGISTER = (
    line("register", at_s=1.0, key=0, write="v1"),
    line("register", at_s=2.0, key=0, write="v2"),
)


def test_a_register_that_goes_back_is_a_contradiction() -> None:
    """The last look at the instances belongs to its history, and only an announced loss near by
    excuses it."""
    there = {"memgraph-1": found(registers=((0, "v1"),))}
    kept = book(*REGISTER)
    assert contradictions(kept, {"memgraph-1": found(registers=((0, "v2"),))}, [], 20.0) == []
    assert len(contradictions(kept, there, [], 20.0)) == 1
    assert len(contradictions(kept, there, [change(CLEAN)], 20.0)) == 1
    assert len(contradictions(kept, there, [change(ONE, 59.0)], 60.0)) == 1
    assert contradictions(kept, there, [change(ONE, 4.0)], 20.0) == []


def test_a_refused_write_of_a_register_took_no_effect() -> None:
    """One that is read all the same contradicts."""
    kept = book(REGISTER[0], line("register", "refused", at_s=2.0, key=0, write="v2"))
    assert contradictions(kept, {"memgraph-0": found(registers=((0, "v1"),))}, [], 9.0) == []
    assert contradictions(kept, {"memgraph-0": found(registers=((0, "v2"),))}, [], 9.0)


def test_a_rewritten_or_shortened_ledger_is_noticed() -> None:
    """Every line that was stored once stays what it was, but while a hand edit is repaired."""
    kept = LedgerBook()
    kept.look({"00000001": "a", "00000002": "b", "snapshot": "x"})
    kept.look({"00000002": "b", "00000003": "c"})  # the first one is in an archive by now
    assert kept.problems == []
    assert kept.lines == {"00000001": "a", "00000002": "b", "00000003": "c"}
    kept.is_edited = True
    kept.look({"00000002": "z"})
    kept.is_edited = False
    assert kept.problems == []
    kept.look({"00000002": "z", "00000003": "c"})
    kept.look({"00000002": "b"})
    assert kept.problems == [
        "entry 00000002 of the ledger was rewritten",
        "the ledger fell back from 00000003 to 00000002",
    ]


def archived(ledger: Ledger) -> Ledger:
    """The same ledger, with its older half moved into an archive."""
    cut = cut_at(ledger, Seq(ledger.seq // 2))
    event = archived_event(ledger.cluster, cut, 1, ())
    return ledger.append(event, at="2026-01-01T00:00:00.000Z", by="c", entry_id="archived")


def lived(*payloads: tuple[e.Payload, Phase]) -> Ledger:
    """A ledger with these entries."""
    ledger = Ledger()
    for number, (payload, dest) in enumerate(payloads):
        event = Event(payload, ledger.cluster.phase, dest, "because")
        at = f"2026-01-01T00:00:{number:02d}.000Z"
        ledger = ledger.append(event, at=at, by="c", entry_id=f"id-{number}")
    return ledger


def test_a_ledger_that_was_cut_verifies_by_every_line_since_the_first() -> None:
    """Lines in archives count; a line that was edited is found, among all and among the stored;
    changes of main are found in the whole history."""
    main = Instance("memgraph-0")
    life = [(e.LeaderElected(f"controller-0/uid/{n}"), Phase.BOOTSTRAP) for n in range(6)]
    ledger = lived(*life, (e.MainAppointed(main, "storage"), Phase.DEGRADED))
    whole = archived(ledger)
    lines = dict(whole.data)
    assert trouble_with(lines, ledger.data) == ""
    assert changes_of(lines) == []
    assert "without a snapshot" in trouble_with(lines, lines)
    edited = {**lines, "00000002": lines["00000002"].replace("because", "why not")}
    assert "chain is broken" in trouble_with(edited, ledger.data)


def test_times_of_the_ledger_carry_their_zone() -> None:
    """Scenario 109: an entry's time is UTC and compares with a clock."""
    assert wall_s(json.loads('{"at": "2027-01-15T08:00:00.000Z"}')) == 1_800_000_000.0


def test_acks_know_their_round() -> None:
    """A loss is counted for the round in which it was acknowledged (scenario 110)."""
    assert book(line("set", id="a", round=7)).acked == {"a": Ack("set0", 7, 1.0)}


@pytest.mark.parametrize(
    ("failures", "rounds", "bound"),
    [(0, 59, 0.0495), (0, 299, 0.00997), (0, 1, 0.95), (1, 20, 0.2161), (2, 52, 0.1160)],
)
def test_a_rate_has_its_bound(failures: int, rounds: int, bound: float) -> None:
    """One-sided, 95 %, Clopper-Pearson: 59 clean rounds for 5 %, 299 for 1 %; with failures as in
    tables of the binomial distribution."""
    assert upper_bound(failures, rounds) == pytest.approx(bound, abs=0.0005)


def test_a_bound_without_rounds_says_nothing() -> None:
    """1.0: anything may be."""
    assert upper_bound(0, 0) == 1.0
    assert upper_bound(3, 3) == 1.0
