"""Cutting the ledger: what moves where, that nothing is lost on the way, and that every reader of
what is left finds the same cluster."""

import json

import pytest
from attrs import evolve
from ledgers import SMALL, Kept, add, begun, grown

from statemachine import events as e
from statemachine.archive import (
    LIMITS,
    Limits,
    Part,
    beyond_count,
    bridge,
    cut_at,
    follow,
    is_due,
    segment_end,
    why_implausible,
)
from statemachine.cluster import Archived
from statemachine.codec import LINE_BYTES_MAX, LedgerCorrupt, key_of
from statemachine.events import Event
from statemachine.ids import Phase, Seq, Term
from statemachine.ledger import Ledger, digest, fold, fold_lines, fold_on
from statemachine.snapshot import SNAPSHOT_KEY, read_snapshot

OP = Phase.OPERATIONAL


@pytest.fixture(scope="module")
def kept() -> Kept:
    """A ledger that was cut several times."""
    return Kept().grow(40)


def test_the_limits_are_those_that_people_were_told() -> None:
    """256 events or 128 KiB in the live part; segments of 128; none too large for a ConfigMap."""
    assert (LIMITS.live_entries, LIMITS.live_bytes, LIMITS.segment_entries) == (256, 131_072, 128)
    assert LIMITS.segment_bytes + LINE_BYTES_MAX < 1024 * 1024
    assert LIMITS.urgent_bytes + LINE_BYTES_MAX < 1024 * 1024


@pytest.mark.parametrize("count", [0, 1, 248, 249])
def test_the_live_part_is_cut_when_it_is_longer_than_its_limit(count: int) -> None:
    """At 256 entries it is not yet due, with one more it is: then exactly 128 move."""
    ledger = grown(count)
    assert is_due(ledger) is (len(ledger.lines) > 256)
    if is_due(ledger):
        end = segment_end(ledger)
        assert end == 128
        assert len(cut_at(ledger, end).data) == 128


def test_long_lines_make_it_due_earlier_and_segments_shorter() -> None:
    """Bytes count as well as entries, and a segment never outgrows its own limit."""
    ledger = grown(20)
    line_bytes = len(ledger.lines[0])
    assert is_due(ledger, Limits(live_bytes=10 * line_bytes, segment_entries=8))
    few = Limits(segment_bytes=3 * line_bytes)
    end = segment_end(ledger, few)
    assert end is not None
    assert 1 <= end <= 4
    assert (
        sum(map(len, ledger.lines[:end]))
        <= few.segment_bytes
        < sum(map(len, ledger.lines[: end + 1]))
    )


def test_a_cut_is_at_the_same_place_for_every_leader() -> None:
    """Where a segment ends is seen in its first lines alone, so more entries do not move it, and
    the archive has the same bytes whoever makes it."""
    early, late = grown(9), grown(30)
    assert segment_end(early, SMALL) == segment_end(late, SMALL) == 4
    assert cut_at(early, Seq(4)) == cut_at(late, Seq(4))
    assert cut_at(early, Seq(4)).data == cut_at(late, Seq(4)).data


def test_a_change_of_main_is_not_held_up() -> None:
    """In FAILOVER nothing is cut, unless the ledger is about to overflow."""
    main_lost = Event(e.MainLost(None, "gone", False), OP, Phase.DEGRADED, "because")
    started = Event(
        e.SwitchoverStarted(next(iter(begun().cluster.sync_replicas)), "asked"),
        OP,
        Phase.FAILOVER,
        "because",
    )
    assert is_due(add(grown(20), main_lost), SMALL)
    in_failover = add(grown(20), started)
    assert not is_due(in_failover, SMALL)
    assert is_due(in_failover, evolve(SMALL, urgent_bytes=1000))


def test_what_is_left_folds_to_the_same_cluster(kept: Kept) -> None:
    """After every cut the live part is within its limit and gives the cluster, the head and the
    position that the whole history gives."""
    ledger, whole = kept.ledger, kept.whole
    assert len(kept.parts) > 5
    assert len(ledger.lines) <= SMALL.live_entries + 1
    assert fold(ledger.data) == ledger
    assert ledger.cluster == whole.cluster == fold(ledger.data).cluster
    assert ledger.seq == whole.seq == len(whole.lines)


