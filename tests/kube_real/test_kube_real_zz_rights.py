"""Read last: what the product asked of the API server in the whole run, compared with its rights.

The audit log of the real API server is the witness; nothing here trusts a list of our own.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from datetime import datetime
from typing import Any

import pytest
import trio
import trio_asyncio
from kube_real_world import Cluster, CommandFailed, Release

from controller.kube import (
    ClientConfig,
    KubeLedgerArchives,
    KubeNames,
    KubeTimes,
    open_client,
)

IDLE_S = 60.0  # watches are begun anew, after a list, every 30 to 60 s
# A second, for a whole idle release: two pods read the head and write their Lease every 1.3 s, the
# leader renews every second; the other one is told by its watch. Each watch is begun anew now and
# then, after a list.
IDLE_REQUESTS_MAX = 5.0
Right = tuple[str, str, str]  # group, resource (with subresource), verb


def is_ours(entry: dict[str, Any], release: Release) -> bool:
    """Whether a controller of the release asked."""
    account = f"system:serviceaccount:{release.namespace}:{release.name}"
    return bool(entry["user"]["username"] == account)


def received_s(entry: dict[str, Any]) -> float:
    """When the API server heard it, in seconds since 1970."""
    return datetime.fromisoformat(entry["requestReceivedTimestamp"]).timestamp()


def right_of(entry: dict[str, Any]) -> Right:
    """The right that a request needs."""
    ref = entry.get("objectRef") or {}
    resource = "/".join(w for w in (ref.get("resource"), ref.get("subresource")) if w)
    return ref.get("apiGroup", ""), resource, entry["verb"]


async def granted(release: Release) -> set[Right]:
    """What the Role says."""
    role = json.loads(await release.kubectl("get", "role", release.name, "-o", "json"))
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


async def test_an_idle_cluster_asks_little(release: Release) -> None:
    """A release that nobody uses asks no more of the API server than its periods say."""
    await trio.sleep(3)
    begin_s = time.time()
    await trio.sleep(IDLE_S)
    end_s = time.time()
    asked = [entry for entry in release.cluster.audit() if is_ours(entry, release)]
    mine = [entry for entry in asked if begin_s <= received_s(entry) < end_s]
    rate = len(mine) / (end_s - begin_s)
    counts = Counter(f"{entry['verb']} {entry['objectRef'].get('name', '')}" for entry in mine)
    print(f"idle: {rate:.2f} requests/s: {dict(counts)}")
    assert rate <= IDLE_REQUESTS_MAX, counts


async def test_an_archive_is_given_up_with_the_roles_rights(release: Release) -> None:
    """What only happens after hundreds of events is done here by the adapter alone, with a token of
    the release's account: an archive is made, cannot be edited, and is deleted."""
    token = (await release.kubectl("create", "token", release.name)).strip()
    config = json.loads(release.cluster.kubeconfig.read_text())
    config["users"][0]["user"] = {"token": token}
    path = release.cluster.root / "account.json"
    path.write_text(json.dumps(config))
    names = KubeNames(release.name, release.namespace, f"{release.name}-db", "p", "u")
    number = 999_000
    async with trio_asyncio.open_loop(), open_client(ClientConfig(str(path))) as transport:
        archives = KubeLedgerArchives(transport, names, KubeTimes())
        await archives.create(number, {"00000001": "{}\n"})
        found = await release.kubectl("get", "configmap", names.archive(number), "-o", "name")
        patch = ("--type=merge", '--patch={"data":{"00000001":"edited"}}')
        with pytest.raises(CommandFailed, match="immutable"):
            await release.kubectl("patch", found.strip(), *patch)
        await archives.delete(number)
        assert await archives.read(number) is None


async def test_the_role_is_what_is_used(release: Release) -> None:
    """Nothing was asked for that the Role does not grant, and nothing is granted that was not used
    in the whole run; nothing was asked outside of the namespace."""
    mine = [entry for entry in release.cluster.audit() if is_ours(entry, release)]
    used = {right_of(entry) for entry in mine}
    allowed = await granted(release)
    assert used <= allowed, f"asked for, not granted: {sorted(used - allowed)}"
    assert allowed <= used, f"granted, never used: {sorted(allowed - used)}"
    assert {(e.get("objectRef") or {}).get("namespace") for e in mine} == {release.namespace}


def test_tokens_are_bound_to_their_pods_and_read_again(
    cluster: Cluster, installed: Release
) -> None:
    """Each request carries a token that names its pod; a controller uses the next one once the
    kubelet has replaced it."""
    tokens: dict[str, set[str]] = {}
    for entry in cluster.audit():
        if is_ours(entry, installed):
            extra = entry["user"]["extra"]
            (pod,) = extra.get("authentication.kubernetes.io/pod-uid", [""])
            tokens.setdefault(pod, set()).update(
                extra["authentication.kubernetes.io/credential-id"]
            )
    tokens.pop("", None)  # the one that a test here has asked for itself
    assert len(tokens) >= 2
    assert max(len(seen) for seen in tokens.values()) >= 2, "no controller has read its token again"
