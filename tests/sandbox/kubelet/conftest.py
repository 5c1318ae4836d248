"""A node with its own store, directory and addresses; its children end with the test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio
from node_rooms import Node

from controller.sandbox.apiserver import Store
from controller.sandbox.kubelet import InProcess, LoopbackAddresses, run_kubelet

DEADLINE_S = 20.0


@pytest.fixture
async def node(tmp_path: Path, nursery: trio.Nursery) -> Node:
    addresses = LoopbackAddresses(f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250}")
    store = Store()

    async def wait_over() -> None:
        await trio.sleep(DEADLINE_S)
        raise TimeoutError(f"the test took more than {DEADLINE_S} s")

    async def start(task_status: trio.TaskStatus[object] = trio.TASK_STATUS_IGNORED) -> None:
        await run_kubelet(
            InProcess(store),
            tmp_path,
            address_of=addresses,
            restart_delay_s=0.05,
            setup_delay_s=0.05,
            probe_period_s=0.05,
            task_status=task_status,
        )

    nursery.start_soon(wait_over)
    return Node(store, await nursery.start(start), tmp_path, addresses)