def test_the_archives_replay_to_what_the_snapshot_says(kept: Kept) -> None:
    """Following all archives from nothing gives the snapshot in front of the live part, and every
    entry stands in exactly one place."""
    bridge(Ledger(), kept.parts.values(), kept.ledger)
    keys = [key for part in kept.parts.values() for key in part.keys]
    keys += [key for key in kept.ledger.data if key != SNAPSHOT_KEY]
    assert keys == [key_of(n) for n in range(1, kept.ledger.seq + 1)]


@pytest.mark.parametrize("known", range(0, 48, 5))
def test_who_was_away_gets_there_through_the_archives(kept: Kept, known: int) -> None:
    """From every earlier position the archives lead to the live part; `fold_on` from inside of the
    live part gives the same."""
    lines = kept.whole.lines[:known]
    older = fold_lines(Ledger(), {key_of(n): line for n, line in enumerate(lines, 1)})
    if older.seq < kept.ledger.base_seq:
        assert older.seq == 0 or not kept.ledger.continues(older)
        bridge(older, [p for p in kept.parts.values() if p.keys[-1] > key_of(known)], kept.ledger)
    else:
        assert fold_on(older, kept.ledger.data) == kept.ledger
        assert kept.ledger.continues(older)


def test_a_snapshot_that_was_moved_on_is_checked_against_the_own_lines(kept: Kept) -> None:
    """Who holds the lines folds them itself: a snapshot that says something else is refused, even
    if an entry behind it vouches for it."""
    ledger = grown(9)
    base = cut_at(ledger, Seq(4)).base
    document = json.loads(base.line)
    document["cluster"]["leader"] = "somebody"
    forged = read_snapshot(json.dumps(document) + "\n")
    for what in (base, forged):
        payload = e.LedgerArchived(1, 4, digest(what.line))
        newer = add(ledger, Event(payload, OP, OP, "why")).cut(what)
        if what is base:
            assert fold_on(ledger, newer.data) == newer == fold(newer.data)
            continue
        with pytest.raises(LedgerCorrupt, match="not what the entries fold to"):
            fold_on(ledger, newer.data)


def test_every_edit_of_a_snapshot_is_found(kept: Kept) -> None:
    """The entry of the last cut carries the snapshot's hash: each value that is changed in it is
    noticed, also by a reader without memory."""
    document = json.loads(kept.ledger.data[SNAPSHOT_KEY])
    for name, value in document["cluster"].items():
        other = {**document, "cluster": {**document["cluster"], name: _another(value)}}
        with pytest.raises(LedgerCorrupt):
            fold({**kept.ledger.data, SNAPSHOT_KEY: json.dumps(other) + "\n"})


def _another(value: object) -> object:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else "memgraph-9"


def test_a_snapshot_that_is_gone_or_of_an_earlier_cut_is_found(kept: Kept) -> None:
    """Neither the live part without it nor with the one before it is a ledger."""
    bare = {key: line for key, line in kept.ledger.data.items() if key != SNAPSHOT_KEY}
    with pytest.raises(LedgerCorrupt):
        fold(bare)
    last = kept.parts[max(kept.parts)]
    with pytest.raises(LedgerCorrupt):
        fold({**bare, SNAPSHOT_KEY: last.data[SNAPSHOT_KEY]})
    with pytest.raises(LedgerCorrupt):  # glued together again, it would have no cut behind it
        fold({**bare, **last.data})


@pytest.mark.parametrize("damage", ["drop", "edit", "snapshot", "swap"])
def test_a_damaged_archive_never_leads_anywhere(kept: Kept, damage: str) -> None:
    """A line that is missing, edited or swapped in an archive, or another snapshot in front of it,
    is told; the live part verifies by itself."""
    part = kept.parts[3]
    data, first, second = dict(part.data), part.keys[0], part.keys[1]
    if damage == "drop":
        del data[second]
    elif damage == "edit":
        data[second] = data[second].replace('"by":"c0"', '"by":"c9"')
        assert data != part.data
    elif damage == "swap":
        data[first], data[second] = data[second], data[first]
    else:
        data[SNAPSHOT_KEY] = data[SNAPSHOT_KEY].replace('"leader":"c', '"leader":"d')
        assert data != part.data
    parts = {**kept.parts, 3: Part(3, data)}
    with pytest.raises(LedgerCorrupt):
        bridge(Ledger(), parts.values(), kept.ledger)
    with pytest.raises(LedgerCorrupt):
        bridge(Ledger(), [p for n, p in kept.parts.items() if n != 3], kept.ledger)
    assert fold(kept.ledger.data) == kept.ledger


