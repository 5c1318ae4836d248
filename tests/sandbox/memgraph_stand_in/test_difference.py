"""`difference`: what one database holds that another has not, on two stand-ins."""

import json
from functools import partial

import trio
from click.testing import CliRunner, Result
from stand_in_world import Stand, World

from controller.cli import cli
from controller.cli.difference import digest_of


def address(stand: Stand) -> str:
    """HOST:PORT of its Bolt."""
    return f"{stand.address}:7687"


async def difference(left: Stand, right: Stand, *words: str) -> Result:
    """The command, in a thread."""
    command = ["difference", address(left), address(right), *words]
    run = partial(CliRunner().invoke, cli, command, env={"MEMGRAPH_USER": None})
    return await trio.to_thread.run_sync(run)


async def test_what_only_one_holds_is_printed_with_everything(world: World) -> None:
    """A node, a relationship, and one copy too many; what both hold, and what only the other one
    holds, is not."""
    left, right = await world.start("left", "right")
    for stand in (left, right):
        await stand.run("CREATE (:Both {id: 1})")
        await stand.run("CREATE (:Twice {id: 2})")
    await left.run("CREATE (:Twice {id: 2})")
    await left.run("CREATE (:A {id: 3})-[:KNOWS {since: 1999}]->(:B {id: 4.0})")
    await right.run("CREATE (:A {id: 3})")
    await right.run("CREATE (:Other {id: 9})")
    result = await difference(left, right)
    assert result.exit_code == 1, result.output
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert found == [
        {"node": {"labels": ["Twice"], "properties": {"id": 2}}},
        {"node": {"labels": ["B"], "properties": {"id": 4.0}}},
        {
            "relationship": {
                "from": {"labels": ["A"], "properties": {"id": 3}},
                "type": "KNOWS",
                "properties": {"since": 1999},
                "to": {"labels": ["B"], "properties": {"id": 4.0}},
            }
        },
    ]
    assert f"3 nodes and relationships are in {address(left)} and not in" in result.stderr


async def test_equal_databases_differ_in_nothing(world: World) -> None:
    """Exit code 0, no output; with --count too."""
    left, right = await world.start("left", "right")
    for stand in (left, right):
        await stand.run("CREATE (:A:B {x: 1, y: 'z'})")
    for words in ((), ("--count",)):
        result = await difference(left, right, *words)
        assert (result.exit_code, result.stdout) == (0, "")


async def test_a_database_that_is_not_there_is_named(world: World) -> None:
    """And nothing is claimed."""
    left, right = await world.start("left", "right")
    await right.kill()
    result = await difference(left, right)
    assert result.exit_code == 4
    assert f"{address(right)} cannot be read" in result.output


def test_the_order_of_labels_and_keys_does_not_matter() -> None:
    """But a number's kind does."""
    one = {"node": {"labels": ["A", "B"], "properties": {"x": 1, "y": 2}}}
    same = {"node": {"properties": {"y": 2, "x": 1}, "labels": ["A", "B"]}}
    other = {"node": {"labels": ["A", "B"], "properties": {"x": 1.0, "y": 2}}}
    assert digest_of(one) == digest_of(same) != digest_of(other)
