"""The first ten minutes of a user: install, look, write, read, kill."""

from __future__ import annotations

import json
import signal

import trio
from kube_real_world import Cluster, Release, is_ready
from neo4j import GraphDatabase

GOAL_S = 30.0  # from `helm install` to OPERATIONAL, on a machine that does nothing else


async def test_install_is_operational_soon(cluster: Cluster, namespace: str) -> None:
    """`helm install --wait` ends, and within 30 s of its begin the cluster is OPERATIONAL."""
    release = Release(cluster, namespace, "first")
    begin_s = trio.current_time()
    waited_s = await trio.to_thread.run_sync(release.install)
    while (await release.noted()).get("phase") != "OPERATIONAL":
        await trio.sleep(0.1)
    took_s = trio.current_time() - begin_s
    print(f"helm install --wait {waited_s:.1f} s, OPERATIONAL after {took_s:.1f} s")
    await release.wait_whole()
    told = await trio.to_thread.run_sync(release.helm, "test")
    assert "Succeeded" in told
    await trio.to_thread.run_sync(release.helm, "uninstall", "--wait")


async def test_clients_use_the_services_endpoints(release: Release) -> None:
    """A write goes in at every address of the write Service and is read at every one of the read
    Service; both have the addresses of the controller pods."""
    controllers = await release.pods("controller")
    addresses = sorted(pod["status"]["podIP"] for pod in controllers.values())
    writes = await release.endpoints("mg-gateway")
    reads = await release.endpoints("mg-gateway-read")
    assert writes == [f"{a}:7687" for a in addresses]
    assert reads == [f"{a}:7688" for a in addresses]

    def use() -> None:
        for number, address in enumerate(writes):
            with GraphDatabase.driver(f"bolt://{address}") as driver, driver.session() as session:
                session.run("MERGE (:Seen {n: $n})", n=number).consume()
        for address in reads:
            with GraphDatabase.driver(f"bolt://{address}") as driver, driver.session() as session:
                found = session.run("MATCH (s:Seen) RETURN count(s) AS c").single(strict=True)
                counts.append(found["c"])

    with trio.fail_after(60):
        while True:
            counts: list[int] = []
            await trio.to_thread.run_sync(use)
            if counts == [len(writes)] * len(reads):
                return
            await trio.sleep(0.1)  # an asynchronous replica is a moment behind


async def test_kubectl_shows_the_ledger(release: Release) -> None:
    """One readable line per event, and the state in columns."""
    text = await release.kubectl("get", "configmap", "mg-ledger", "-o", "yaml")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith('{"seq"')]
    entries = await release.entries()
    assert [json.loads(line)["seq"] for line in lines] == [entry["seq"] for entry in entries]
    names = ("phase", "main", "sync", "term")
    wanted = ",".join(
        f"{name.upper()}:.metadata.annotations.memgraph-controller/{name}" for name in names
    )
    shown = await release.kubectl("get", "configmap", "mg-ledger", "-o", f"custom-columns={wanted}")
    noted = await release.noted()
    assert shown.splitlines()[1].split() == [noted[name] for name in names]


async def test_main_killed(release: Release) -> None:
    """SIGKILL of the main: another instance is main, nothing acknowledged is lost."""
    async with release.load() as load:
        main, seq = (await release.noted())["main"], await release.seq()
        await release.signal(main, signal.SIGKILL)
        promoted = await release.wait_event("main_promoted", seq)
        await load.wait_writes(20)
        assert promoted["main"]


async def test_main_hangs(release: Release) -> None:
    """A main that stands still for 15 s is replaced meanwhile; nothing acknowledged is lost."""
    async with release.load() as load:
        main, seq = (await release.noted())["main"], await release.seq()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(release.hang, main, 15)
            promoted = await release.wait_event("main_promoted", seq)
            assert promoted["main"] != main
            await load.wait_writes(20)


async def test_main_force_deleted(release: Release) -> None:
    """`kubectl delete --force` of the main: a new pod with a new address, nothing lost."""
    async with release.load() as load:
        main, seq = (await release.noted())["main"], await release.seq()
        before = (await release.pods("database"))[main]["status"]["podIP"]
        await release.kubectl("delete", "pod", main, "--force", "--grace-period=0")
        await release.wait_event("main_promoted", seq)
        await load.wait_writes(20)
        await release.wait_whole()
        pod = (await release.pods("database"))[main]
        assert is_ready(pod)
        assert pod["status"]["podIP"] != before
