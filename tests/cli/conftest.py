"""The hand-made pictures of the web tests and the long ledgers of the state machine's are used here
too; and a release on an API server."""

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

sys.path += [str(Path(__file__).parents[1] / room) for room in ("web", "statemachine")]

from cli_world import Controller, World, make_world


@pytest.fixture
async def world(nursery: trio.Nursery, tmp_path: Path) -> AsyncIterator[World]:
    """An API server that holds one release with a ledger, pods and a gateway Lease."""
    with trio.fail_after(30):
        yield await make_world(nursery, tmp_path)


@pytest.fixture
async def controller(nursery: trio.Nursery) -> Controller:
    """One that answers over HTTP."""
    made = Controller()
    await made.serve(nursery)
    return made
