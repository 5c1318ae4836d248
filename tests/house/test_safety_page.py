"""docs/safety.md is what the tests say, and every safety rule is shown by somebody."""

import pytest
from safety_page import PAGE, RULES, TRACES, by_name, page


def test_the_page_is_current() -> None:
    """Written anew it would be the same."""
    assert PAGE.read_text() == page(), "run python tests/house/safety_page.py"


@pytest.mark.parametrize("name", [*RULES, *TRACES])
def test_somebody_shows_it(name: str) -> None:
    """No rule and no trace stands there for decoration."""
    assert by_name()[name], f"no test names {name}"
