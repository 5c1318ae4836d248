"""The ledger store on real sockets: a write happened, did not, or nobody knows."""

import pytest
from kube_rooms import MAPS, NAMES, TIMES, Server

from controller.errors import LedgerConflict, LedgerOutcomeUnknown
from controller.kube import KubeLedgerStore, Transport
from controller.sandbox.apiserver import CONFIGMAPS, Rule

DATA = {"00000001": '{"seq":1}\n'}
NOTES = {"memgraph-controller/seq": "1"}


@pytest.fixture
def store(transport: Transport) -> KubeLedgerStore:
    return KubeLedgerStore(transport, NAMES, TIMES)


async def test_what_was_created_is_read_back(store: KubeLedgerStore) -> None:
    """None before, then exactly what was written, under the version that the writer got."""
    assert await store.read() is None
    made = await store.create(DATA, NOTES)
    assert await store.read() == made
    assert (made.data, made.annotations) == (DATA, NOTES)


async def test_a_stale_writer_is_refused(store: KubeLedgerStore) -> None:
    """Of two writers with the same base only the first is written."""
    base = await store.create(DATA, NOTES)
    second = await store.replace(base, {**DATA, "00000002": "x\n"}, NOTES)
    with pytest.raises(LedgerConflict):
        await store.replace(base, {**DATA, "00000002": "y\n"}, NOTES)
    assert await store.read() == second


async def test_a_lost_answer_is_unknown_and_sent_once(
    store: KubeLedgerStore, server: Server
) -> None:
    """A PUT that was carried out but not answered is neither success nor conflict."""
    base = await store.create(DATA, NOTES)
    server.faults.add(Rule("lose_reply", verb="update"))
    with pytest.raises(LedgerOutcomeUnknown):
        await store.replace(base, {"00000002": "x\n"}, NOTES)
    read = await store.read()
    assert read is not None
    assert read.data == {"00000002": "x\n"}
    assert int(read.resource_version) == int(base.resource_version) + 1
    assert server.store.get(CONFIGMAPS, "default", NAMES.ledger)["metadata"]["uid"] == base.uid
    assert MAPS
