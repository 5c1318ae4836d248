"""`diagram`: the table as a picture, and how often each edge of it was taken."""

import xml.etree.ElementTree as ET

import pytest
import web_picture as p
from cli_world import World

from controller.cli.diagram import drawn
from statemachine.codec import decode
from statemachine.uses import Edge, uses

LINES = p.history().lines


@pytest.mark.parametrize("form", ["mermaid", "dot", "svg"])
async def test_the_table_needs_no_cluster(world: World, form: str) -> None:
    """Without --history nothing is read, and no number is claimed."""
    result = await world.cli("diagram", "--format", form, "--release", "not-there")
    assert result.exit_code == 0, result.output
    assert "DEGRADED" in result.stdout
    assert "(never)" not in result.stdout


async def test_history_weighs_each_edge(world: World) -> None:
    """How often, when last, and what never was; the most taken first."""
    result = await world.cli("diagram", "--history")
    assert result.exit_code == 0, result.output
    (line,) = [x for x in result.stdout.splitlines() if "OPERATIONAL --> FAILOVER" in x]
    first, *rest = line.partition(": ")[2].split(" | ")
    assert first.startswith("main_lost (1x, last 20")
    assert all(other.endswith("(never)") for other in rest)


async def test_a_broken_ledger_is_counted_as_far_as_it_is_verified(world: World) -> None:
    """And said so: exit code 1."""
    data = dict(p.history().data)
    last = max(data)
    world.write_ledger({**data, last: data[last].replace("memgraph-1", "memgraph-2", 1)})
    result = await world.cli("diagram", "--history", "--format", "dot")
    assert result.exit_code == 1
    assert "the ledger is broken after entry" in result.stderr
    assert "(1x, last" in result.stdout


def test_the_svg_tells_the_numbers_in_words_too() -> None:
    """Well-formed, and whoever cannot see the width can read the title."""
    text = drawn("svg", "DEGRADED", LINES, is_weighed=True)
    ET.fromstring(text)
    assert "OPERATIONAL to FAILOVER" in text
    assert "; taken 1 times" in text
    assert "; taken 0 times" in text


def test_every_edge_that_was_taken_is_one_of_the_table() -> None:
    """Each entry counts once."""
    found = uses(map(decode, LINES))
    assert sum(use.count for use in found.values()) == len(LINES)
    assert found[Edge("main_lost", "OPERATIONAL", "FAILOVER")].count == 1
