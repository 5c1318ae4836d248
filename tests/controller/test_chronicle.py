"""Appending to the ledger: nothing counts before it is stored, and a lost answer is neither done
nor undone (S1)."""

from collections.abc import Mapping

import pytest
from attrs import define

from controller.chronicle import Chronicle
from controller.errors import KubeUnavailable, LedgerConflict, LedgerOutcomeUnknown
from controller.ports import StoredLedger
from statemachine import events as e
from statemachine.events import Event
from statemachine.ids import Phase, Seq
from statemachine.ledger import Ledger, fold

BARRIER = Event(e.LeaderElected("me/1"), Phase.BOOTSTRAP, Phase.BOOTSTRAP, "because")


@define(eq=False)
class Store:
    """One ConfigMap. `fate` of the next write: ok, lost (carried out), cut (the same, and a hand
    takes the entry away at once), dropped, conflict, down."""

    stored: StoredLedger | None = None
    fate: str = "ok"
    chronicle: Chronicle | None = None
    seen_while_writing: int = -1
    writes: int = 0

    async def read(self) -> StoredLedger | None:
        """What is stored."""
        return self.stored

    async def create(self, data: Mapping[str, str], annotations: Mapping[str, str]) -> StoredLedger:
        """As a replacement of nothing."""
        return await self.replace(None, data, annotations)

    async def replace(
        self,
        base: StoredLedger | None,
        data: Mapping[str, str],
        annotations: Mapping[str, str],
    ) -> StoredLedger:
        """By the fate that the test wants."""
        assert self.chronicle is not None
        self.seen_while_writing = self.chronicle.ledger.seq
        fate, self.fate = self.fate, "ok"
        if fate == "down":
            raise KubeUnavailable("nobody there")
        if fate == "dropped":
            raise LedgerOutcomeUnknown("no answer")
        if fate == "conflict" or base != self.stored:
            raise LedgerConflict("modified")
        self.writes += 1
        last = max(data) if fate == "cut" else ""
        shown = {key: line for key, line in data.items() if key != last}
        self.stored = StoredLedger("uid", str(self.writes), shown, dict(annotations))
        if fate in ("lost", "cut"):
            raise LedgerOutcomeUnknown("no answer")
        return self.stored


async def made(fate: str = "ok") -> tuple[Chronicle, Store]:
    """A chronicle that has read an empty store."""
    store = Store(fate=fate)
    chronicle = Chronicle(store, by="me", now=lambda: "now")
    store.chronicle = chronicle
    await chronicle.read()
    return chronicle, store


async def test_an_event_counts_once_it_is_stored_and_not_before() -> None:
    """While the write is under way the fold is the old one."""
    chronicle, store = await made()
    assert await chronicle.append(BARRIER)
    assert store.seen_while_writing == 0
    assert chronicle.ledger.seq == 1
    assert store.stored is not None
    assert fold(store.stored.data) == chronicle.ledger


async def test_a_lost_answer_of_a_write_that_was_not_carried_out() -> None:
    """The event is not in the ledger, nothing was folded, and the caller must append before it
    commands anything: the write may still land."""
    chronicle, _ = await made("dropped")
    assert not await chronicle.append(BARRIER)
    assert chronicle.ledger == Ledger()
    assert chronicle.is_uncertain
    assert await chronicle.append(BARRIER)
    assert not chronicle.is_uncertain


async def test_a_lost_answer_of_a_write_that_was_carried_out() -> None:
    """It is found by its id and counts, once."""
    chronicle, store = await made("lost")
    assert await chronicle.append(BARRIER)
    assert chronicle.ledger.seq == 1
    assert store.writes == 1
    assert not chronicle.is_uncertain


async def test_somebody_else_wrote_first() -> None:
    """A conflict brings what the other wrote; our event is decided anew."""
    chronicle, store = await made()
    theirs = Ledger().append(BARRIER, at="now", by="them", entry_id="x" * 16)
    store.stored = StoredLedger("uid", "9", theirs.data, {})
    assert not await chronicle.append(BARRIER)
    assert chronicle.ledger == theirs
    assert not chronicle.is_uncertain


async def test_an_api_server_that_is_gone_changes_nothing() -> None:
    """Certainly not written: no doubt is left behind."""
    chronicle, _ = await made("down")
    with pytest.raises(KubeUnavailable):
        await chronicle.append(BARRIER)
    assert chronicle.ledger.seq == Seq(0)
    assert not chronicle.is_uncertain


async def test_a_deleted_ledger_is_no_fresh_cluster() -> None:
    """What was verified stays known, and the trouble is told (S16)."""
    chronicle, store = await made()
    await chronicle.append(BARRIER)
    known, store.stored = chronicle.ledger, None
    await chronicle.read()
    assert chronicle.ledger == known
    assert chronicle.trouble == "the ledger was deleted"
