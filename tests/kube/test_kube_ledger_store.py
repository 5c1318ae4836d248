"""The ledger store on real sockets: a write happened, did not, or nobody knows."""

from typing import Any

import pytest
import trio
from attrs import evolve
from fake_api import FakeApi, Trouble
from kube_rooms import MAPS, NAMES, TIMES, Server, wait_until
from trio.testing import MockClock

from controller.errors import (
    KubeForbidden,
    KubeRefused,
    KubeUnavailable,
    LedgerConflict,
    LedgerOutcomeUnknown,
)
from controller.kube import KubeLedgerStore, Transport
from controller.sandbox.apiserver import CONFIGMAPS, Mode, Rule

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


async def test_a_lost_creation_is_unknown(store: KubeLedgerStore, server: Server) -> None:
    """The same for the first write; the next attempt then meets what was made."""
    server.faults.add(Rule("lose_reply", verb="create"))
    with pytest.raises(LedgerOutcomeUnknown):
        await store.create(DATA, NOTES)
    with pytest.raises(LedgerConflict):
        await store.create(DATA, NOTES)


async def test_a_write_into_a_frozen_server_lands_late(
    transport: Transport, server: Server
) -> None:
    """Unknown is meant: absence at a re-read is no proof, the write may still land (S1)."""
    store = KubeLedgerStore(transport, NAMES, evolve(TIMES, request_timeout_s=0.5))
    base = await store.create(DATA, NOTES)
    server.faults.set_mode(Mode.FROZEN)
    with pytest.raises(LedgerOutcomeUnknown):
        await store.replace(base, {"00000002": "late"}, NOTES)
    server.faults.set_mode(Mode.OPEN)
    await wait_until(lambda: stored(server)["data"] == {"00000002": "late"})


def stored(server: Server) -> Any:
    """What the server holds."""
    return server.store.get(CONFIGMAPS, "default", NAMES.ledger)


@pytest.mark.parametrize("status", [500, 503, 504])
async def test_5xx_to_a_write_is_unknown(
    store: KubeLedgerStore, server: Server, status: int
) -> None:
    """A server that gave up half-way may have written."""
    base = await store.create(DATA, NOTES)
    server.faults.add(Rule("fail", verb="update", status=status))
    with pytest.raises(LedgerOutcomeUnknown):
        await store.replace(base, DATA, NOTES)


@pytest.mark.parametrize(
    ("status", "error"), [(403, KubeForbidden), (409, LedgerConflict), (429, KubeUnavailable)]
)
async def test_refused_writes_are_definite(
    store: KubeLedgerStore, server: Server, status: int, error: type[Exception]
) -> None:
    """A refusal says that nothing was written; nothing is tried again."""
    base = await store.create(DATA, NOTES)
    server.faults.add(Rule("fail", verb="update", status=status))
    with pytest.raises(error):
        await store.replace(base, {"00000002": "x"}, NOTES)
    assert await store.read() == base


@pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning")
async def test_too_large_a_ledger_is_refused(store: KubeLedgerStore) -> None:
    """What the server will never take is lasting, with its code."""
    base = await store.create(DATA, NOTES)
    with pytest.raises(KubeRefused) as caught:
        await store.replace(base, {"00000001": "x" * (1024 * 1024 + 1)}, NOTES)
    assert caught.value.status == 422


async def test_a_deleted_ledger_is_a_conflict(store: KubeLedgerStore, transport: Transport) -> None:
    """Whoever writes over a ledger that was deleted has to read again, and finds None."""
    base = await store.create(DATA, NOTES)
    await transport.request("DELETE", f"{MAPS}/{NAMES.ledger}")
    with pytest.raises(LedgerConflict):
        await store.replace(base, DATA, NOTES)
    assert await store.read() is None


async def test_a_recreated_ledger_is_another_one(
    store: KubeLedgerStore, transport: Transport
) -> None:
    """The base of a ledger that was deleted and made anew fits no more, whatever its version."""
    base = await store.create(DATA, NOTES)
    await transport.request("DELETE", f"{MAPS}/{NAMES.ledger}")
    anew = await store.create({}, {})
    for stale in (base, evolve(anew, uid=base.uid)):
        with pytest.raises(LedgerConflict):
            await store.replace(stale, DATA, NOTES)


async def test_the_object_is_nobodys_child_and_carries_the_release(
    store: KubeLedgerStore, server: Server
) -> None:
    """No ownerReference, labels that name the release, foreign annotations kept over a write."""
    base = await store.create(DATA, {**NOTES, "helm.sh/resource-policy": "keep"})
    await store.replace(base, {**DATA, "00000002": "x\n"}, {"memgraph-controller/seq": "2"})
    meta = stored(server)["metadata"]
    assert "ownerReferences" not in meta
    assert meta["labels"]["memgraph-controller/release"] == "mg"
    assert meta["annotations"] == {
        "helm.sh/resource-policy": "keep",
        "memgraph-controller/seq": "2",
    }


async def test_a_base_without_version_is_a_bug(store: KubeLedgerStore) -> None:
    """A PUT without resourceVersion would overwrite; it never leaves the process."""
    base = await store.create(DATA, NOTES)
    with pytest.raises(ValueError, match="overwrites"):
        await store.replace(evolve(base, resource_version=""), DATA, NOTES)


async def test_a_missing_namespace_is_a_refusal(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """404 to a creation is lasting, not a conflict."""
    api = FakeApi(nursery, refuse=[(404, None)])
    with pytest.raises(KubeRefused) as caught:
        await KubeLedgerStore(api.client(), NAMES, TIMES).create(DATA, NOTES)
    assert caught.value.status == 404


async def test_what_did_not_leave_is_unavailable(
    nursery: trio.Nursery, autojump_clock: MockClock
) -> None:
    """A connection that was refused carried nothing: definite."""
    api = FakeApi(nursery, fault=lambda *_: Trouble.REFUSED)
    with pytest.raises(KubeUnavailable):
        await KubeLedgerStore(api.client(), NAMES, TIMES).create(DATA, NOTES)
