"""The ledger's tail has a seal: a pod that remembers nothing notices an edited or cut one (S16)."""

import re
from collections.abc import Mapping

import pytest
from test_chronicle import BARRIER, Store, made

from controller.chronicle import Chronicle
from controller.ports import StoredLedger
from statemachine.ledger import Ledger
from statemachine.seal import SEAL

WRITTEN = (
    Ledger()
    .append(BARRIER, at="now", by="me", entry_id="a" * 16)
    .append(BARRIER, at="now", by="me", entry_id="b" * 16)
)
LAST = max(WRITTEN.data)


def edited() -> dict[str, str]:
    """A hand has changed a reason: the chain does not show it."""
    return {**WRITTEN.data, LAST: WRITTEN.data[LAST].replace('"why":"', '"why":"(edited) ')}


def cut() -> dict[str, str]:
    """A hand has taken the last entry away."""
    return {key: line for key, line in WRITTEN.data.items() if key != LAST}


async def fresh(data: Mapping[str, str], annotations: Mapping[str, str]) -> Chronicle:
    """A pod that starts over this object."""
    chronicle = Chronicle(Store(StoredLedger("uid", "9", dict(data), annotations)), by="me")
    await chronicle.read()
    return chronicle


async def test_what_was_written_is_taken() -> None:
    """The seal names the seq and the hash of the last entry."""
    chronicle = await fresh(WRITTEN.data, WRITTEN.annotations)
    assert (chronicle.ledger, chronicle.trouble) == (WRITTEN, "")
    assert WRITTEN.annotations[SEAL] == f"2:{WRITTEN.head}"


@pytest.mark.parametrize("data", [edited(), cut()], ids=["edited", "cut"])
async def test_a_tail_that_a_hand_has_changed_is_not_believed(data: dict[str, str]) -> None:
    """Without memory nothing else would show it; the pod stays closed and says what to do."""
    chronicle = await fresh(data, WRITTEN.annotations)
    assert chronicle.ledger == Ledger()
    assert re.search(r"entry 2 is not there as it was written; put it back, or", chronicle.trouble)


@pytest.mark.parametrize("data", [edited(), cut()], ids=["edited", "cut"])
async def test_a_person_may_accept_it(data: dict[str, str]) -> None:
    """By taking the seal away."""
    bare = {k: v for k, v in WRITTEN.annotations.items() if k != SEAL}
    chronicle = await fresh(data, bare)
    assert chronicle.ledger.data == data
    assert chronicle.trouble == ""


async def test_an_earlier_version_leaves_an_old_seal_behind() -> None:
    """It writes `seq` and knows of no seal: what it wrote is taken."""
    newer = WRITTEN.append(BARRIER, at="now", by="older", entry_id="c" * 16)
    seal = {SEAL: WRITTEN.annotations[SEAL]}
    chronicle = await fresh(newer.data, {**newer.annotations, **seal})
    assert (chronicle.ledger, chronicle.trouble) == (newer, "")


async def test_a_pod_that_remembers_takes_no_edited_tail_either() -> None:
    """Before, a line that another pod wrote gave way to an edited one until a barrier followed."""
    store = Store(StoredLedger("uid", "8", WRITTEN.data, WRITTEN.annotations))
    chronicle = Chronicle(store, by="me")
    await chronicle.read()
    store.stored = StoredLedger("uid", "9", edited(), WRITTEN.annotations)
    await chronicle.read()
    assert chronicle.ledger == WRITTEN
    assert chronicle.trouble


THIRD = WRITTEN.append(BARRIER, at="now", by="other", entry_id="c" * 16)


@pytest.mark.parametrize(
    ("data", "seal", "unheld_seq"),
    [
        (WRITTEN.data, THIRD.annotations, 3),  # its tail is cut
        (THIRD.data | {"00000003": "{}"}, THIRD.annotations, 3),  # its tail is edited
        (THIRD.data | {"00000001": "{}"}, THIRD.annotations, 0),  # entry 3 stands there
        ({**cut()}, WRITTEN.annotations, 0),  # what is missing we hold
        (WRITTEN.data, {}, 0),  # nobody can tell
        ({"00000001": "{}", "00000002": "{}"}, THIRD.annotations, 0),  # another history
    ],
    ids=["cut", "edited", "elsewhere", "held", "unsealed", "foreign"],
)
async def test_a_broken_seal_tells_of_an_entry_that_nobody_here_holds(
    data: dict[str, str], seal: Mapping[str, str], unheld_seq: int
) -> None:
    """It may have been acted upon: what this pod remembers is not the whole history (S16)."""
    store = Store(StoredLedger("uid", "8", WRITTEN.data, WRITTEN.annotations))
    chronicle = Chronicle(store, by="me")
    await chronicle.read()
    store.stored = StoredLedger("uid", "9", data, seal)
    await chronicle.read()
    assert chronicle.ledger == WRITTEN
    assert chronicle.unheld_seq == unheld_seq


async def test_an_earlier_ledger_is_late_in_a_watch_and_cut_in_a_read() -> None:
    """A backup that a hand put back carries the seal of its own time: only who remembers more can
    tell, and a watch may simply show what was (S16)."""
    backup = StoredLedger("uid", "9", WRITTEN.data, WRITTEN.annotations)
    store = Store(StoredLedger("uid", "8", THIRD.data, THIRD.annotations))
    chronicle = Chronicle(store, by="me")
    await chronicle.read()
    chronicle.take_picture(backup)
    assert (chronicle.ledger, chronicle.trouble) == (THIRD, "")
    store.stored = backup
    await chronicle.read()
    assert chronicle.ledger == THIRD
    assert "its tail is cut: 2 of 3 entries" in chronicle.trouble


async def test_a_write_of_unknown_outcome_is_restored_too() -> None:
    """Others may have seen it, and go by it, before a hand took it away: history does not go on
    without it (S1, S16)."""
    chronicle, store = await made()
    assert await chronicle.append(BARRIER)
    known, store.fate = chronicle.ledger, "cut"
    assert not await chronicle.append(BARRIER)
    assert chronicle.trouble
    assert (chronicle.ledger, chronicle.unheld_seq) == (known, 0)
    await chronicle.restore()
    assert chronicle.trouble == ""
    assert chronicle.ledger.seq == known.seq + 1
    assert store.stored is not None
    assert store.stored.data == chronicle.ledger.data
