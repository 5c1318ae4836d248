"""A statement between RUN and its last row, whoever prepared it."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph.graph.transaction import Transaction


@attrs.frozen
class Answer:
    """Rows and the summary's keys besides the usual ones."""

    rows: list[list[Any]]
    summary: Mapping[str, Any]


@attrs.frozen
class Prepared:
    """A statement after RUN.

    Attributes:
        transaction: what rows may refer to (nodes are encoded through it), None for others.
        run: does it; called once, by the first PULL.
        finish: commits an auto-commit query; called once, when the last row is due.
        release: lets go of what RUN took; harmless when repeated.
    """

    fields: list[str]
    transaction: Transaction | None
    run: Callable[[], Awaitable[Answer]]
    finish: Callable[[], Awaitable[None]]
    release: Callable[[], None]


def plain(fields: list[str], run: Callable[[], Awaitable[Answer]]) -> Prepared:
    """A statement that needs no transaction and holds nothing."""

    async def finish() -> None:
        return None

    return Prepared(fields, None, run, finish, lambda: None)
