"""Archives of the ledger on real sockets: stored once, never edited, nobody else's touched."""

import pytest
from kube_rooms import MAPS, NAMES, TIMES, Server

from controller.errors import KubeForbidden, KubeRefused, LedgerConflict, LedgerOutcomeUnknown
from controller.kube import KubeLedgerArchives, Transport
from controller.sandbox.apiserver import Rule

DATA = {"00000385": '{"seq":385}\n', "00000512": '{"seq":512}\n', "snapshot": "{}\n"}


@pytest.fixture
def archives(transport: Transport) -> KubeLedgerArchives:
    return KubeLedgerArchives(transport, NAMES, TIMES)


async def test_what_was_stored_is_read_back(archives: KubeLedgerArchives) -> None:
    """None before, then exactly those bytes, with the time at which the server stored them."""
    assert await archives.read(4) is None
    await archives.create(4, DATA)
    found = await archives.read(4)
    assert found is not None
    assert found.data == DATA
    assert found.created_s > 1_700_000_000


async def test_it_is_an_immutable_object_of_this_release(
    archives: KubeLedgerArchives, transport: Transport, server: Server
) -> None:
    """Named by release and number, labelled, without an owner that could take it along; the server
    refuses every edit of it."""
    await archives.create(4, DATA)
    path = f"{MAPS}/mg-ledger-000004"
    stored = await transport.request("GET", path)
    meta = stored["metadata"]
    assert stored["immutable"] is True
    assert "ownerReferences" not in meta
    assert meta["labels"] == NAMES.labels("ledger-archive")
    assert meta["annotations"] == {"memgraph-controller/entries": "385-512"}
    stored["data"]["00000385"] = "another history"
    with pytest.raises(KubeRefused, match="immutable"):
        await transport.request("PUT", path, body=stored)


async def test_a_number_is_taken_once(archives: KubeLedgerArchives) -> None:
    """Whoever comes second hears of it, and nothing was written."""
    await archives.create(4, DATA)
    with pytest.raises(LedgerConflict):
        await archives.create(4, {"00000001": "x"})
    found = await archives.read(4)
    assert found is not None
    assert found.data == DATA


async def test_a_lost_answer_is_unknown(archives: KubeLedgerArchives, server: Server) -> None:
    """It may be there: the next attempt meets it, and reads the same."""
    server.faults.add(Rule("lose_reply", verb="create"))
    with pytest.raises(LedgerOutcomeUnknown):
        await archives.create(4, DATA)
    with pytest.raises(LedgerConflict):
        await archives.create(4, DATA)
    found = await archives.read(4)
    assert found is not None
    assert found.data == DATA


async def test_deleting_twice_is_deleting(archives: KubeLedgerArchives, server: Server) -> None:
    """One that is gone is what was wanted; a lost answer is neither."""
    await archives.create(4, DATA)
    await archives.create(5, DATA)
    await archives.delete(4)
    await archives.delete(4)
    assert await archives.read(4) is None
    server.faults.add(Rule("lose_reply", verb="delete"))
    with pytest.raises(LedgerOutcomeUnknown):
        await archives.delete(5)


async def test_no_right_is_told_as_such(archives: KubeLedgerArchives, server: Server) -> None:
    """A Role without the verb: an error that says which."""
    server.faults.add(Rule("fail", verb="delete", status=403))
    with pytest.raises(KubeForbidden, match="delete configmaps/mg-ledger-000004"):
        await archives.delete(4)


async def test_a_segment_of_the_longest_lines_fits(archives: KubeLedgerArchives) -> None:
    """The largest archive that a cut can make is below what the API server accepts."""
    from statemachine.archive import LIMITS
    from statemachine.codec import LINE_BYTES_MAX
    from statemachine.snapshot import SNAPSHOT_BYTES_MAX

    count = LIMITS.segment_bytes // LINE_BYTES_MAX + 1
    data = {f"{n:08d}": "x" * LINE_BYTES_MAX for n in range(1, count + 1)}
    await archives.create(1, {**data, "snapshot": "y" * SNAPSHOT_BYTES_MAX})
