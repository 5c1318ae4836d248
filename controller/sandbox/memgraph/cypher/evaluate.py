"""The value of an expression in a row.

Promise: Cypher's three-valued logic (a comparison with null is null), typed errors as
`ClientFailure`, no change to anything. A row maps variable names to values, and aggregate calls (by
identity) to their results.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph.cypher.operators import OPERATORS, boolean, contains, type_name
from controller.sandbox.memgraph.cypher.pace import Pace
from controller.sandbox.memgraph.cypher.syntax import (
    Binary,
    Call,
    Case,
    Expression,
    HasLabels,
    IsNull,
    ListOf,
    Literal,
    MapOf,
    Parameter,
    Property,
    Subscript,
    Unary,
    Variable,
)
from controller.sandbox.memgraph.failures import ClientFailure, unknown_to_stand_in
from controller.sandbox.memgraph.graph.records import NodeRef, RelationshipRef
from controller.sandbox.memgraph.graph.transaction import Transaction

Row = dict[Any, Any]
PAUSE: Row = {"\0pause": True}
"""No row, but the wish to pause here: every clause hands it on at once (see `pace`)."""
AGGREGATES = frozenset({"count", "collect", "sum", "min", "max", "avg"})


@attrs.frozen
class Scope:
    """What a query can see: its parameters, its transaction, and its time."""

    parameters: Mapping[str, Any]
    transaction: Transaction
    pace: Pace = attrs.Factory(Pace)


def evaluate(expression: Expression, row: Row, scope: Scope) -> Any:
    """The value of `expression`.

    Raises:
        ClientFailure: unbound name, missing parameter, wrong types.
    """
    return _RULES[type(expression)](expression, row, scope)


def _literal(e: Literal, row: Row, scope: Scope) -> Any:
    return e.value


def _parameter(e: Parameter, row: Row, scope: Scope) -> Any:
    if e.name not in scope.parameters:
        raise ClientFailure(f"Parameter ${e.name} not provided.")
    return scope.parameters[e.name]


def _variable(e: Variable, row: Row, scope: Scope) -> Any:
    if e.name not in row:
        raise ClientFailure(f"Unbound variable: {e.name}.")
    return row[e.name]


def _property(e: Property, row: Row, scope: Scope) -> Any:
    return property_of(evaluate(e.base, row, scope), e.key, scope)


def property_of(base: Any, key: str, scope: Scope) -> Any:
    """`base.key` for a map, a node or a relationship; null when absent."""
    if base is None:
        return None
    if isinstance(base, dict):
        return base.get(key)
    return properties_of(base, scope).get(key)


def properties_of(value: Any, scope: Scope) -> Mapping[str, Any]:
    """All properties of a node or relationship; a deleted one has none.

    Raises:
        ClientFailure: `value` has no properties at all.
    """
    if isinstance(value, NodeRef):
        node = scope.transaction.node(value.id)
        return node.properties if node else {}
    if isinstance(value, RelationshipRef):
        relationship = scope.transaction.relationship(value.id)
        return relationship.properties if relationship else {}
    raise ClientFailure(
        "Only nodes, edges, maps, temporal types, points and graphs have properties to be "
        "looked-up."
    )


def _has_labels(e: HasLabels, row: Row, scope: Scope) -> Any:
    base = evaluate(e.base, row, scope)
    if base is None:
        return None
    if not isinstance(base, NodeRef):
        raise ClientFailure("Only nodes have labels.")
    node = scope.transaction.node(base.id)
    return node is not None and all(label in node.labels for label in e.labels)


def _subscript(e: Subscript, row: Row, scope: Scope) -> Any:
    base, index = evaluate(e.base, row, scope), evaluate(e.index, row, scope)
    if base is None or index is None:
        return None
    if isinstance(base, list) and isinstance(index, int):
        return base[index] if -len(base) <= index < len(base) else None
    if isinstance(index, str):
        return property_of(base, index, scope)
    raise ClientFailure("Expected an integer or a string as index.")


def _list(e: ListOf, row: Row, scope: Scope) -> Any:
    return [evaluate(item, row, scope) for item in e.items]


def _map(e: MapOf, row: Row, scope: Scope) -> Any:
    return {key: evaluate(item, row, scope) for key, item in e.items}


def _unary(e: Unary, row: Row, scope: Scope) -> Any:
    value = evaluate(e.operand, row, scope)
    if value is None:
        return None
    if e.operator == "NOT":
        return not boolean(value, "NOT")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ClientFailure(f"Invalid type: {type_name(value)} for '{e.operator}'.")
    return -value if e.operator == "-" else value


def _is_null(e: IsNull, row: Row, scope: Scope) -> Any:
    return (evaluate(e.operand, row, scope) is None) != e.negated


def _binary(e: Binary, row: Row, scope: Scope) -> Any:
    left = evaluate(e.left, row, scope)
    if e.operator in ("AND", "OR"):
        return _logic(e, left, row, scope)
    right = evaluate(e.right, row, scope)
    if e.operator == "IN":
        return contains(left, right)
    if left is None or right is None:
        return None
    try:
        return OPERATORS[e.operator](left, right)
    except (TypeError, ArithmeticError, ValueError) as problem:
        raise ClientFailure(
            f"Invalid types: {type_name(left)} and {type_name(right)} for '{e.operator}'."
        ) from problem


def _logic(e: Binary, left: Any, row: Row, scope: Scope) -> Any:
    decisive = e.operator == "OR"
    if left is not None and boolean(left, e.operator) is decisive:
        return decisive
    right = evaluate(e.right, row, scope)
    if right is not None and boolean(right, e.operator) is decisive:
        return decisive
    return None if left is None or right is None else not decisive


def _call(e: Call, row: Row, scope: Scope) -> Any:
    if e.name in AGGREGATES:
        if e not in row:
            raise ClientFailure(f"Aggregation functions are not allowed here: {e.name}.")
        return row[e]
    # The functions' room imports this one; found at the first call.
    from controller.sandbox.memgraph.cypher.functions import FUNCTIONS

    if e.name not in FUNCTIONS:
        raise unknown_to_stand_in(f"the function '{e.name}'")
    return FUNCTIONS[e.name]([evaluate(a, row, scope) for a in e.arguments], scope)


def _case(e: Case, row: Row, scope: Scope) -> Any:
    for condition, result in e.branches:
        if e.subject is None:
            chosen = evaluate(condition, row, scope) is True
        else:
            chosen = evaluate(Binary("=", e.subject, condition), row, scope) is True
        if chosen:
            return evaluate(result, row, scope)
    return None if e.default is None else evaluate(e.default, row, scope)


_RULES: dict[type[Expression], Callable[[Any, Row, Scope], Any]] = {
    Literal: _literal,
    Parameter: _parameter,
    Variable: _variable,
    Property: _property,
    HasLabels: _has_labels,
    Subscript: _subscript,
    ListOf: _list,
    MapOf: _map,
    Unary: _unary,
    IsNull: _is_null,
    Binary: _binary,
    Call: _call,
    Case: _case,
}
