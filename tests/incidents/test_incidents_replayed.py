"""Ledgers of changes that happened: read, verified and told as they were then."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from controller.cli import cli
from controller.cli.pieces import pieces_in

INCIDENTS = sorted(Path(__file__).parent.glob("*.jsonl"))


def test_there_are_incidents() -> None:
    """An empty folder would prove nothing."""
    assert INCIDENTS


@pytest.mark.parametrize("ledger", INCIDENTS, ids=lambda path: path.stem)
def test_an_old_ledger_is_still_whole(ledger: Path) -> None:
    """Chain, positions, terms and edges hold with the rules of today."""
    chain = pieces_in([ledger]).chain()
    assert (chain.faults, chain.first) == ((), 1)
    assert chain.count == len(ledger.read_text().splitlines())


@pytest.mark.parametrize("ledger", INCIDENTS, ids=lambda path: path.stem)
def test_it_tells_the_same_story(ledger: Path) -> None:
    """Steps, times, proofs and verdict."""
    expected = json.loads(ledger.with_suffix(".json").read_text())
    words = ["history", "--term", str(expected["term"]), "--file", str(ledger), "-o", "json"]
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == expected
