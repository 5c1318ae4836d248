"""Replaying changes, and the unique constraints they must keep.

A change is a JSON list: ["node", id, labels, properties], ["rel", id, type, start, end,
properties], ["props", "n"|"r", id, properties], ["labels", id, labels], ["drop-node", id],
["drop-rel", id], ["index"|"constraint", create, label, keys].
Promise: replaying a committed transaction's changes over the same predecessor gives the same graph.
"""

from collections.abc import Iterable
from typing import Any

from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import Change, Node, index_key
from controller.sandbox.memgraph.graph.transaction import Transaction


def replay(transaction: Transaction, changes: Iterable[Change]) -> None:
    """Do the changes again inside `transaction`."""
    for kind, *rest in changes:
        if kind == "node":
            node_id, labels, properties = rest
            transaction.create_node(labels, properties, node_id)
        elif kind == "rel":
            relationship_id, rel_type, start, end, properties = rest
            transaction.create_relationship(rel_type, start, end, properties, relationship_id)
        elif kind == "props":
            transaction.set_properties((rest[0], rest[1]), rest[2])
        elif kind == "labels":
            _relabel(transaction, *rest)
        elif kind in ("drop-node", "drop-rel"):
            _drop(transaction, kind, rest[0])
        else:
            transaction.change_schema([kind, *rest])


def _relabel(transaction: Transaction, node_id: int, labels: list[str]) -> None:
    node = transaction.node(node_id)
    if node is not None:
        transaction.set_labels(node, frozenset(labels))


def _drop(transaction: Transaction, kind: str, entity_id: int) -> None:
    if kind == "drop-node":
        node = transaction.node(entity_id)
        if node is not None:
            transaction.delete_node(node)
        return
    relationship = transaction.relationship(entity_id)
    if relationship is not None:
        transaction.delete_relationship(relationship)


def check_unique(transaction: Transaction) -> None:
    """Refuse a transaction that breaks a unique constraint, its own new ones included.

    Raises:
        ClientFailure: with the constraint's label and keys.
    """
    for label, keys in transaction.store.constraints:
        for node in transaction.nodes.values():
            if node is not None and label in node.labels:
                _check_node(transaction, node, label, keys)
    for change in transaction.changes:
        if change[0] == "constraint" and change[1]:
            _check_existing(transaction, change[2], tuple(change[3]))


def _check_node(transaction: Transaction, node: Node, label: str, keys: tuple[str, ...]) -> None:
    values = [node.properties.get(key) for key in keys]
    if any(value is None for value in values):
        return
    store = transaction.store
    filed = index_key(values[0])
    ids: Iterable[int] = (
        store.labelled(label) if filed is None else store.valued(label, keys[0], filed)
    )
    others = [transaction.nodes.get(i, store.nodes.get(i)) for i in (*ids, *transaction.nodes)]
    for other in others:
        if other is None or other.id == node.id or label not in other.labels:
            continue
        if [other.properties.get(key) for key in keys] == values:
            raise ClientFailure(
                "Unable to commit due to unique constraint violation on "
                f":{label}({', '.join(keys)})"
            )


def _check_existing(transaction: Transaction, label: str, keys: tuple[str, ...]) -> None:
    seen: set[Any] = set()
    for node in transaction.scan((label,), {}):
        values = tuple(index_key(node.properties.get(key)) for key in keys)
        if None in values:
            continue
        if values in seen:
            raise ClientFailure(
                f"Unable to create unique constraint :{label}({', '.join(keys)}), because an "
                "existing node violates it."
            )
        seen.add(values)
