"""Changes of main, read from the ledger's lines."""

import json

import web_picture as p

from controller.web.timings import between_s, changes


def entry(seq: int, on: str, source: str, dest: str, **data: str) -> str:
    return json.dumps(
        {
            "seq": seq,
            "at": f"2025-11-21T07:00:{seq:02d}.000+00:00",
            "from": source,
            "on": on,
            "to": dest,
            "why": "x",
            "main": "memgraph-0",
            "term": seq,
            "data": data,
        }
    )


def test_a_failover_of_the_real_codec_is_found() -> None:
    """What the product writes is what is read here."""
    (found,) = changes(p.history().lines)
    assert found.is_failover
    assert (found.seq, found.old_main, found.new_main) == (4, "memgraph-0", "memgraph-1")
    assert (found.fenced_after_s, found.promoted_after_s, found.verdict) == (0.25, 0.9, "none")


def test_a_change_under_way_has_no_end_yet() -> None:
    """Cut after any step, the rest is empty, and nothing raises."""
    lines = p.history().lines
    assert changes(lines[:3]) == ()
    (found,) = changes(lines[:4])
    assert (found.fenced_at, found.promoted_at, found.promoted_after_s) == ("", "", None)


def test_a_lost_candidate_is_followed_to_the_next() -> None:
    """The change goes on in a new term with another candidate; its clock keeps running."""
    lines = [
        entry(1, "main_lost", "OPERATIONAL", "FAILOVER", candidate="memgraph-1"),
        entry(2, "main_fenced", "FAILOVER", "FAILOVER", proof="dead"),
        entry(4, "candidate_lost", "FAILOVER", "FAILOVER", candidate="memgraph-2"),
        entry(6, "main_fenced", "FAILOVER", "FAILOVER", proof="dead"),
        entry(9, "main_promoted", "FAILOVER", "DEGRADED", main="memgraph-2", verdict="none"),
    ]
    (found,) = changes(lines)
    assert (found.new_main, found.term) == ("memgraph-2", 4)
    assert (found.fenced_after_s, found.promoted_after_s) == (5.0, 8.0)
    (lost,) = changes(lines[:3])
    assert lost.fenced_at == ""


def test_a_renewal_is_no_failover() -> None:
    """Planned, the same main before and after."""
    lines = [
        entry(1, "leader_elected", "OPERATIONAL", "OPERATIONAL"),
        entry(2, "renewal_started", "OPERATIONAL", "FAILOVER", cause="x"),
        entry(3, "main_promoted", "FAILOVER", "OPERATIONAL", main="memgraph-0", verdict="none"),
    ]
    (found,) = changes(lines)
    assert not found.is_failover
    assert (found.old_main, found.new_main) == ("memgraph-0", "memgraph-0")


def test_lines_that_cannot_be_read_are_passed_over() -> None:
    """Status must not fail because of a line; the ledger's health says what is wrong."""
    assert len(changes(["{", "[]", '{"seq": 1}', *p.history().lines])) == 1
    assert between_s("", "2025-11-21T07:00:00+00:00") is None
    assert between_s("yesterday", "today") is None
