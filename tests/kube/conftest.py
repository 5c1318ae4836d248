"""A client on real sockets against the stand-in, for the contract tests of this room."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio
from kube_rooms import TOKENS, Server, client_of

from controller.kube import Transport
from controller.sandbox.apiserver import Faults, Store, serve

DEADLINE_S = 30.0


@pytest.fixture
async def limit(nursery: trio.Nursery) -> None:
    """Nothing that uses a socket may hang."""

    async def wait_over() -> None:
        await trio.sleep(DEADLINE_S)
        raise TimeoutError(f"the test took more than {DEADLINE_S} s")

    nursery.start_soon(wait_over)


@pytest.fixture
async def server(nursery: trio.Nursery, limit: None, tmp_path: Path) -> Server:
    """A stand-in with two users."""
    store, faults = Store(), Faults()

    async def run(task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        await serve(store, "127.0.0.1", 0, faults=faults, tokens=TOKENS, task_status=task_status)

    return Server(store, faults, await nursery.start(run), tmp_path)


@pytest.fixture
async def transport(server: Server) -> AsyncIterator[Transport]:
    """A client of the first user."""
    async with client_of(server, "token-a") as opened:
        yield opened
