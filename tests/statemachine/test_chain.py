"""A whole history from its pieces: what is verified, what is named as wrong, what is only told."""

import pytest
from ledgers import SMALL, Kept, add, begun, grown

from statemachine import events as e
from statemachine.chain import Chain, read_chain
from statemachine.codec import key_of
from statemachine.events import Event
from statemachine.ids import Phase
from statemachine.snapshot import SNAPSHOT_KEY

OP = Phase.OPERATIONAL


@pytest.fixture(scope="module")
def kept() -> Kept:
    """A ledger that was cut several times: 8 entries, 40 more, and those of the cuts."""
    return Kept().grow(40)


def read(kept: Kept, live: dict[str, str] | None = None, **other: dict[str, str] | None) -> Chain:
    """The history of these pieces; `a3={...}` puts something else into archive 3, None removes."""
    archives = {n: dict(p.data) for n, p in kept.parts.items()}
    for name, data in other.items():
        if data is None:
            del archives[int(name[1:])]
        else:
            archives[int(name[1:])] = data
    return read_chain(kept.ledger.data if live is None else live, archives)


def test_a_history_without_archives_is_a_chain() -> None:
    """A ledger of a program that never cut anything reads as it always did; so does none."""
    ledger = begun()
    chain = read_chain(ledger.data, {})
    assert (chain.first, chain.count, chain.head) == (1, 8, ledger.head)
    assert (chain.cluster, chain.faults, chain.notes) == (ledger.cluster, (), ())
    assert read_chain({}, {}).count == 0


def test_all_pieces_are_one_history(kept: Kept) -> None:
    """Each entry once, in order, with the head that the live part has."""
    chain = read(kept)
    assert [seq for seq, _ in chain.entries()] == list(range(1, kept.ledger.seq + 1))
    assert tuple(line for _, line in chain.entries()) == kept.whole.lines
    assert (chain.head, chain.cluster) == (kept.ledger.head, kept.ledger.cluster)
    assert (chain.faults, chain.notes, chain.archives) == ((), (), len(kept.parts))


@pytest.mark.parametrize("seq", [0, 1, 4, 5, 17, 40])
def test_the_cluster_of_any_moment(kept: Kept, seq: int) -> None:
    """What it was then is the fold up to there, from the beginning or from a snapshot."""
    chain, known = read(kept), Kept()
    whole = known.whole if seq <= 8 else known.grow(40).whole
    assert chain.cluster_at(seq) == whole.snapshot_at(seq).cluster
    assert chain.cluster_at(kept.ledger.seq + 1) is None


@pytest.mark.parametrize("seq", [1, 6, 11, 30])
def test_the_first_wrong_entry_is_named(kept: Kept, seq: int) -> None:
    """An edited line is found at the line behind it, or at the snapshot behind it, whichever comes
    first; everything before it stays verified, and what has a snapshot of its own goes on."""
    number = next(n for n, p in kept.parts.items() if key_of(seq) in p.data)
    data = dict(kept.parts[number].data)
    data[key_of(seq)] = data[key_of(seq)].replace('"by":"c0"', '"by":"c9"')
    chain = read(kept, **{f"a{number}": data})
    fault = chain.faults[0]
    assert fault.seq == seq + 1
    assert chain.runs[0].last == seq
    assert chain.runs[-1].last == kept.ledger.seq
    assert len(chain.faults) == 1


@pytest.mark.parametrize("number", [1, 2, 5])
def test_a_missing_archive_is_a_gap(kept: Kept, number: int) -> None:
    """It is named with the entries that it held; the rest is verified on both sides."""
    chain = read(kept, **{f"a{number}": None})
    (fault,) = chain.faults
    assert fault.seq == (4 if number == 1 else 4 * (number - 1) + 1)
    assert "missing" in fault.what or "not there" in fault.what
    assert chain.count == kept.ledger.seq - 4


def test_a_foreign_archive_is_told_and_no_fault(kept: Kept) -> None:
    """A number that holds something else was passed over when the history was written."""
    foreign = {key_of(1): "of an older cluster\n"}
    archives = {n + (n > 2): dict(p.data) for n, p in kept.parts.items()} | {3: foreign}
    chain = read_chain(kept.ledger.data, archives)
    assert chain.faults == ()
    assert "archive 000003" in chain.notes[0]
    assert chain.count == kept.ledger.seq


def test_a_snapshot_that_cannot_be_read_is_named(kept: Kept) -> None:
    """What stands before it is verified all the same, and what comes behind its part too."""
    chain = read(kept, a4={**kept.parts[4].data, SNAPSHOT_KEY: "{"})
    assert chain.faults[0].place == "archive 000004"
    assert chain.runs[0].begins.seq == 0
    assert chain.runs[0].last == 12
    assert chain.runs[-1].last == kept.ledger.seq
    assert chain.archives == len(kept.parts)


@pytest.mark.parametrize("piece", ["live", "a4"])
def test_an_edited_snapshot_is_a_fault(kept: Kept, piece: str) -> None:
    """In the live part as in an archive: it is not what the entries before it fold to."""
    data = dict(kept.ledger.data if piece == "live" else kept.parts[4].data)
    data[SNAPSHOT_KEY] = data[SNAPSHOT_KEY].replace('"generation":2', '"generation":3')
    chain = read(kept, data) if piece == "live" else read(kept, a4=data)
    assert "not what the entries before it fold to" in chain.faults[0].what
    assert chain.runs[0].begins.seq == 0


def test_a_snapshot_that_the_cut_did_not_leave_is_a_fault() -> None:
    """Also where nothing before it is at hand any more: the cut's own entry carries its hash."""
    kept = Kept().grow(20)
    data = dict(kept.ledger.data)
    data[SNAPSHOT_KEY] = data[SNAPSHOT_KEY].replace('"generation":2', '"generation":3')
    chain = read_chain(data, {})
    assert any("not the one of this cut" in f.what for f in chain.faults)
    del data[SNAPSHOT_KEY]
    assert read_chain(data, {}).faults


def test_a_beginning_that_was_given_up_is_no_fault() -> None:
    """The ledger itself says where the chain begins by now; what is missing behind that is one."""
    kept = Kept().grow(30)
    while not kept.cut_if_due(retired=(1, 2)):
        kept.ledger = add(kept.ledger, Event(e.LeaderElected("c1"), OP, OP, "because"))
    chain = read(kept, a1=None, a2=None)
    assert chain.faults == ()
    assert "begins with entry 9 by retention" in chain.notes[0]
    assert "archive 000003" in chain.notes[0]
    (fault,) = read(kept, a1=None, a2=None, a3=None).faults
    assert "000003 to 000003 are not there" in fault.what
    assert read(kept).first == 1  # not deleted yet


def test_archives_alone_are_verified_as_far_as_they_go(kept: Kept) -> None:
    """Without the live part, as from a backup: one run, and a word that it is not the end."""
    archives = {n: p.data for n, p in kept.parts.items() if n in (3, 4, 5)}
    chain = read_chain(None, archives)
    assert (chain.first, chain.count, chain.faults) == (9, 12, ())
    assert "begin with entry 9" in chain.notes[0]


def test_a_cut_tail_verifies_and_only_the_head_shows_it() -> None:
    """This is what a chain cannot find; who kept the head can."""
    whole, cut = grown(5), grown(4)
    assert read_chain(cut.data, {}).faults == ()
    assert read_chain(cut.data, {}).head != read_chain(whole.data, {}).head
    assert SMALL.segment_entries == 4
