"""SET, REMOVE and DELETE.

Promise: all rows are read before the first change of REMOVE and DELETE; what does not change
anything (a null target, a label that is there) records no change.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from controller.sandbox.memgraph.cypher.evaluate import (
    PAUSE,
    Row,
    Scope,
    evaluate,
    properties_of,
)
from controller.sandbox.memgraph.cypher.patterns import storable
from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Delete,
    Remove,
    SetItem,
    SetLabels,
    SetMap,
    SetProperty,
    Variable,
)
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import Key, NodeRef, RelationshipRef
from controller.sandbox.memgraph.graph.transaction import Transaction

Rows = Iterable[Row]


def assign(clause: Assign, rows: Rows, scope: Scope) -> Iterator[Row]:
    result: list[Row] = []
    yield from _gather(rows, result)
    for row in result:
        apply_items(clause.items, row, scope)
    yield from result


def _gather(rows: Rows, result: list[Row]) -> Iterator[Row]:
    """Fill `result` with all rows, handing on every `PAUSE`."""
    for row in rows:
        if row is PAUSE:
            yield row
        else:
            result.append(row)


def apply_items(items: tuple[SetItem, ...], row: Row, scope: Scope) -> None:
    for item in items:
        if isinstance(item, SetLabels):
            _change_labels(row, item, scope, add=True)
        elif isinstance(item, SetMap):
            _set_map(item, row, scope)
        else:
            _set_property(item, row, scope)


def _set_property(item: SetProperty, row: Row, scope: Scope) -> None:
    target = evaluate(item.target, row, scope)
    if target is None:
        return
    value = storable(evaluate(item.value, row, scope))
    properties = {**properties_of(target, scope), item.key: value}
    scope.transaction.set_properties(_key(target), properties)


def _set_map(item: SetMap, row: Row, scope: Scope) -> None:
    target = evaluate(Variable(item.variable), row, scope)
    if target is None:
        return
    value = evaluate(item.value, row, scope)
    given = value if isinstance(value, dict) else dict(properties_of(value, scope))
    base = dict(properties_of(target, scope)) if item.merge else {}
    scope.transaction.set_properties(_key(target), storable({**base, **given}))


def _change_labels(row: Row, item: SetLabels, scope: Scope, add: bool) -> None:
    target = evaluate(Variable(item.variable), row, scope)
    node = scope.transaction.node(target.id) if isinstance(target, NodeRef) else None
    if node is None:
        return
    named = frozenset(item.labels)
    labels = node.labels | named if add else node.labels - named
    if labels != node.labels:
        scope.transaction.set_labels(node, labels)


def remove(clause: Remove, rows: Rows, scope: Scope) -> Iterator[Row]:
    result: list[Row] = []
    yield from _gather(rows, result)
    for row in result:
        for base, key in clause.properties:
            target = evaluate(base, row, scope)
            if target is not None and key in properties_of(target, scope):
                rest = {**properties_of(target, scope), key: None}
                scope.transaction.set_properties(_key(target), rest)
        for item in clause.labels:
            _change_labels(row, item, scope, add=False)
    yield from result


def delete(clause: Delete, rows: Rows, scope: Scope) -> Iterator[Row]:
    result: list[Row] = []
    yield from _gather(rows, result)
    targets = [evaluate(target, row, scope) for row in result for target in clause.targets]
    transaction = scope.transaction
    for target in targets:
        if isinstance(target, RelationshipRef):
            relationship = transaction.relationship(target.id)
            if relationship is not None:
                transaction.delete_relationship(relationship)
    for target in targets:
        if isinstance(target, NodeRef):
            _delete_node(target, clause.detach, transaction)
        elif target is not None and not isinstance(target, RelationshipRef):
            raise ClientFailure("Only edges and vertices can be deleted.")
    yield from result


def _delete_node(target: NodeRef, detach: bool, transaction: Transaction) -> None:
    node = transaction.node(target.id)
    if node is None:
        return
    if detach:
        for relationship in list(transaction.relationships_of(node.id)):
            transaction.delete_relationship(relationship)
    transaction.delete_node(node)


def _key(target: Any) -> Key:
    return ("n" if isinstance(target, NodeRef) else "r", target.id)
