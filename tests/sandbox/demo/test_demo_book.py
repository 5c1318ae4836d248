"""The demo's book and its verdict: planted losses must be told."""

import json
from typing import Any

import pytest
from attrs import evolve

from controller.sandbox.demo.book import Book, check, entries_of, longest_gap, measure, medians
from statemachine.events import Event, LeaderElected
from statemachine.ids import Phase
from statemachine.ledger import Ledger

ELECTED = Event(LeaderElected("c0/u/1"), Phase.BOOTSTRAP, Phase.BOOTSTRAP, "c0 leads")
LEDGER = Ledger().append(ELECTED, at="2026-01-01T00:00:00.000Z", by="c0", entry_id="a").data


def line(
    kind: str, identity: str, outcome: str, at: float = 0.0, error: str = ""
) -> dict[str, Any]:
    """What a client prints."""
    return {"kind": kind, "id": identity, "outcome": outcome, "at": at, "error": error}


def book(*lines: dict[str, Any]) -> Book:
    """A book of these lines."""
    made = Book()
    for each in lines:
        made.take(each)
    return made


GOOD = (
    line("write", "a", "acked"),
    line("write", "b", "refused", error="aborted"),
    line("write", "c", "unknown", error="broken"),
)


def test_a_clean_run_has_no_problem() -> None:
    """Acknowledged writes everywhere, refused ones nowhere, unknown ones either way."""
    found = {"m0": frozenset({"a", "c"}), "m1": frozenset({"a", "c"})}
    assert check(book(*GOOD), found, LEDGER, 1).problems == ()


def test_a_write_that_one_instance_lacks_is_lost() -> None:
    """A single copy that misses a single acknowledged write fails the run, and is named."""
    verdict = check(book(*GOOD), {"m0": frozenset({"a"}), "m1": frozenset()}, LEDGER, 1)
    assert verdict.lost_writes == 1
    assert verdict.lost["m1"] == ("a",)
    assert "m1 lacks 1" in verdict.problems[0]


@pytest.mark.parametrize(
    ("lines", "found", "mains", "says"),
    [
        (GOOD, {"m0": frozenset({"a", "b"})}, 1, "refused writes exist"),
        (GOOD, {"m0": None}, 1, "could not be read"),
        (GOOD, {"m0": frozenset({"a"})}, 2, "2 mains"),
        ((), {"m0": frozenset()}, 1, "no write was acknowledged"),
        ((*GOOD, line("intrude", "x", "acked")), {"m0": frozenset({"a"})}, 1, "read-only"),
        (
            (*GOOD, line("write", "d", "refused", error="are forbidden on the replica instance")),
            {"m0": frozenset({"a"})},
            1,
            "not the main",
        ),
    ],
)
def test_every_broken_promise_is_a_problem(
    lines: tuple[dict[str, Any], ...], found: Any, mains: int, says: str
) -> None:
    """Phantoms, unreadable instances, two mains, an empty run, intruders, wrong roles (scenarios
    82, 85, 112)."""
    verdict = check(book(*lines), found, LEDGER, mains)
    assert any(says in problem for problem in verdict.problems)


def test_a_ledger_that_does_not_verify_is_a_problem() -> None:
    """An edited line fails the run."""
    edited = {key: text.replace("c0", "c9") for key, text in LEDGER.items()}
    edited = {**LEDGER, "00000002": edited["00000001"]}
    assert check(book(*GOOD), {"m0": frozenset({"a"})}, edited, 1).ledger_problem


def test_gaps_count_from_the_injection_to_the_end() -> None:
    """Silence before the first and after the last success counts too."""
    assert longest_gap([2.0, 2.5], 0.0, 3.0).ms == 2000
    assert longest_gap([], 0.0, 3.0).ms == 3000
    assert longest_gap([0.1, 0.2, 9.0], 0.0, 0.3).ms == 100


def entry(on: str, at: str, source: str, to: str) -> dict[str, Any]:
    """As much of a ledger entry as is measured."""
    return json.loads(json.dumps({"on": on, "at": at, "from": source, "to": to}))


def test_a_failover_is_measured_from_the_ledger_and_the_book() -> None:
    """Detection, fence and promotion by the ledger, the first write by the clients."""
    begin = 1767225600.0  # 2026-01-01T00:00:00Z
    entries = [
        entry("main_lost", "2026-01-01T00:00:00.200Z", "OPERATIONAL", "FAILOVER"),
        entry("main_fenced", "2026-01-01T00:00:00.250Z", "FAILOVER", "FAILOVER"),
        entry("main_promoted", "2026-01-01T00:00:00.300Z", "FAILOVER", "DEGRADED"),
        entry("sync_joined", "2026-01-01T00:00:02.000Z", "DEGRADED", "OPERATIONAL"),
    ]
    writes = book(
        line("write", "a", "acked", begin + 0.1),
        line("write", "b", "acked", begin + 0.4),
        line("write", "c", "acked", begin + 2.5),
    )
    fault = measure("main-killed", 1, "m0", begin, begin + 3, writes, entries)
    assert (fault.detect_ms, fault.fence_ms, fault.promote_ms) == (200, 250, 300)
    assert (fault.first_write_ms, fault.operational_ms) == (400, 2000)
    assert fault.detected_to_write_ms == 200
    assert fault.write_gap_ms == 2100
    again = evolve(fault, write_gap_ms=100)
    assert medians([fault, again])["main-killed"]["write_gap_ms"] == 1100


def test_a_snapshot_in_front_of_the_ledger_is_no_entry() -> None:
    """A run that is long enough for the ledger to be cut is told by its entries alone."""
    ledger = {"00000130": '{"seq": 130}\n', "00000129": '{"seq": 129}\n', "snapshot": "{}\n"}
    assert [e["seq"] for e in entries_of(ledger)] == [129, 130]
