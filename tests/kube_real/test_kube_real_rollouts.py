"""Planned work: rolling restarts, drains, scaling, other versions, and a person's requests."""

from __future__ import annotations

import json
import sys

import pytest
import trio
from kube_real_world import CommandFailed, Release, is_ready, uids


async def roll(release: Release, workload: str) -> None:
    """`kubectl rollout restart` and its end."""
    await release.kubectl("rollout", "restart", workload)
    await release.kubectl("rollout", "status", workload, "--timeout=300s")


async def test_rolling_restart_of_memgraph(release: Release) -> None:
    """`kubectl rollout restart` of the StatefulSet under load: every pod is new, no write is
    lost, and each pod's hook let it go only when that was safe."""
    before = uids(await release.pods("database"))
    async with release.load():
        await roll(release, "statefulset/mg-db")
    assert not before & uids(await release.pods("database"))


async def test_rolling_restart_of_the_controllers(release: Release) -> None:
    """`kubectl rollout restart` of the Deployment under load: every pod is another one, the main is
    the same, no write is lost."""
    before, noted = uids(await release.pods("controller")), await release.noted()
    async with release.load():
        await roll(release, "deployment/mg")
    assert not before & uids(await release.pods("controller"))
    assert (await release.noted())["main"] == noted["main"]


async def evict(release: Release, pod: str) -> None:
    """As `kubectl drain` does it, once. Raises CommandFailed: not now, says the budget."""
    path = f"/api/v1/namespaces/{release.namespace}/pods/{pod}/eviction"
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": release.namespace},
    }
    await release.cluster.do("kubectl", "create", "--raw", path, "-f", "-", stdin=json.dumps(body))


async def test_budgets_let_one_go_at_a_time(release: Release) -> None:
    """An instance may be evicted; a second one only when the first is back. Of two controllers one
    may go."""
    noted = await release.noted()
    others = [name for name in await release.instances() if name != noted["main"]]
    async with release.load():
        await evict(release, noted["main"])
        with pytest.raises(CommandFailed, match="violate the pod's disruption budget"):
            await evict(release, others[0])
        await release.wait_whole()
        first, second = sorted(await release.pods("controller"))
        await evict(release, first)
        with pytest.raises(CommandFailed, match="violate the pod's disruption budget"):
            await evict(release, second)


async def test_drain_of_the_node_of_the_main(release: Release) -> None:
    """`kubectl drain` of the node that the main is on ends, and loses nothing."""
    main = (await release.noted())["main"]
    node = (await release.pods("database"))[main]["spec"]["nodeName"]
    try:
        async with release.load():
            words = ("--ignore-daemonsets", "--delete-emptydir-data", "--timeout=300s")
            selector = "--pod-selector=app.kubernetes.io/instance=mg"
            await release.kubectl("drain", node, *words, selector)
            await release.wait_whole()
            pods = {**await release.pods("database"), **await release.pods("controller")}
            assert node not in {pod["spec"]["nodeName"] for pod in pods.values()}
    finally:
        await release.kubectl("uncordon", node)


async def test_scale_up_and_down(release: Release) -> None:
    """3 -> 5 -> 3 instances under load: the new ones are filled and read from, the removed ones are
    forgotten, no write is lost."""
    async with release.load() as load:
        await release.kubectl("scale", "statefulset/mg-db", "--replicas=5")
        await release.wait_whole()
        last = (await release.entries())[-1]
        assert {"mg-db-3", "mg-db-4"} <= set(last["readers"])
        await load.wait_writes(20)
        await release.kubectl("scale", "statefulset/mg-db", "--replicas=3")
        with trio.fail_after(150):
            while len(await release.pods("database")) > 3:
                await trio.sleep(0.2)
            while {"mg-db-3", "mg-db-4"} & set((await release.entries())[-1]["readers"]):
                await trio.sleep(0.2)


async def test_another_version_of_memgraph(release: Release) -> None:
    """`helm upgrade` with another image tag replaces every instance under load; nothing is lost."""
    async with release.load():
        await release.upgrade("memgraph.image.tag=3.7.0")
        await release.wait_whole()
    for pod in (await release.pods("database")).values():
        assert pod["spec"]["containers"][0]["image"].endswith(":3.7.0")


async def ask(release: Release, *words: str) -> str:
    """The command line, as a person uses it."""
    base = (sys.executable, "-m", "controller.cli", *words, "--namespace", release.namespace)
    kubeconfig = str(release.cluster.kubeconfig)
    return await release.cluster.do(*base, "--release", release.name, "--kubeconfig", kubeconfig)


async def test_a_switchover_on_request(release: Release) -> None:
    """`memgraph-controller switchover` hands the main over under load and says so."""
    main, seq = (await release.noted())["main"], await release.seq()
    async with release.load():
        await ask(release, "switchover", "--reason=rehearsal")
        promoted = await release.wait_event("main_promoted", seq)
        assert promoted["main"] != main


async def test_an_instance_is_rebuilt_on_request(release: Release) -> None:
    """`memgraph-controller reinit` of an asynchronous instance: its data are set aside by the init
    container of a new pod, and it is filled anew."""
    noted = await release.noted()
    (third,) = [
        name
        for name in await release.instances()
        if name not in (noted["main"], *noted["sync"].split(","))
    ]
    before = (await release.pods("database"))[third]["metadata"]["uid"]
    async with release.load():
        await ask(release, "reinit", third, "--reason=rehearsal")
        with trio.fail_after(150):
            while True:
                pod = (await release.pods("database")).get(third)
                if pod and pod["metadata"]["uid"] != before and is_ready(pod):
                    break
                await trio.sleep(0.2)
