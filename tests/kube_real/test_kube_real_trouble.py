"""The Kubernetes API in trouble, and people who touch what they should not: 0 lost in all of it."""

from __future__ import annotations

import json
import signal
import time
from functools import partial

import pytest
import trio
from kube_real_world import Release

FENCED_S = 4.0 + 5.0  # GATEWAY_SELF_FENCE, and what a busy machine takes to tell the clients


async def plane(release: Release, verb: str) -> None:
    """./scripts/kube/cluster, while everything else goes on."""
    await trio.to_thread.run_sync(partial(release.cluster.plane, verb))


async def test_the_api_server_restarts(release: Release) -> None:
    """A restarted API server under load: the same main, no lost write, and failover works after."""
    noted = await release.noted()
    async with release.load() as load:
        await plane(release, "restart-apiserver")
        await load.wait_writes(20)
        await release.wait_whole()
        assert (await release.noted())["main"] == noted["main"]
        seq = await release.seq()
        await release.signal(noted["main"], signal.SIGKILL)
        await release.wait_event("main_promoted", seq)


async def test_history_is_compacted_away(release: Release) -> None:
    """etcd forgets its history and the API server its cache, so that watches are told 410: the
    controllers list again, and what happened meanwhile is not missed."""
    async with release.load() as load:
        await plane(release, "compact")
        await plane(release, "restart-apiserver")
        await release.wait_whole()
        seq, main = await release.seq(), (await release.noted())["main"]
        await release.kubectl("delete", "pod", main, "--force", "--grace-period=0")
        await release.wait_event("main_promoted", seq)
        await load.wait_writes(20)


@pytest.mark.parametrize("seconds", [10, 60])
async def test_the_api_server_is_away(release: Release, seconds: int) -> None:
    """While nobody can write the ledger nobody fails over, and writes close by themselves, for the
    head cannot be confirmed (S6); reads go on. Afterwards the main is the same, everything is whole
    again, and what was acknowledged is there."""
    noted = await release.noted()
    async with release.load() as load:
        await plane(release, "stop-apiserver")
        begin = time.time()
        try:
            await trio.sleep(seconds)
            end = time.time()
        finally:
            await plane(release, "start-apiserver")
        late = [at for at in load.book.acked.values() if begin + FENCED_S < at < end]
        assert not late, f"{len(late)} writes were acknowledged by a gateway that knew no head"
        if seconds > 2 * FENCED_S:
            assert any(begin + FENCED_S < at < end for at in load.book.reads_at)
        await release.wait_whole()
        assert (await release.noted())["main"] == noted["main"]


async def test_leases_are_deleted(release: Release) -> None:
    """A person deletes every Lease under load: a deleted one counts as unacknowledged, not as gone;
    they are made again, and failover works."""
    async with release.load() as load:
        await release.kubectl("delete", "lease", "--all")
        await load.wait_writes(20)
        await release.wait_whole()
        assert await release.leader()
        seq, main = await release.seq(), (await release.noted())["main"]
        await release.signal(main, signal.SIGKILL)
        await release.wait_event("main_promoted", seq)
        await load.wait_writes(20)


async def test_rights_are_taken_away_and_given_back(release: Release) -> None:
    """Without its RoleBinding the product can decide nothing and loses nothing; given back, it goes
    on by itself."""
    text = await release.kubectl("get", "rolebinding", "mg", "-o", "json")
    binding = json.loads(text)
    kept = {key: binding["metadata"][key] for key in ("name", "labels", "annotations")}
    again = json.dumps({**binding, "metadata": kept})
    async with release.load():
        await release.kubectl("delete", "rolebinding", "mg")
        try:
            await trio.sleep(12)
        finally:
            await release.kubectl("apply", "-f", "-", stdin=again)
        await release.wait_whole()


async def edit(release: Release, lines: dict[str, str | None]) -> None:
    """`kubectl patch` of the ledger's data."""
    patch = json.dumps({"data": lines})
    await release.kubectl("patch", "configmap", "mg-ledger", "--type=merge", f"--patch={patch}")


async def test_the_ledger_is_edited(release: Release) -> None:
    """Entries that a person changed, removed or added are not believed: the leader restores the
    verified history, the main stays, and no write is lost."""
    async with release.load() as load:
        lines, noted = await release.ledger(), await release.noted()
        last = max(key for key in lines if key.isdecimal())
        wrong = json.loads(lines[last])
        wrong["main"] = next(i for i in await release.instances() if i != noted["main"])
        await edit(release, {last: json.dumps(wrong) + "\n"})
        await load.wait_writes(20)
        await release.wait_whole()
        assert (await release.ledger())[last] == lines[last]
        await edit(release, {last: None})
        await load.wait_writes(20)
        await release.wait_whole()
        assert (await release.ledger()).get(last) == lines[last]
        assert (await release.noted())["main"] == noted["main"]


async def test_the_ledger_is_deleted(release: Release) -> None:
    """`kubectl delete configmap` of the ledger is undone by the leader from its verified copy."""
    async with release.load() as load:
        lines, noted = await release.ledger(), await release.noted()
        await release.kubectl("delete", "configmap", "mg-ledger")
        with trio.fail_after(60):
            while not await release.ledger():
                await trio.sleep(0.1)
        await load.wait_writes(20)
        await release.wait_whole()
        assert lines.items() <= (await release.ledger()).items()
        assert (await release.noted())["main"] == noted["main"]
