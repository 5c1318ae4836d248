"""Requests as people write them: understood, or turned into a trouble that their author is told."""

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from controller.requests import (
    AUTHOR_CHARS_MAX,
    ENTRIES_MAX,
    ENTRY_BYTES_MAX,
    PAUSE_MAX_S,
    REASON_CHARS_MAX,
    clean,
    line_of,
    request_of,
    requests_of,
)
from statemachine.observations import Request

EXPIRES = "2026-01-31T12:00:00Z"
EXPIRES_S = 1_769_860_800.0
LEAST = {"v": 1, "kind": "switchover", "expires": EXPIRES}


def read(**changes: Any) -> Request:
    """The request of the least entry with these fields; None takes one away."""
    document = {k: v for k, v in {**LEAST, **changes}.items() if v is not None}
    return request_of("r-1", json.dumps(document))


def test_an_entry_is_understood_in_full() -> None:
    """Every field that a person may write reaches the decision."""
    request = read(
        kind="pause",
        author="alice",
        reason="a backup",
        instance="memgraph-1",
        value="on",
        confirm="graphs",
        for_s=90,
        not_before="2026-01-31T12:30:00+01:00",
    )
    assert request == Request(
        "r-1",
        "pause",
        author="alice",
        reason="a backup",
        instance="memgraph-1",
        value="on",
        confirm="graphs",
        for_s=90.0,
        not_before_s=EXPIRES_S - 1800,
        expires_s=EXPIRES_S,
    )


HOSTILE = [
    ("empty", "", "not JSON"),
    ("no object", "[]", "not a JSON object"),
    ("half", '{"v":1,', "not JSON"),
    ("nested without end", "[" * 4000, "not JSON"),
    ("too large", json.dumps({**LEAST, "reason": "x" * ENTRY_BYTES_MAX}), "above 4096 bytes"),
    ("no version", json.dumps({"kind": "switchover"}), "version None"),
    ("version true", json.dumps({**LEAST, "v": True}), "version True"),
    ("newer", json.dumps({**LEAST, "v": 2}), "version 2"),
    ("misspelt", json.dumps({**LEAST, "instanse": "memgraph-1"}), "unknown field 'instanse'"),
    ("surrogates", '{"v":1,"\\ud800":1}', "unknown field"),
    ("an enormous number", '{"v":' + "9" * 4000 + "}", "version"),
]


@pytest.mark.parametrize(("name", "line", "says"), HOSTILE, ids=lambda x: str(x)[:20])
def test_what_cannot_be_read_is_a_trouble(name: str, line: str, says: str) -> None:
    """Never an exception, and its author learns what is wrong with it."""
    request = request_of("r-1", line)
    assert request.id == "r-1"
    assert says in request.trouble
    assert len(request.trouble) <= REASON_CHARS_MAX
    assert request.trouble.isprintable()


FIELDS = [
    ({"kind": 7}, "kind is no name"),
    ({"kind": "a b"}, "kind is no name"),
    ({"instance": "../secrets"}, "instance is no name"),
    ({"instance": None, "value": ["on"]}, "value is no name"),
    ({"author": {"name": "x"}}, "author is no text"),
    ({"for_s": "30m"}, "for_s wants seconds"),
    ({"for_s": True}, "for_s wants seconds"),
    ({"for_s": -1}, "for_s wants seconds"),
    ({"for_s": float("nan")}, "for_s wants seconds"),
    ({"for_s": float("inf")}, "for_s wants seconds"),
    ({"for_s": PAUSE_MAX_S + 1}, "for_s wants seconds"),
    ({"kind": "pause"}, "for_s is missing"),
    ({"expires": None}, "expires is missing"),
    ({"expires": "tomorrow"}, "expires wants a time"),
    ({"expires": 1_800_000_000}, "expires wants a time"),
    ({"expires": "2026-01-31T12:00:00"}, "expires wants a time"),
    ({"not_before": "soon"}, "not_before wants a time"),
]


@pytest.mark.parametrize(("changes", "says"), FIELDS, ids=str)
def test_a_field_that_makes_no_sense_is_a_trouble(changes: dict[str, Any], says: str) -> None:
    """It is never read as if it were absent; who wrote it is kept, so that they can be told."""
    request = read(**{"author": "alice", **changes})
    assert says in request.trouble
    assert request.author == ("alice" if "author" not in changes else "")
    assert request.instance == ""


def test_texts_are_one_line_and_bounded() -> None:
    """Nobody writes lines of their own into a log, nor fills the ledger."""
    request = read(author="a" * 500, reason="one\ntwo\x1b[2J\x7f\ud800" + "b" * 3000)
    assert len(request.author) == AUTHOR_CHARS_MAX
    assert len(request.reason) == REASON_CHARS_MAX
    assert request.reason.startswith("one two [2J  bb")
    assert not request.trouble


def test_so_many_are_looked_at_and_no_more() -> None:
    """The oldest first; a key that Kubernetes would not allow is not looked at."""
    entries = {f"2026-{n:03d}": json.dumps(LEAST) for n in range(ENTRIES_MAX + 10)}
    found = requests_of({**entries, "a/b": "x", "": "x"})
    assert [r.id for r in found] == sorted(entries)[:ENTRIES_MAX]


def test_what_is_written_is_read_back() -> None:
    """The command's own entry means to the controller what it meant to the person."""
    asked = Request(
        "r-1",
        "pause",
        author="alice",
        reason="a backup",
        for_s=1800.0,
        not_before_s=EXPIRES_S - 60,
        expires_s=EXPIRES_S,
    )
    assert request_of("r-1", line_of(asked)) == asked
    assert line_of(asked).count("\n") == 1
    with pytest.raises(ValueError, match="instance is no name"):
        line_of(evolve(asked, instance="memgraph 1"))
    with pytest.raises(ValueError, match="has to expire"):
        line_of(evolve(asked, expires_s=float("inf")))


@given(st.text(max_size=300))
def test_no_text_raises(line: str) -> None:
    """Whatever stands there becomes a request with its id."""
    assert request_of("r-1", line).id == "r-1"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["kind", "author", "for_s", "expires", "v"]), json_values))
def test_no_document_raises(document: dict[str, Any]) -> None:
    """Nor do fields of any kind; what is understood can be shown in one line."""
    request = request_of("r-1", json.dumps({"v": 1, **document}))
    assert clean(request.trouble, 1000) == request.trouble
    assert request.author.isprintable()
