"""What is stored, and how a query holds on to it.

Promise: records are never changed in place. A query keeps a `NodeRef`, not a `Node`, so that it
sees its own later changes.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import attrs

Change = list[Any]
"""One change as it stands in the log and on the wire: [kind, ...], JSON only; see `changes`."""


@attrs.frozen(eq=False)
class Node:
    id: int
    labels: frozenset[str]
    properties: Mapping[str, Any]


@attrs.frozen(eq=False)
class Relationship:
    id: int
    type: str
    start: int
    end: int
    properties: Mapping[str, Any]


@attrs.frozen
class NodeRef:
    id: int


@attrs.frozen
class RelationshipRef:
    id: int


Key = tuple[str, int]
"""("n", node id) or ("r", relationship id)."""


@lru_cache(maxsize=1024)
def label_set(labels: tuple[str, ...]) -> frozenset[str]:
    """The same set for the same labels: it would else be the largest part of a small node."""
    return frozenset(labels)


def index_key(value: Any) -> Any:
    """What an index files `value` under; None when it is not indexed (lists, maps, null).

    Booleans are kept apart from 0 and 1, which Python would call equal.
    """
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, (int, float, str)):
        return value
    return None
