"""The functions of the small Cypher, and the aggregates.

Promise: a function gets evaluated arguments and returns a value; wrong arguments are the client's
fault and say so.
"""

import math
import time
from collections.abc import Callable
from typing import Any

from controller.sandbox.memgraph.cypher.evaluate import Scope, properties_of
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import NodeRef, RelationshipRef

RANGE_ITEMS_MAX = 5_000_000  # a list beyond this would only fill the memory of the stand-in


def _id(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    if value is None:
        return None
    if not isinstance(value, (NodeRef, RelationshipRef)):
        raise ClientFailure("'id' argument at position 1 must be either 'node' or 'edge'.")
    return value.id


def _labels(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    if not isinstance(value, NodeRef):
        return None
    node = scope.transaction.node(value.id)
    return sorted(node.labels) if node else []


def _type(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    if not isinstance(value, RelationshipRef):
        return None
    relationship = scope.transaction.relationship(value.id)
    return relationship.type if relationship else None


def _properties(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    return None if value is None else dict(properties_of(value, scope))


def _keys(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    if value is None:
        return None
    return list(value) if isinstance(value, dict) else list(properties_of(value, scope))


def _size(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    return None if value is None else len(value)


def numbers_of(arguments: list[Any]) -> range:
    """The numbers of `range(first, last, step)`, both ends included, not written out.

    Raises:
        ClientFailure: no integers, or a step of 0.
    """
    try:
        first, last, step = (*arguments, 1)[:3]
        return range(first, last + (1 if step > 0 else -1), step)
    except (TypeError, ValueError) as problem:
        raise ClientFailure("'range' cannot take these arguments.") from problem


def _range(arguments: list[Any], scope: Scope) -> Any:
    numbers = numbers_of(arguments)
    if len(numbers) > RANGE_ITEMS_MAX:
        raise ClientFailure("The stand-in does not hold a range that long.")
    return list(numbers)


def _coalesce(arguments: list[Any], scope: Scope) -> Any:
    return next((value for value in arguments if value is not None), None)


def _to_string(arguments: list[Any], scope: Scope) -> Any:
    (value,) = arguments
    if isinstance(value, bool):
        return "true" if value else "false"
    return None if value is None else str(value)


def _to_integer(arguments: list[Any], scope: Scope) -> Any:
    try:
        return None if arguments[0] is None else int(float(arguments[0]))
    except ValueError:
        return None


def _to_float(arguments: list[Any], scope: Scope) -> Any:
    try:
        return None if arguments[0] is None else float(arguments[0])
    except ValueError:
        return None


def _to_boolean(arguments: list[Any], scope: Scope) -> Any:
    value = arguments[0]
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return None if value is None else bool(value)


def _end_of(which: str) -> Callable[[list[Any], Scope], Any]:
    def function(arguments: list[Any], scope: Scope) -> Any:
        (value,) = arguments
        if not isinstance(value, RelationshipRef):
            return None
        relationship = scope.transaction.relationship(value.id)
        return NodeRef(getattr(relationship, which)) if relationship else None

    return function


def _substring(arguments: list[Any], scope: Scope) -> Any:
    text, start, *length = arguments
    return None if text is None else text[start : start + length[0] if length else None]


def _timestamp(arguments: list[Any], scope: Scope) -> Any:
    return time.time_ns() // 1000


def _one(rule: Callable[[Any], Any]) -> Callable[[list[Any], Scope], Any]:
    def function(arguments: list[Any], scope: Scope) -> Any:
        (value,) = arguments
        return None if value is None else rule(value)

    return function


def _careful(
    name: str, rule: Callable[[list[Any], Scope], Any]
) -> Callable[[list[Any], Scope], Any]:
    def function(arguments: list[Any], scope: Scope) -> Any:
        try:
            return rule(arguments, scope)
        except (TypeError, ValueError, IndexError, AttributeError) as problem:
            raise ClientFailure(f"'{name}' cannot take these arguments.") from problem

    return function


_PLAIN: dict[str, Callable[[list[Any], Scope], Any]] = {
    "id": _id,
    "labels": _labels,
    "type": _type,
    "properties": _properties,
    "keys": _keys,
    "size": _size,
    "range": _range,
    "coalesce": _coalesce,
    "tostring": _to_string,
    "tointeger": _to_integer,
    "timestamp": _timestamp,
    "abs": _one(abs),
    "head": _one(lambda items: items[0] if items else None),
    "last": _one(lambda items: items[-1] if items else None),
    "tofloat": _to_float,
    "toboolean": _to_boolean,
    "startnode": _end_of("start"),
    "endnode": _end_of("end"),
    "exists": lambda arguments, scope: arguments[0] is not None,
    "tail": _one(lambda items: items[1:]),
    "reverse": _one(lambda value: value[::-1]),
    "ceil": _one(lambda number: float(math.ceil(number))),
    "floor": _one(lambda number: float(math.floor(number))),
    "sqrt": _one(math.sqrt),
    "trim": _one(lambda text: text.strip()),
    "substring": _substring,
    "replace": lambda a, scope: None if a[0] is None else a[0].replace(a[1], a[2]),
    "split": lambda a, scope: None if a[0] is None else a[0].split(a[1]),
    "toupper": _one(lambda text: text.upper()),
    "tolower": _one(lambda text: text.lower()),
}
FUNCTIONS = {name: _careful(name, rule) for name, rule in _PLAIN.items()}


class Accumulator:
    """One aggregate over one group."""

    def __init__(self, name: str, distinct: bool) -> None:
        self.name = name
        self.count = 0
        self.items: list[Any] = []
        self._total: Any = 0
        self._best: Any = None
        self._seen: set[Any] | None = set() if distinct else None

    def add(self, value: Any) -> None:
        """Take one row's value; null counts for nothing."""
        if value is None or self._is_repeated(value):
            return
        self.count += 1
        if self.name == "collect":
            self.items.append(value)
        elif self.name in ("sum", "avg"):
            self._add_number(value)
        elif self.name in ("min", "max"):
            self._compare(value)

    def _is_repeated(self, value: Any) -> bool:
        if self._seen is None:
            return False
        mark = hashable(value)
        if mark in self._seen:
            return True
        self._seen.add(mark)
        return False

    def _add_number(self, value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ClientFailure(f"Only numeric values allowed in {self.name.upper()} aggregation.")
        self._total += value

    def _compare(self, value: Any) -> None:
        try:
            better = self._best is None or (
                value < self._best if self.name == "min" else value > self._best
            )
        except TypeError as problem:
            raise ClientFailure("Unable to compare the values of an aggregation.") from problem
        if better:
            self._best = value

    def result(self) -> Any:
        if self.name == "count":
            return self.count
        if self.name == "collect":
            return self.items
        if self.name == "avg":
            return self._total / self.count if self.count else None
        return self._total if self.name == "sum" else self._best


def hashable(value: Any) -> Any:
    """A hashable stand-in for a value, equal for equal values; true is not 1, as Python has it."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("list", *(hashable(item) for item in value))
    if isinstance(value, dict):
        return ("map", *sorted((key, hashable(item)) for key, item in value.items()))
    return value
