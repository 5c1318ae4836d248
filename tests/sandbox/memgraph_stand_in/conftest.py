"""The world of real processes, ended with each test."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from stand_in_world import World


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    it = World(tmp_path)
    try:
        yield it
    finally:
        await it.end()
