"""`whatif`: the rules asked what they would do, through a real HTTP server; nothing is written."""

import json
from typing import Any

import pytest
import trio
import web_picture as p
from attrs import evolve
from cli_world import Controller, World


async def whatif(world: World, controller: Controller, *words: str) -> Any:
    """The command, asking this controller."""
    return await world.cli("whatif", "--url", controller.url, *words)


async def test_the_steps_of_a_failover_are_told(world: World, controller: Controller) -> None:
    """Lost, fenced, promoted; who is main then; what may be missing; who said so."""
    result = await whatif(world, controller, "--kill", "memgraph-1", "--guards")
    assert result.exit_code == 0, result.output
    for word in ("main_lost", "main_fenced", "promote memgraph-0", "main_promoted", "in_sync_set"):
        assert word in result.stdout
    assert "memgraph-0 is main" in result.stdout
    assert "acknowledged writes missing: none" in result.stdout
    assert "by controller-a (the leader)" in result.stdout


async def test_nobody_safe_is_an_exit_code(world: World, controller: Controller) -> None:
    """Both complete copies gone: writes stay closed, and it is said who must come back."""
    words = ("--kill", "memgraph-0", "--kill", "memgraph-1", "-o", "json")
    result = await whatif(world, controller, *words)
    document = json.loads(result.stdout)
    assert (result.exit_code, document["writes_closed_s"]) == (1, None)
    assert "stay closed until" in document["ends"]


async def test_nothing_breaks_with_now(world: World, controller: Controller) -> None:
    """What is about to be decided anyway."""
    result = await whatif(world, controller, "--now", "-o", "json")
    assert json.loads(result.stdout)["main_changes"] is False


async def test_a_question_that_makes_no_sense_is_refused_with_the_reason(
    world: World, controller: Controller
) -> None:
    """Unknown names, half a pair, no question at all."""
    unknown = await whatif(world, controller, "--kill", "memgraph-9")
    assert unknown.exit_code != 0
    assert "memgraph-9 is not known here; instances are memgraph-0" in unknown.output
    half = await whatif(world, controller, "--partition", "memgraph-0")
    assert "wants two names" in half.output
    nothing = await whatif(world, controller)
    assert nothing.exit_code == 2
    assert "what shall break?" in nothing.output


async def test_a_standby_says_that_its_picture_is_not_complete(
    world: World, controller: Controller
) -> None:
    """It is asked as if it led."""
    view = evolve(controller.snapshot.view, identity="")
    controller.snapshot = evolve(controller.snapshot, is_leader=False, view=view)
    result = await whatif(world, controller, "--kill", "memgraph-1")
    assert "not the leader" in result.stdout


async def test_history_can_be_asked_too(world: World) -> None:
    """As of an entry of the ledger, without any controller; the assumptions are named."""
    seq = p.history().seq
    result = await world.cli("whatif", "--at", str(seq), "--kill", "memgraph-1")
    assert f"from entry {seq} of the ledger (assumed:" in result.stdout
    beyond = await world.cli("whatif", "--at", "9999", "--kill", "memgraph-1")
    assert f"holds entries 1 to {seq}" in beyond.output
    files = await world.cli("whatif", "--file", "/dev/null", "--now")
    assert "say which entry with --at" in files.output


async def test_only_one_question_is_thought_about_at_a_time(
    controller: Controller, nursery: trio.Nursery
) -> None:
    """It costs time of a process that has better to do: who comes second is told so."""
    from functools import partial

    from starlette.requests import Request

    from controller.web import whatif as room

    gate, began = trio.Event(), trio.Event()

    def slow(*_: Any) -> dict[str, Any]:
        trio.from_thread.run_sync(began.set)
        trio.from_thread.run(gate.wait)
        return {}

    endpoint = room.WhatIf(lambda: controller.snapshot)
    scope = {"type": "http", "query_string": b"kill=memgraph-1", "headers": [], "method": "GET"}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(room, "whatif_document", slow)
        nursery.start_soon(partial(endpoint.answer, Request(scope)))
        await began.wait()
        second = await endpoint.answer(Request(scope))
        gate.set()
    assert second.status_code == 503
