"""Puts the stand-ins together: one sandbox, from its first address to its last process.

Promise: inside `open_sandbox` a whole cluster runs; after it no process, no file and no address of
it is left, whatever ended it.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from controller.sandbox import objects
from controller.sandbox.apiserver import STATEFULSETS, Faults, Store, serve
from controller.sandbox.block import Block, take_block
from controller.sandbox.kubelet import (
    InProcess,
    LoopbackAddresses,
    run_kubelet,
    run_statefulset_controller,
)
from controller.sandbox.running import API_PORT, NoSuchTarget, Sandbox, SandboxOptions
from controller.sandbox.watchdog import MARK

__all__ = ["NoSuchTarget", "Sandbox", "SandboxOptions", "open_sandbox"]


@asynccontextmanager
async def open_sandbox(options: SandboxOptions) -> AsyncIterator[Sandbox]:
    """A running sandbox; it may not be OPERATIONAL yet.

    Raises NoBlockFree, FileExistsError (the name is taken), OSError.
    """
    with take_block(options.name) as block:
        mark = f"{block.network}/{os.getpid()}"
        with _watchdog(mark, block):
            async with trio.open_nursery() as nursery:
                sandbox = await _start(options, block, mark, nursery)
                yield sandbox
                nursery.cancel_scope.cancel()


async def _start(
    options: SandboxOptions, block: Block, mark: str, nursery: trio.Nursery
) -> Sandbox:
    store, faults = Store(), Faults()
    tokens = {f"{block.name}-{n}": objects.controller_name(n) for n in range(options.controllers)}
    host = block.api_address
    url = await nursery.start(
        partial(serve, store, host, API_PORT, faults=faults, tokens=tokens, anonymous_user="you")
    )
    _write_json(block.directory / "kubeconfig", objects.kubeconfig_of(url))
    for token, name in tokens.items():
        number = name.rsplit("-", 1)[1]
        _write_json(block.directory / f"kubeconfig-{number}", objects.kubeconfig_of(url, token))
    guard = block.directory / "boot-guard.cypherl"
    guard.write_text(objects.BOOT_GUARD)
    api, addresses = InProcess(store), LoopbackAddresses(block.network)
    env = {**os.environ, MARK: mark}
    node = block.directory / "node"
    kubelet = await nursery.start(partial(run_kubelet, api, node, address_of=addresses, env=env))
    await nursery.start(partial(run_statefulset_controller, api))
    sandbox = Sandbox(options, block, store, faults, kubelet, addresses)
    for name in (*sandbox.instances, *sandbox.controllers):
        addresses(name)  # in this order, so that addresses do not depend on who starts first
    hook = objects.prestop_env([f"{addresses(c)}:{objects.HTTP_PORT}" for c in sandbox.controllers])
    wanted = objects.statefulset(options.instances, url, guard, hook)
    await api.create(STATEFULSETS, objects.NAMESPACE, wanted)
    if not options.waits:
        await sandbox.start_controllers()
    _write_json(block.directory / "sandbox.json", sandbox.card())
    return sandbox


def _write_json(path: Path, document: Mapping[str, object]) -> None:
    path.touch(mode=0o600)
    path.write_text(json.dumps(document, indent=2))


class _watchdog:  # noqa: N801 - reads as what it is at its only use
    """A process that ends everything marked if this one is killed."""

    def __init__(self, mark: str, block: Block) -> None:
        files = map(str, (block.directory, *block.locks))
        words = [sys.executable, "-m", "controller.sandbox.watchdog", mark, *files]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, start_new_session=True)

    def __enter__(self) -> None:
        return

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"done")
        self._process.stdin.close()
        self._process.wait()
