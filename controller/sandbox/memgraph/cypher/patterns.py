"""Finding and creating the shapes that MATCH, MERGE and CREATE name.

Promise: `matches` yields one row for each way to bind a path, never using one relationship twice
within a MATCH; equality on a labelled node's property is looked up, not scanned for.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from controller.sandbox.memgraph.cypher.evaluate import Row, Scope, evaluate
from controller.sandbox.memgraph.cypher.operators import equal
from controller.sandbox.memgraph.cypher.syntax import (
    Binary,
    Expression,
    Literal,
    NodePattern,
    Parameter,
    PathPattern,
    Property,
    RelationshipPattern,
    Variable,
)
from controller.sandbox.memgraph.failures import ClientFailure, unknown_to_stand_in
from controller.sandbox.memgraph.graph.records import (
    Node,
    NodeRef,
    Relationship,
    RelationshipRef,
)

USED = "\0used relationships"
Hints = Mapping[str, Mapping[str, Expression]]
"""Variable -> property -> constant it must equal, as far as WHERE makes that plain."""


def hints_of(where: Expression | None) -> dict[str, dict[str, Expression]]:
    """The `n.key = constant` conditions that WHERE joins by AND."""
    hints: dict[str, dict[str, Expression]] = {}
    rest = [where] if where is not None else []
    while rest:
        condition = rest.pop()
        if not isinstance(condition, Binary):
            continue
        if condition.operator == "AND":
            rest += [condition.left, condition.right]
        elif condition.operator == "=":
            for side, other in (
                (condition.left, condition.right),
                (condition.right, condition.left),
            ):
                if (
                    isinstance(side, Property)
                    and isinstance(side.base, Variable)
                    and isinstance(other, (Literal, Parameter))
                ):
                    hints.setdefault(side.base.name, {})[side.key] = other
    return hints


def wanted_properties(pattern: Expression | None, row: Row, scope: Scope) -> dict[str, Any]:
    """The map of a pattern, evaluated.

    Raises:
        ClientFailure: the parameter is no map.
    """
    if pattern is None:
        return {}
    value = evaluate(pattern, row, scope)
    if not isinstance(value, dict):
        raise ClientFailure("The properties of a pattern must be a map.")
    return value


def matches(path: PathPattern, row: Row, scope: Scope, hints: Hints) -> Iterator[Row]:
    """Every row that binds `path`, starting from `row`."""
    for node, bound in _match_node(path.nodes[0], row, scope, hints):
        yield from _continue(path, 0, node, bound, scope)


def _continue(path: PathPattern, step: int, node: Node, row: Row, scope: Scope) -> Iterator[Row]:
    if step == len(path.relationships):
        yield row
        return
    pattern = path.relationships[step]
    for relationship, other_id in _steps(pattern, node, row, scope):
        other = scope.transaction.node(other_id)
        if other is None:
            continue
        next_row = {**row, USED: (*row.get(USED, ()), relationship.id)}
        if pattern.variable is not None:
            next_row[pattern.variable] = RelationshipRef(relationship.id)
        bound = _bind_node(path.nodes[step + 1], other, next_row, scope)
        if bound is not None:
            yield from _continue(path, step + 1, other, bound, scope)


def _steps(
    pattern: RelationshipPattern, node: Node, row: Row, scope: Scope
) -> Iterator[tuple[Relationship, int]]:
    wanted = wanted_properties(pattern.properties, row, scope)
    fixed = row.get(pattern.variable) if pattern.variable in row else None
    for relationship in scope.transaction.relationships_of(node.id):
        if pattern.types and relationship.type not in pattern.types:
            continue
        if relationship.id in row.get(USED, ()):
            continue
        if isinstance(fixed, RelationshipRef) and fixed.id != relationship.id:
            continue
        if not _has(relationship.properties, wanted):
            continue
        if pattern.direction != "in" and relationship.start == node.id:
            yield relationship, relationship.end
        if pattern.direction != "out" and relationship.end == node.id:
            if relationship.start == relationship.end and pattern.direction == "any":
                continue
            yield relationship, relationship.start


def _match_node(
    pattern: NodePattern, row: Row, scope: Scope, hints: Hints
) -> Iterator[tuple[Node, Row]]:
    if pattern.variable is not None and pattern.variable in row:
        held = row[pattern.variable]
        node = scope.transaction.node(held.id) if isinstance(held, NodeRef) else None
        bound = _bind_node(pattern, node, row, scope) if node else None
        if node and bound is not None:
            yield node, bound
        return
    wanted = wanted_properties(pattern.properties, row, scope)
    narrowing = dict(wanted)
    for key, value in hints.get(pattern.variable or "", {}).items():
        narrowing.setdefault(key, evaluate(value, row, scope))
    for node in scope.transaction.scan(pattern.labels, narrowing):
        if not wanted or _has(node.properties, wanted):
            yield (
                node,
                (row if pattern.variable is None else {**row, pattern.variable: NodeRef(node.id)}),
            )


def _bind_node(pattern: NodePattern, node: Node, row: Row, scope: Scope) -> Row | None:
    held = row.get(pattern.variable) if pattern.variable is not None else None
    if isinstance(held, NodeRef) and held.id != node.id:
        return None
    if not all(label in node.labels for label in pattern.labels):
        return None
    if not _has(node.properties, wanted_properties(pattern.properties, row, scope)):
        return None
    return row if pattern.variable is None else {**row, pattern.variable: NodeRef(node.id)}


def _has(properties: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    for key, value in wanted.items():
        held = properties.get(key)
        if held is None or value is None or not equal(held, value):
            return False
    return True


def create_path(path: PathPattern, row: Row, scope: Scope) -> Row:
    """The row after everything unbound in `path` was created.

    Raises:
        ClientFailure: a bound node is described again, or a relationship has no single type.
    """
    row = dict(row)
    ids = [_create_node(pattern, row, scope) for pattern in path.nodes]
    for at, pattern in enumerate(path.relationships):
        if len(pattern.types) != 1 or pattern.direction == "any":
            raise ClientFailure("An edge to be created must have one type and one direction.")
        start, end = ids[at], ids[at + 1]
        if pattern.direction == "in":
            start, end = end, start
        created = scope.transaction.create_relationship(
            pattern.types[0], start, end, _storable(pattern.properties, row, scope)
        )
        if pattern.variable is not None:
            row[pattern.variable] = RelationshipRef(created.id)
    return row


def _create_node(pattern: NodePattern, row: Row, scope: Scope) -> int:
    held = row.get(pattern.variable) if pattern.variable is not None else None
    if isinstance(held, NodeRef):
        if pattern.labels or pattern.properties is not None:
            raise ClientFailure(f"Redeclaring variable: {pattern.variable}.")
        return held.id
    node = scope.transaction.create_node(pattern.labels, _storable(pattern.properties, row, scope))
    if pattern.variable is not None:
        row[pattern.variable] = NodeRef(node.id)
    return node.id


def _storable(pattern: Expression | None, row: Row, scope: Scope) -> dict[str, Any]:
    wanted = wanted_properties(pattern, row, scope)
    return {key: storable(value) for key, value in wanted.items() if value is not None}


def storable(value: Any) -> Any:
    """`value` when a property can hold it.

    Raises:
        ClientFailure: nodes, relationships, bytes and large numbers are no property values; dates,
            times and points are, but not here.
    """
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items()}
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ClientFailure("An integer beyond 64 bits cannot be used as a property value.")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if not isinstance(value, (NodeRef, RelationshipRef, bytes)):
        raise unknown_to_stand_in("how to keep dates, times and points")
    raise ClientFailure("This value cannot be used as a property value.")
