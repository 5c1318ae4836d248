"""Query values to what goes into a RECORD."""

from typing import Any

from controller.sandbox.memgraph.bolt.packstream import Structure
from controller.sandbox.memgraph.graph.records import NodeRef, RelationshipRef
from controller.sandbox.memgraph.graph.transaction import Transaction

NODE_TAG = 0x4E
RELATIONSHIP_TAG = 0x52


def to_bolt(value: Any, transaction: Transaction | None, *, element_ids: bool) -> Any:
    """`value` with nodes and relationships as structures, as the transaction sees them.

    Args:
        element_ids: Bolt 5 adds the ids as strings.
    """
    if isinstance(value, list):
        return [to_bolt(item, transaction, element_ids=element_ids) for item in value]
    if isinstance(value, dict):
        return {k: to_bolt(v, transaction, element_ids=element_ids) for k, v in value.items()}
    if transaction is None or not isinstance(value, (NodeRef, RelationshipRef)):
        return value
    if isinstance(value, NodeRef):
        return _node(value, transaction, element_ids)
    return _relationship(value, transaction, element_ids)


def _node(ref: NodeRef, transaction: Transaction, element_ids: bool) -> Structure:
    node = transaction.node(ref.id)
    labels = sorted(node.labels) if node else []
    fields: tuple[Any, ...] = (ref.id, labels, dict(node.properties) if node else {})
    return Structure(NODE_TAG, (*fields, str(ref.id)) if element_ids else fields)


def _relationship(ref: RelationshipRef, transaction: Transaction, element_ids: bool) -> Structure:
    found = transaction.relationship(ref.id)
    start, end = (found.start, found.end) if found else (-1, -1)
    kind, properties = (found.type, dict(found.properties)) if found else ("", {})
    fields: tuple[Any, ...] = (ref.id, start, end, kind, properties)
    ids = (str(ref.id), str(start), str(end))
    return Structure(RELATIONSHIP_TAG, (*fields, *ids) if element_ids else fields)
