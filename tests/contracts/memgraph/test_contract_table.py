"""The page that says what was seen, and by whom: it follows from the tests."""

from deviations import KNOWN_DEVIATIONS
from facts_table import PAGE, page, rows


def test_the_page_is_current() -> None:
    """docs/stand-ins.md is what the tests say; facts_table.py writes it again."""
    assert PAGE.read_text() == page()


def test_every_deviation_is_of_a_test() -> None:
    """The table of deviations names tests that exist."""
    assert set(KNOWN_DEVIATIONS) <= {row.test.partition(": ")[2] for row in rows()}


def test_every_fact_has_a_sentence() -> None:
    """No row is empty, and no two tests state the same in the same words."""
    sentences = [row.sentence for row in rows()]
    assert all(len(sentence) > 20 for sentence in sentences)
    assert len(set(sentences)) == len(sentences)
