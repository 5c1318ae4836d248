"""The ledger as a value: what is accepted, and that everything else is told apart."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from statemachine import events as e
from statemachine.codec import LINE_BYTES_MAX, LedgerCorrupt, decode, key_of
from statemachine.events import Event
from statemachine.ids import Durability, Instance, Mode, Phase
from statemachine.ledger import TEXT_MAX, Ledger, fold, fold_on, why_gone

A, B = Instance("memgraph-0"), Instance("memgraph-1")
BO, DE, OP = Phase.BOOTSTRAP, Phase.DEGRADED, Phase.OPERATIONAL
STEPS: tuple[tuple[e.Payload, Phase, Phase], ...] = (
    (e.LeaderElected("c0/u/1"), BO, BO),
    (e.PolicyChanged(Durability.REQUIRED), BO, BO),
    (e.MainAppointed(A, "storage"), BO, DE),
    (e.MainPromoted(A, frozenset(), "none"), DE, DE),
    (e.RegistrationOpened("memgraph_1_g1", B, Mode.STRICT_SYNC, "127.0.0.2:10000", "u/0"), DE, DE),
    (e.SyncJoined(B, "memgraph_1_g1"), DE, OP),
    (e.ReadersChanged(frozenset({B})), OP, OP),
)


def written(count: int = len(STEPS)) -> Ledger:
    """A ledger of the first steps of a life."""
    ledger = Ledger()
    for number, (payload, source, dest) in enumerate(STEPS[:count]):
        event = Event(payload, source, dest, "why", (("guard", "saw"),))
        ledger = ledger.append(event, at="2026-01-01T00:00:00.000Z", by="c0", entry_id=f"i{number}")
    return ledger


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_what_was_appended_folds_to_the_same(count: int) -> None:
    """Every prefix of a life reads back as what was written."""
    assert fold(written(count).data) == written(count)


@pytest.mark.parametrize("count", range(len(STEPS) + 1))
def test_folding_on_is_folding(count: int) -> None:
    """Verifying only the new lines gives what verifying all gives."""
    assert fold_on(written(count), written().data) == written()


def test_lines_are_what_kubectl_prints_whole() -> None:
    """One line of ASCII each, ending in a newline, without control characters, sorted by key."""
    odd = Event(e.LeaderElected("c0"), BO, BO, "delete\x7f, line\nbreak, umlaut ä, \u2028")
    ledger = Ledger().append(odd, at="", by="", entry_id="i")
    (line,) = ledger.lines
    assert line.endswith("\n")
    assert all(" " <= c < "\x7f" for c in line[:-1])
    assert decode(line).event.why == odd.why
    assert list(ledger.data) == [key_of(1)] == ["00000001"]


def test_history_reads_from_left_to_right() -> None:
    """What a person wants first stands first."""
    fields = list(json.loads(written().lines[0]))
    assert fields[:6] == ["seq", "at", "from", "on", "to", "why"]


@pytest.mark.parametrize("index", range(len(STEPS)))
@pytest.mark.parametrize("damage", ["drop", "swap", "double", "edit", "key"])
def test_damage_is_found(index: int, damage: str) -> None:
    """A line that was dropped, swapped, doubled, edited or put under another key never verifies;
    only a cut tail is a valid shorter ledger, which `continues` finds."""
    data = dict(written().data)
    keys = sorted(data)
    key = keys[index]
    if damage == "drop":
        del data[key]
    elif damage == "swap":
        other = keys[(index + 1) % len(keys)]
        data[key], data[other] = data[other], data[key]
    elif damage == "double":
        data[key_of(len(keys) + 1)] = data[key]
    elif damage == "edit":
        data[key] = data[key].replace('"why":"why"', '"why":"other"')
    else:
        data["x" + key] = data.pop(key)
    is_cut_tail = damage == "drop" and index == len(keys) - 1
    is_edited_head = damage == "edit" and index == len(keys) - 1
    if is_cut_tail or is_edited_head:
        assert not fold(data).continues(written())
    else:
        with pytest.raises(LedgerCorrupt):
            fold(data)


def test_shown_values_must_be_those_of_the_fold() -> None:
    """A last line that shows another main than it folds to is refused, although the chain holds."""
    data = dict(written().data)
    last = max(data)
    data[last] = data[last].replace('"main":"memgraph-0"', '"main":"memgraph-1"')
    with pytest.raises(LedgerCorrupt, match="shows another cluster"):
        fold(data)


def test_a_newer_version_is_told_apart() -> None:
    """What a newer program wrote is not guessed at."""
    data = {key_of(1): written(1).lines[0].replace('"v":1', '"v":2')}
    with pytest.raises(LedgerCorrupt, match="version 2"):
        fold(data)


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=200), min_size=1, max_size=3))
def test_garbage_is_corrupt_and_nothing_else(data: dict[str, str]) -> None:
    """Whatever a hand puts into the ConfigMap, nothing but LedgerCorrupt comes out."""
    with pytest.raises(LedgerCorrupt):
        fold(data)


@given(
    st.sampled_from(["seq", "from", "on", "to", "main", "sync", "term", "data", "facts", "v"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    ),
)
def test_any_other_value_of_a_field_is_corrupt(name: str, value: object) -> None:
    """A field of a wrong kind or value never escapes as another error, and never folds."""
    document = json.loads(written(1).lines[0])
    if document[name] == value and type(document[name]) is type(value):
        return
    if name in ("facts", "sync") and not value and isinstance(value, list | dict):
        return  # as good as empty
    document[name] = value
    try:
        ledger = fold({key_of(1): json.dumps(document) + "\n"})
    except LedgerCorrupt:
        return
    assert name in ("facts", "data"), f"{name}={value!r} folds to {ledger.cluster}"


def test_long_texts_are_cut_before_they_are_written() -> None:
    """A fact of a megabyte does not fill the ConfigMap."""
    event = Event(e.LeaderElected("c0"), BO, BO, "x" * 10**6, (("guard", "y" * 10**6),))
    (line,) = Ledger().append(event, at="", by="", entry_id="i").lines
    assert len(line) < 4 * TEXT_MAX < LINE_BYTES_MAX


def test_own_entries_are_known_by_id() -> None:
    """A write of unknown outcome is looked for by its id."""
    assert written().has_entry("i3")
    assert not written().has_entry("i33")


def test_a_cut_or_foreign_ledger_does_not_continue() -> None:
    """Only what has the known last line in its place goes on from it."""
    assert written().continues(written(3))
    assert written().continues(Ledger())
    assert not written(3).continues(written())
    other = Ledger().append(Event(e.LeaderElected("c9"), BO, BO, "why"), at="", by="", entry_id="i")
    assert not written().continues(other)


@pytest.mark.parametrize(
    ("known", "told", "why"),
    [
        (0, 0, ""),
        (5, 0, "the ledger was deleted"),
        (5, 9, "the ledger was deleted"),
        (
            0,
            9,
            "the ledger is gone: a gateway has acknowledged entry 9, and this pod remembers none",
        ),
    ],
)
def test_where_no_ledger_is_stored(known: int, told: int, why: str) -> None:
    """S16: that is a beginning only where nobody knows of one that was there."""
    assert why_gone(known, told).partition(";")[0] == why


def test_annotations_repeat_for_columns_only() -> None:
    """They show the fold, and a fold never looks at them."""
    notes = written().annotations
    assert notes["memgraph-controller/phase"] == "OPERATIONAL"
    assert notes["memgraph-controller/sync"] == "memgraph-1"
