"""Log lines have one form, whoever writes them."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from controller.logging import configure


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    """The logging of other tests is left as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def lines(stream: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_our_lines_and_those_of_libraries_are_json() -> None:
    """Each line is one JSON object with time, level and logger, also an exception."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("controller.loop").info("event", on="main_lost", term=8)
    logging.getLogger("hypercorn.error").warning("port %s", 80)
    try:
        raise ValueError("oops")
    except ValueError:
        structlog.get_logger("controller.loop").exception("bug")
    ours, theirs, bug = lines(stream)
    assert (ours["event"], ours["on"], ours["level"], ours["logger"]) == (
        "event",
        "main_lost",
        "info",
        "controller.loop",
    )
    assert ours["at"].endswith("Z")
    assert (theirs["event"], theirs["logger"]) == ("port 80", "hypercorn.error")
    assert "ValueError: oops" in bug["exception"]


def test_the_level_holds_and_libraries_are_quieter() -> None:
    """Below the level nothing is written; libraries speak from warning on."""
    stream = io.StringIO()
    configure("info", "json", stream)
    structlog.get_logger("controller.loop").debug("turn")
    logging.getLogger("kubernetes.client").info("noise")
    assert lines(stream) == []


def test_secrets_are_masked() -> None:
    """A value under a telling key never reaches the stream."""
    stream = io.StringIO()
    configure("debug", "json", stream)
    structlog.get_logger("controller.x").info("auth", memgraph_password="hunter2")
    assert "hunter2" not in stream.getvalue()


def test_console_lines_are_plain_when_piped() -> None:
    """Colours are for terminals alone."""
    stream = io.StringIO()
    configure("info", "console", stream)
    structlog.get_logger("controller.x").info("leading", identity="a")
    assert "leading" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_values(form: str) -> None:
    """A crash tells where, not what the variables held: one of them may be a password."""
    stream = io.StringIO()
    configure("info", form, stream)
    held = "".join(["hun", "ter2"])
    try:
        raise ValueError(f"bad value of length {len(held)}")
    except ValueError:
        structlog.get_logger("controller.x").exception("crashed")
    assert "bad value of length 7" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()
