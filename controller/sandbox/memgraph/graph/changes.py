"""Replaying changes.

A change is a JSON list: ["node", id, labels, properties], ["rel", id, type, start, end,
properties], ["props", "n"|"r", id, properties], ["labels", id, labels], ["drop-node", id],
["drop-rel", id], and the schema changes of `schema`.
Promise: replaying a committed transaction's changes over the same predecessor gives the same graph.
"""

from collections.abc import Iterable

from controller.sandbox.memgraph.graph.records import Change
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
