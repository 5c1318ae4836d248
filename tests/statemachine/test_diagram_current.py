"""The pictures that auditors see are those of the code."""

from pathlib import Path

import pytest

from statemachine.__main__ import main
from statemachine.diagram import dot, mermaid
from statemachine.rules import RULES

DOCS = Path(__file__).parents[2] / "docs"


def test_docs_are_current(tmp_path: Path) -> None:
    """Who changes the table writes the docs anew: python -m statemachine docs."""
    assert main([str(tmp_path)]) == 0
    for written in tmp_path.iterdir():
        assert (DOCS / written.name).read_text() == written.read_text(), written.name


@pytest.mark.parametrize("words", [[], ["--help"], ["a", "b"]])
def test_wrong_usage_writes_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """It says how it is used."""
    assert main(words) == 2
    assert "usage" in capsys.readouterr().err


def test_every_trigger_is_in_both_pictures() -> None:
    """Nothing of the table is left out."""
    for rule in RULES:
        assert rule.trigger in mermaid()
        assert f'label="{rule.trigger}' in dot()
