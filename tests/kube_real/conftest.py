"""Tests on a real control plane: `./scripts/kube-test` runs them, beside a cluster and a node.

A run without one does not collect them: they need a network of their own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import trio
from kube_real_world import NAMESPACE, Cluster, Release

collect_ignore_glob = [] if "KUBE_ROOT" in os.environ else ["test_*.py"]

DEADLINE_S = 570.0  # below the 600 of kube-test; a machine with much else to do takes its time


@pytest.fixture
async def limit(nursery: trio.Nursery) -> None:
    """Nothing hangs."""

    async def wait_over() -> None:
        await trio.sleep(DEADLINE_S)
        raise TimeoutError(f"the test took more than {DEADLINE_S} s")

    nursery.start_soon(wait_over)


@pytest.fixture(scope="session")
def cluster() -> Cluster:
    """The control plane and the node of this run."""
    return Cluster.of_environment()


@pytest.fixture(scope="session")
def installed(cluster: Cluster) -> Iterator[Release]:
    """A release that several tests use, one after the other, in a namespace that is restricted."""
    cluster.make_namespace(NAMESPACE)
    release = Release(cluster, NAMESPACE, "mg")
    release.install()
    yield release
    release.keep_logs()


@pytest.fixture
async def release(installed: Release, limit: None) -> Release:
    """The shared release, whole."""
    await installed.wait_whole()
    return installed


@pytest.fixture
async def namespace(cluster: Cluster, limit: None, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, restricted as well."""
    name = str(request.node.name).removeprefix("test_").replace("_", "-")[:40].strip("-")
    await trio.to_thread.run_sync(cluster.make_namespace, name)
    return name