def test_an_archive_of_another_history_is_not_followed(kept: Kept) -> None:
    """It does not end where the chain wants it to, and nothing goes on from it."""
    other = Kept()
    other.ledger = add(other.ledger, Event(e.LeaderElected("c9"), OP, OP, "why"))
    other.grow(20)
    base = kept.parts[5].base
    assert base is not None
    assert kept.parts[4].precedes(base)
    assert not other.parts[4].precedes(base)
    before = Ledger()
    for number in (1, 2, 3):
        before = follow(before, kept.parts[number])
    assert follow(before, kept.parts[4]).seq == base.seq
    with pytest.raises(LedgerCorrupt):
        follow(before, other.parts[4])


def test_the_event_goes_with_its_cut_alone(kept: Kept) -> None:
    """Archives only grow: an entry that takes a number again, or moves back, cannot be appended."""
    last = kept.ledger.cluster.archived
    assert last is not None
    for number, upto in ((last.last, last.upto + 4), (last.last + 1, last.upto)):
        payload = e.LedgerArchived(number, int(upto), "0" * 32)
        with pytest.raises(Exception, match="archives"):
            add(kept.ledger, Event(payload, OP, OP, "why"))


def test_what_is_given_up_goes_from_the_front_and_never_the_newest() -> None:
    """By count: the oldest ones above the limit, a few at a time; with a limit of one the new
    archive is the one."""
    archived = Archived(first=3, last=12, upto=Seq(1), snapshot="")
    assert beyond_count(archived, 13, None) == ()
    assert beyond_count(archived, 13, 11) == ()
    assert beyond_count(archived, 13, 9) == (3, 4)
    assert beyond_count(archived, 13, 1) == (3, 4, 5, 6, 7, 8, 9, 10)
    assert beyond_count(Archived(12, 12, Seq(1), ""), 13, 1) == (12,)
    assert beyond_count(None, 1, 1) == ()


def test_the_ledger_says_what_was_given_up() -> None:
    """After a retirement the chain begins later, by the ledger's own word, and folds as before."""
    kept = Kept().grow(30)
    while not kept.cut_if_due(retired=(1, 2)):
        kept.ledger = add(kept.ledger, Event(e.LeaderElected("c1"), OP, OP, "because"))
    archived = fold(kept.ledger.data).cluster.archived
    assert archived is not None
    assert (archived.first, archived.retired) == (3, (1, 2))
    assert "given up by the settings: 1, 2" in kept.ledger.lines[-1]


def test_an_implausible_ledger_is_never_leapt_to(kept: Kept) -> None:
    """Over a gap only a cluster with the same storage, and nothing that has fallen."""
    now = kept.ledger.cluster
    assert why_implausible(begun().cluster, now) == ""
    assert "storage" in why_implausible(evolve(now, storage_uuid="another"), now)
    assert (
        why_implausible(evolve(now, term=Term(now.term + 1)), now) == "term lower than known here"
    )


def test_a_line_is_found_by_its_position_alone(kept: Kept) -> None:
    """`head_at` knows the live part and the entry just before it, nothing else."""
    ledger, whole = kept.ledger, kept.whole
    for seq in range(ledger.base_seq + 1, ledger.seq + 1):
        assert ledger.head_at(seq) == digest(ledger.lines[seq - ledger.base_seq - 1])
    base = ledger.base
    assert base is not None
    assert ledger.head_at(base.seq) == base.head
    assert ledger.head_at(base.seq - 1) is ledger.head_at(ledger.seq + 1) is None
    assert whole.head_at(0) == Ledger().head


def test_the_last_line_can_be_taken_off(kept: Kept) -> None:
    """What is left is the ledger as it was before it."""
    ledger = kept.ledger
    again = fold_on(ledger.without_last(), ledger.data)
    assert again == ledger
    assert ledger.continues(ledger.without_last())
