"""`switchover --dry-run`: every guard's answer, who gave it, and nothing written."""

import json
from typing import Any

import pytest
from attrs import evolve
from cli_world import Controller, World

from controller.sandbox.apiserver import CONFIGMAPS, ApiError


async def dry_run(world: World, controller: Controller, *words: str) -> Any:
    """The command, asking this controller."""
    return await world.cli("switchover", "--dry-run", "--url", controller.url, *words)


async def test_each_guard_is_shown_and_nothing_is_written(
    world: World, controller: Controller
) -> None:
    """A table with each guard, its answer and its fact; the leader is named; no request exists."""
    result = await dry_run(world, controller)
    assert result.exit_code == 0, result.output
    for word in ("CANDIDATE", "in_sync_set", "subject_is_complete", "subject_stays"):
        assert word in result.stdout
    assert "by controller-a (the leader)" in result.stdout
    assert "would be granted now: memgraph-1 -> memgraph-0" in result.stdout
    with pytest.raises(ApiError):
        world.store.get(CONFIGMAPS, "prod", "graph-requests")


async def test_a_no_is_told_with_its_reason(world: World, controller: Controller) -> None:
    """Exit code 1; in JSON too."""
    result = await dry_run(world, controller, "--to", "memgraph-2")
    assert result.exit_code == 1
    assert "would be refused now" in result.stderr
    assert "memgraph-2" in result.stderr
    found = await dry_run(world, controller, "--to", "memgraph-2", "-o", "json")
    document = json.loads(found.stdout)
    assert (found.exit_code, document["granted"]) == (1, False)
    assert any(not check["ok"] for check in document["options"][0]["checks"])


async def test_who_does_not_lead_says_so(world: World, controller: Controller) -> None:
    """A standby answers by its own picture, and the reader is told."""
    controller.snapshot = evolve(controller.snapshot, is_leader=False)
    result = await dry_run(world, controller)
    assert "not the leader" in result.stdout


async def test_without_a_controller_there_is_no_answer(world: World) -> None:
    """The ledger alone cannot tell: exit code 4, with the way out."""
    result = await world.cli("switchover", "--dry-run")
    assert result.exit_code == 4
    assert "--url" in result.stderr
    other = await world.cli("switchover", "--dry-run", "--url", "ftp://x")
    assert (other.exit_code, "wants http" in other.stderr) == (4, True)
