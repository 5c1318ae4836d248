"""Which fact a test states, and whether anybody has seen it on a running Memgraph.

Promise: every test of this suite carries exactly one of `seen` and `unseen`; the table of
docs/stand-ins.md is made from them. What a newcomer gets wrong: `seen` is about the *fact*, not
about this test: it says that a person recorded it on a real server, with the release they used.
"""

from collections.abc import Callable
from typing import TypeVar

import attrs

Test = TypeVar("Test", bound=Callable[..., object])
ATTRIBUTE = "stated_fact"
SEEN_ON = "3.6.1"  # the release of the recorded exchanges


@attrs.frozen
class Fact:
    """A fact of the project's sheet on Memgraph.

    Attributes:
        number: section or laboratory number of the sheet, such as "1.5" or "L13".
        is_seen: somebody saw it on a running Memgraph; otherwise it was read in the sources.
        releases: the releases at which the stand-in is asked; a real one is asked at its own.
    """

    number: str
    is_seen: bool
    releases: tuple[str, ...]


LATEST = "3.12.0"


def seen(number: str, releases: tuple[str, ...] = (LATEST,)) -> Callable[[Test], Test]:
    """The decorated test states a fact that was seen on a running Memgraph (3.6.1)."""
    return _mark(Fact(number, is_seen=True, releases=releases))


def unseen(number: str, releases: tuple[str, ...] = (LATEST,)) -> Callable[[Test], Test]:
    """The decorated test states what was read in the sources and nobody has watched yet."""
    return _mark(Fact(number, is_seen=False, releases=releases))


def _mark(fact: Fact) -> Callable[[Test], Test]:
    def mark(test: Test) -> Test:
        setattr(test, ATTRIBUTE, fact)
        return test

    return mark


def fact_of(test: object) -> Fact | None:
    """The fact that a test function states, if it says so."""
    found = getattr(test, ATTRIBUTE, None)
    return found if isinstance(found, Fact) else None
