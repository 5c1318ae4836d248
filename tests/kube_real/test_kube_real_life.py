"""The life of a release: uninstalled, installed again, beside another."""

from __future__ import annotations

import signal
from functools import partial
from pathlib import Path

import trio
from kube_real_world import Cluster, Release, eventually
from neo4j import GraphDatabase


async def write(release: Release, text: str) -> None:
    """One node, through the write Service."""
    address = await release.service(f"{release.name}-gateway")

    def use() -> None:
        with GraphDatabase.driver(f"bolt://{address}") as driver, driver.session() as session:
            session.run("CREATE (:Kept {text: $text})", text=text).consume()

    await trio.to_thread.run_sync(use)


async def read(release: Release) -> list[str]:
    """What was written, from the main."""
    address = await release.service(f"{release.name}-gateway")

    def use() -> list[str]:
        with GraphDatabase.driver(f"bolt://{address}") as driver, driver.session() as session:
            found = session.run("MATCH (k:Kept) RETURN k.text AS text ORDER BY text")
            return [record["text"] for record in found]

    return await trio.to_thread.run_sync(use)


async def test_uninstall_and_install_again(cluster: Cluster, namespace: str) -> None:
    """Data, ledger and volumes outlive `helm uninstall`; a release of the same name adopts them:
    the same data, the history goes on, the term does not go back."""
    release = Release(cluster, namespace, "again")
    await trio.to_thread.run_sync(release.install)
    await release.wait_whole()
    await write(release, "before")
    entries, noted = await release.entries(), await release.noted()
    await trio.to_thread.run_sync(partial(release.helm, "uninstall", "--wait"))
    assert (await release.entries())[: len(entries)] == entries
    claims = await release.kubectl("get", "pvc", "-o", "name")
    assert len(claims.split()) == 3
    await eventually(partial(_are_gone, release))
    await trio.to_thread.run_sync(release.install)
    await release.wait_whole()
    assert await read(release) == ["before"]
    assert (await release.entries())[: len(entries)] == entries
    assert int((await release.noted())["term"]) > int(noted["term"])
    await trio.to_thread.run_sync(partial(release.helm, "uninstall", "--wait"))


async def _are_gone(release: Release) -> bool:
    return not (await release.pods("database") or await release.pods("controller"))


async def _may_write_logs(release: Release) -> None:
    """By the mount that the main process sees, and the rights of its group there."""
    for instance in await release.instances():
        process = Path(f"/proc/{await release.pid(instance)}")
        assert " /var/log/memgraph rw" in (process / "mountinfo").read_text()
        place = process / "root/var/log/memgraph"
        assert place.stat().st_gid == 103
        assert place.stat().st_mode & 0o070 == 0o070


async def test_two_releases_in_one_namespace(cluster: Cluster, namespace: str) -> None:
    """Each has its own main, ledger and data; the end of the one's main is nothing to the other.
    The instances of one have a volume for logs, too, in which they may write."""
    one, two = Release(cluster, namespace, "one"), Release(cluster, namespace, "two")
    await trio.to_thread.run_sync(one.install)
    await trio.to_thread.run_sync(two.install, "memgraph.logs.size=64Mi")
    for release in (one, two):
        await release.wait_whole()
        await write(release, release.name)
    assert [await read(one), await read(two)] == [["one"], ["two"]]
    claims = (await two.kubectl("get", "pvc", "-o", "name")).split()
    logs = sorted(name.partition("/")[2] for name in claims if "/logs-" in name)
    assert logs == [f"logs-{instance}" for instance in await two.instances()]
    await _may_write_logs(two)
    seq, calm = await one.seq(), await two.seq()
    await one.signal((await one.noted())["main"], signal.SIGKILL)
    await one.wait_event("main_promoted", seq)
    await one.wait_whole()
    assert [await read(one), await read(two)] == [["one"], ["two"]]
    after = [entry["on"] for entry in await two.entries() if entry["seq"] > calm]
    assert not set(after) - {"readers_changed"}, after
    for release in (one, two):
        await trio.to_thread.run_sync(partial(release.helm, "uninstall", "--wait"))
