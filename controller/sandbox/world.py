"""Puts the stand-ins together: one sandbox, from its first address to its last process.

Promise: inside `open_sandbox` a whole cluster runs; after it no process, no file and no address of
it is left, whatever ended it.
"""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import trio
from attrs import frozen

from controller.sandbox import objects
from controller.sandbox.apiserver import STATEFULSETS, Faults, Store, serve
from controller.sandbox.block import API_PORT, Block, take_block
from controller.sandbox.kubelet import (
    InProcess,
    LoopbackAddresses,
    run_kubelet,
    run_statefulset_controller,
)
from controller.sandbox.links import Links, StandInLinks
from controller.sandbox.pod_network import open_pod_network
from controller.sandbox.running import NoSuchTarget, Sandbox, SandboxOptions
from controller.sandbox.watchdog import MARK

NODE = "node"  # directory of the kubelet's own

__all__ = ["NoSuchTarget", "Sandbox", "SandboxOptions", "open_sandbox"]


@asynccontextmanager
async def open_sandbox(options: SandboxOptions) -> AsyncIterator[Sandbox]:
    """A running sandbox; it may not be OPERATIONAL yet.

    Raises NoBlockFree, FileExistsError (the name is taken), OSError.
    """
    async with AsyncExitStack() as stack:
        block = stack.enter_context(take_block(options.name))
        mark = f"{block.network}/{os.getpid()}"
        stack.enter_context(_watchdog(mark, block))
        place = await stack.enter_async_context(_place(options, block))
        async with trio.open_nursery() as nursery:
            sandbox = await _start(options, block, place, mark, nursery)
            yield sandbox
            nursery.cancel_scope.cancel()


@frozen
class _Place:
    """Where the instances run and how they are started there."""

    address_of: Callable[[str], str]
    links: Links
    command: list[str]


@asynccontextmanager
async def _place(options: SandboxOptions, block: Block) -> AsyncIterator[_Place]:
    """Loopback addresses and stand-ins, or networks of their own and a real database. Raises
    NoPodNetwork."""
    guard = block.directory / "boot-guard.cypherl"
    guard.write_text(objects.BOOT_GUARD)
    addresses = LoopbackAddresses(block.network)
    if not options.memgraph:
        volumes = block.directory / NODE / "volumes" / objects.NAMESPACE
        links = StandInLinks(volumes, addresses)
        yield _Place(addresses, links, objects.stand_in_command(guard))
        return
    instances = [objects.instance_name(n) for n in range(options.instances)]
    directory = block.directory / "networks"
    async with open_pod_network(block.number, directory, instances) as network:

        def address_of(pod: str) -> str:
            return network(pod) if pod in instances else addresses(pod)

        enter = network.enter("$(SANDBOX_POD_NAME)")
        yield _Place(address_of, network, objects.real_command(options.memgraph, guard, enter))


async def _start(
    options: SandboxOptions, block: Block, place: _Place, mark: str, nursery: trio.Nursery
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
    api, addresses = InProcess(store), place.address_of
    env = {**os.environ, MARK: mark}
    node = block.directory / NODE
    kubelet = await nursery.start(partial(run_kubelet, api, node, address_of=addresses, env=env))
    await nursery.start(partial(run_statefulset_controller, api))
    sandbox = Sandbox(options, block, store, faults, kubelet, addresses, place.links)
    for name in (*sandbox.instances, *sandbox.controllers):
        addresses(name)  # in this order, so that addresses do not depend on who starts first
    hook = objects.prestop_env([f"{addresses(c)}:{objects.HTTP_PORT}" for c in sandbox.controllers])
    wanted = objects.statefulset(options.instances, url, place.command, hook)
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
