"""From version to version: two of them serve side by side, and one cannot read what the other may
write: a ledger whose older entries were moved into archives."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import trio
from attrs import define, field
from kube_real_world import CHART, Cluster, Release, eventually, is_ready

from controller.kube import KubeNames
from controller.requests import ENTRIES_MAX, line_of
from controller.sandbox.apiserver import ApiError
from statemachine.archive import LIMITS
from statemachine.observations import Request

TAG = "previous"
REFUSES_S = 15.0  # for so long it is watched what a version does that cannot read the ledger


async def lengthen(release: Release, entries: int) -> None:
    """At least so many entries more: answers to requests that make no sense."""
    name, until_s = f"{release.name}-requests", time.time() + 600
    for begin in range(0, entries, ENTRIES_MAX):
        made = [
            Request(f"r-{n}", "switchover", instance="nobody", author="t", expires_s=until_s)
            for n in range(begin, begin + ENTRIES_MAX)
        ]
        patch = json.dumps({"data": {request.id: line_of(request) for request in made}})
        await release.kubectl("patch", "configmap", name, "--type=merge", "-p", patch)
        await eventually(partial(_are_answered, release, name))


async def _are_answered(release: Release, name: str) -> bool:
    found = json.loads(await release.kubectl("get", "configmap", name, "-o", "json"))
    return not found.get("data")


async def history(release: Release) -> list[dict[str, Any]]:
    """Every entry, in archives or in the live part."""
    listed = json.loads(await release.kubectl("get", "configmaps", "-o", "json"))
    ledger = KubeNames(release.name, release.namespace, "", "", "").ledger
    parts = [m for m in listed["items"] if m["metadata"]["name"].startswith(ledger)]
    lines = {key: line for part in parts for key, line in part["data"].items() if key.isdecimal()}
    return [json.loads(lines[key]) for key in sorted(lines)]


def is_older(pod: dict[str, Any]) -> bool:
    """Whether it runs the version before this one."""
    return str(pod["spec"]["containers"][0]["image"]).endswith(f":{TAG}")


@define(eq=False)
class Watcher:
    """Looks again and again at who runs, and at whether the ledger was cut."""

    release: Release
    looks: int = 0
    cut_beside_older: list[str] = field(factory=list)

    async def run(self) -> None:
        while True:
            try:
                is_cut = any(
                    entry["on"] == "ledger_archived" for entry in await self.release.entries()
                )
                older = [
                    n for n, pod in (await self.release.pods("controller")).items() if is_older(pod)
                ]
            except ApiError:
                is_cut, older = False, []
            self.looks += bool(older)
            if is_cut:
                self.cut_beside_older += older
            await trio.sleep(0.2)


async def test_upgrade_from_the_previous_version(cluster: Cluster, namespace: str) -> None:
    """`helm upgrade` from the previous chart and controllers, with a ledger that is due to be cut
    and under load: both versions read and write one ledger, it is cut when the last pod is gone
    that could not read it, its history goes on, and nothing is lost.

    And back again: the previous version cannot read the cut ledger; it writes nothing, never
    becomes ready, and so the rollout stops before it takes away a pod that serves."""
    older = cluster.root / "previous/manifests/chart/memgraph-controller"
    release = Release(cluster, namespace, "old", older)
    await trio.to_thread.run_sync(release.install, f"controller.image.tag={TAG}")
    await release.wait_whole()
    await lengthen(release, LIMITS.live_entries)
    before = await history(release)
    watcher = Watcher(release)
    async with release.load() as load, trio.open_nursery() as nursery:
        nursery.start_soon(watcher.run)
        await release.upgrade("controller.image.tag=", chart=CHART)
        await load.wait_writes(20)
        await release.wait_event("ledger_archived", before[-1]["seq"])
        nursery.cancel_scope.cancel()
    assert watcher.looks, "nobody saw the two versions side by side"
    assert not watcher.cut_beside_older
    assert (await history(release))[: len(before)] == before
    async with release.load() as load:
        await _go_back(release, older)
        await load.wait_writes(20)
        await release.upgrade("controller.image.tag=", chart=CHART)
    assert (await history(release))[: len(before)] == before
    await trio.to_thread.run_sync(partial(release.helm, "uninstall", "--wait"))


async def _go_back(release: Release, chart: Path) -> None:
    """`helm upgrade` to the previous version, until it has refused for a while."""
    words = (str(chart), "--reset-then-reuse-values", "--set", f"controller.image.tag={TAG}")
    await trio.to_thread.run_sync(partial(release.helm, "upgrade", *words))
    await eventually(partial(_runs_older, release))
    entries = await history(release)
    await trio.sleep(REFUSES_S)
    pods = await release.pods("controller")
    for pod in filter(is_older, pods.values()):
        assert not is_ready(pod)
        said = await trio.to_thread.run_sync(_why_not_ready, pod["status"]["podIP"])
        assert "the ledger is not verified: the stored ledger is not ours" in said
    assert sum(is_ready(pod) for pod in pods.values()) == 2
    assert (await history(release))[: len(entries)] == entries
    by = {entry["by"] for entry in (await history(release))[len(entries) :]}
    assert not by & {name for name, pod in pods.items() if is_older(pod)}


def _why_not_ready(address: str) -> str:
    try:
        with urllib.request.urlopen(f"http://{address}:8080/readyz", timeout=5) as answer:
            return f"ready: {answer.read().decode()}"
    except urllib.error.HTTPError as error:
        return error.read().decode()


async def _runs_older(release: Release) -> bool:
    for name, pod in (await release.pods("controller")).items():
        if is_older(pod):
            try:
                await release.pid(name)
            except (AssertionError, KeyError, IndexError):
                return False
            return True
    return False
