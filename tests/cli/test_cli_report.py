"""`report`: one failover as a document, from a ledger on the API stand-in."""

import json
from pathlib import Path
from typing import Any

import pytest
import web_picture as p
from cli_world import World

from controller.cli.exits import Problem
from controller.cli.incident import incident_of, markdown
from controller.cli.report import last_change, logs_of, settings_of

LEDGER = [json.loads(line) for line in p.history().lines]
FAILOVER = next(e["term"] for e in LEDGER if e["on"] == "main_lost")


def entry(**changes: Any) -> dict[str, Any]:
    """The first entry of the failover, changed."""
    return {**next(e for e in LEDGER if e["on"] == "main_lost"), **changes}


async def test_the_report_tells_the_last_failover(world: World) -> None:
    """Who was main and who is, how long each step took, what may be missing, the entries."""
    result = await world.cli("report")
    assert result.exit_code == 0, result.output
    for word in (
        f"# Term {FAILOVER}: memgraph-0 to memgraph-1",
        "| +0.250s (0.250s) | by dead;",
        "main afterwards: memgraph-1",
        "| main_lost | because of main_lost |",
        "loss verdict: none",
        "sequenceDiagram",
        '"on":"main_lost"',
    ):
        assert word in result.stdout, word


async def test_it_can_be_written_to_a_file(world: World, tmp_path: Path) -> None:
    """What was written is said on stderr."""
    out = tmp_path / "incident.md"
    result = await world.cli("report", "--term", str(FAILOVER), "--out", str(out))
    assert out.read_text().startswith("# Term ")
    assert f"wrote {out}" in result.stderr


async def test_a_term_that_is_not_there_is_told_with_those_that_are(world: World) -> None:
    """Exit code 4."""
    result = await world.cli("report", "--term", "99")
    assert result.exit_code == 4
    assert "the ledger has no term 99" in result.output


async def test_files_are_enough(world: World, tmp_path: Path) -> None:
    """What somebody saved of the ledger; then there are no settings."""
    saved = tmp_path / "saved.jsonl"
    saved.write_text("".join(p.history().lines))
    result = await world.cli("report", "--file", str(saved))
    assert result.exit_code == 0, result.output
    assert f"# Term {FAILOVER}:" in result.stdout
    assert "## Settings" not in result.stdout


async def test_an_incident_becomes_a_test(world: World, tmp_path: Path) -> None:
    """The ledger up to its end, and what it tells; one that lacks its beginning becomes none."""
    result = await world.cli("report", "--as-test", str(tmp_path / "incidents"))
    assert result.exit_code == 0, result.output
    (ledger,) = (tmp_path / "incidents").glob("*.jsonl")
    assert ledger.read_text() == "".join(p.history().lines)
    told = json.loads(ledger.with_suffix(".json").read_text())
    assert [s["step"] for s in told["steps"]][:4] == ["suspected", "decided", "fenced", "promoted"]


async def test_a_broken_ledger_is_said_aloud(world: World) -> None:
    """What can be verified is told, and the exit code is 1."""
    data = dict(p.history().data)
    last = max(data)
    world.write_ledger({**data, last: data[last].replace("memgraph-1", "memgraph-2", 1)})
    result = await world.cli("report")
    assert result.exit_code == 1
    assert "broken" in result.stderr


def test_secrets_are_left_out() -> None:
    """Values of telling names, and whatever comes from elsewhere, are not shown."""
    env = [
        {"name": "MEMGRAPH_PASSWORD", "value": "hunter2"},
        {"name": "MEMGRAPH_USER", "valueFrom": {"secretKeyRef": {"name": "s", "key": "user"}}},
        {"name": "LOG_LEVEL", "value": "info"},
    ]
    labels = {"app.kubernetes.io/component": "controller"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"env": env}]}}
    text = settings_of([pod])
    assert "hunter2" not in text
    assert "| MEMGRAPH_PASSWORD | (left out) |" in text
    assert "| MEMGRAPH_USER | (secretKeyRef) |" in text
    assert "| LOG_LEVEL | info |" in text


def test_logs_are_cut_to_the_incident() -> None:
    """By time or by term; what is no JSON is nothing."""
    incident = incident_of(LEDGER, FAILOVER)
    lines = [
        json.dumps({"at": incident.begin["at"], "event": "then"}),
        json.dumps({"at": "1999-01-01T00:00:00Z", "event": "long ago"}),
        json.dumps({"at": "1999-01-01T00:00:00Z", "event": "its term", "term": FAILOVER}),
        "Traceback (most recent call last):",
        "[1, 2]",
    ]
    text = logs_of(incident, lines)
    assert "then" in text
    assert "its term" in text
    assert "long ago" not in text
    assert "Traceback" not in text


@pytest.mark.parametrize("why", ["a | b", "two\nlines", "x```y", "<script>"])
def test_what_people_wrote_breaks_no_table(why: str) -> None:
    """A reason with a bar or a line break stays in its cell."""
    text = markdown(incident_of([entry(why=why)], FAILOVER), {})
    (row,) = [r for r in text.splitlines() if "| OPERATIONAL -> FAILOVER |" in r]
    assert row.replace("\\|", "").count("|") == 7


def test_a_failover_is_preferred_to_a_renewal() -> None:
    """What people ask for after a bad night."""
    later = entry(on="renewal_started", term=FAILOVER + 1, seq=99)
    assert last_change([*LEDGER, later]) == FAILOVER
    assert last_change([later]) == FAILOVER + 1
    assert last_change([]) == 0


def test_an_empty_ledger_has_no_incident() -> None:
    """And says so."""
    with pytest.raises(Problem, match="has no term 1"):
        incident_of([], 1)
