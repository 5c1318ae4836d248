"""The quorum read of the ledger's head, by which a pod knows that its copy is the newest (S6)."""

from typing import Any

import pytest
import trio
from attrs import define
from test_chronicle import BARRIER

from controller.chronicle import Chronicle
from controller.loop import LedgerSeen, Loop
from controller.ports import StoredLedger
from controller.watches import Watches
from statemachine.ids import Instance
from statemachine.ledger import Ledger
from statemachine.view import Policy, View

ONE = Ledger().append(BARRIER, at="now", by="another", entry_id="a" * 16)
TWO = ONE.append(BARRIER, at="now", by="another", entry_id="b" * 16)


def stored(ledger: Ledger) -> StoredLedger:
    """As it stands in its object."""
    return StoredLedger("uid", str(ledger.seq), ledger.data, ledger.annotations)


@define(eq=False)
class Store:
    """Answers a read with `answer`, and lets the watch show `meanwhile` before."""

    loop: Loop | None = None
    answer: StoredLedger | None = None
    meanwhile: StoredLedger | None = None

    async def read(self) -> StoredLedger | None:
        """A quorum read that takes its time."""
        await trio.lowlevel.checkpoint()
        if self.loop is not None and self.meanwhile is not None:
            self.loop.report(LedgerSeen(self.meanwhile))
        return self.answer


async def pod_that_knows(ledger: Ledger | None, nursery: Any) -> tuple[Store, Watches]:
    """Its loop runs; it has read this ledger once, None: there was none yet."""
    store: Any = Store(answer=stored(ledger) if ledger else None)
    view = View(Policy((Instance("memgraph-0"),)), me="c0")
    loop = store.loop = Loop(Chronicle(store, by="c0"), view)
    nursery.start_soon(loop.run)
    informers: Any = None
    watches = Watches(loop, informers, None, store, patience_s=4.0)
    assert await watches.read_head() is not None
    return store, watches


@pytest.mark.parametrize("known", [None, ONE], ids=["no ledger yet", "the same"])
async def test_a_head_that_is_ours_confirms(
    autojump_clock: Any, nursery: Any, known: Ledger | None
) -> None:
    """It says when it was asked for."""
    _, watches = await pod_that_knows(known, nursery)
    await trio.sleep(1.0)
    assert await watches.read_head() == pytest.approx(trio.current_time())


async def test_a_ledger_that_is_gone_confirms_nothing(autojump_clock: Any, nursery: Any) -> None:
    """Somebody deleted it."""
    store, watches = await pod_that_knows(ONE, nursery)
    store.answer = None
    assert await watches.read_head() is None


async def test_a_ledger_that_is_gone_confirms_no_newer_entries_of_a_watch(
    autojump_clock: Any, nursery: Any
) -> None:
    """S6: a hand deletes it while a watch still shows its last entries: nobody has read a head, so
    nothing opens by this; the next read tells."""
    store, watches = await pod_that_knows(ONE, nursery)
    store.answer, store.meanwhile = None, stored(TWO)
    assert await watches.read_head() is None
    store.answer, store.meanwhile = stored(TWO), None
    assert await watches.read_head() is not None
