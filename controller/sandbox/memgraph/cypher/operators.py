"""What operators do to two values that are both there.

Promise: `OPERATORS` raises only `TypeError`, `ValueError` or `ArithmeticError` for values that it
cannot take, or a `ClientFailure` that names the reason.
"""

import re
from collections.abc import Callable
from typing import Any

from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import NodeRef, RelationshipRef


def boolean(value: Any, operator: str) -> bool:
    if not isinstance(value, bool):
        raise ClientFailure(f"Invalid type: {type_name(value)} for '{operator}'.")
    return value


def equal(left: Any, right: Any) -> bool:
    """Cypher's `=` for two values that are not null; true and 1 differ."""
    if isinstance(left, bool) != isinstance(right, bool):
        return False
    return bool(left == right)


def contains(item: Any, items: Any) -> Any:
    if items is None:
        return None
    if not isinstance(items, list):
        raise ClientFailure(f"IN expected a list, got {type_name(items)}.")
    if item is None:
        return None if items else False
    if any(other is not None and equal(item, other) for other in items):
        return True
    return None if any(other is None for other in items) else False


def _add(left: Any, right: Any) -> Any:
    if isinstance(left, list):
        return left + (right if isinstance(right, list) else [right])
    if isinstance(right, list):
        return [left, *right]
    if isinstance(left, str) and isinstance(right, str):
        return left + right
    return _number(left) + _number(right)


def _divide(left: Any, right: Any) -> Any:
    _number(left), _number(right)
    if isinstance(left, int) and isinstance(right, int):
        quotient = abs(left) // abs(right)
        return quotient if (left < 0) == (right < 0) else -quotient
    return left / right


def _modulo(left: Any, right: Any) -> Any:
    _number(left), _number(right)
    remainder = abs(left) % abs(right)
    return remainder if left >= 0 else -remainder


def _number(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(type_name(value))
    return value


def _matches(text: str, pattern: str) -> bool:
    try:
        return re.fullmatch(pattern, text) is not None
    except re.error as problem:
        raise ClientFailure(f"Regex error in '{pattern}': {problem}") from problem


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def rule(left: Any, right: Any) -> bool:
        if isinstance(left, bool) or isinstance(right, bool):
            raise TypeError("booleans have no order")
        return compare(left, right)

    return rule


def type_name(value: Any) -> str:
    """Memgraph's name of a value's type, for messages."""
    names = {
        bool: "bool",
        int: "int",
        float: "double",
        str: "string",
        list: "list",
        dict: "map",
        NodeRef: "vertex",
        RelationshipRef: "edge",
    }
    return names.get(type(value), "null")


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "=": equal,
    "<>": lambda a, b: not equal(a, b),
    "<": _ordered(lambda a, b: a < b),
    ">": _ordered(lambda a, b: a > b),
    "<=": _ordered(lambda a, b: a <= b),
    ">=": _ordered(lambda a, b: a >= b),
    "XOR": lambda a, b: boolean(a, "XOR") != boolean(b, "XOR"),
    "+": _add,
    "-": lambda a, b: _number(a) - _number(b),
    "*": lambda a, b: _number(a) * _number(b),
    "/": _divide,
    "%": _modulo,
    "^": lambda a, b: float(_number(a)) ** _number(b),
    "STARTS WITH": lambda a, b: a.startswith(b),
    "ENDS WITH": lambda a, b: a.endswith(b),
    "CONTAINS": lambda a, b: b in a,
    "=~": lambda a, b: _matches(a, b),
}
