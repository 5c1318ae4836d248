"""A transaction: snapshot reads, buffered writes, conflicts found at the write.

Promise: nothing of it is visible before `GraphStore.install`; `changes` is the complete, ordered
list of what it did, which the log and the replicas replay to the same end.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph.failures import CONFLICT, ClientFailure, TransientFailure
from controller.sandbox.memgraph.graph.records import (
    Change,
    Key,
    Node,
    Relationship,
    index_key,
    label_set,
)
from controller.sandbox.memgraph.graph.store import GraphStore


class Transaction:
    """One unit of work over a `GraphStore`, from `start_ts` on."""

    def __init__(self, store: GraphStore, start_ts: int) -> None:
        self.store = store
        self.start_ts = start_ts
        self.nodes: dict[int, Node | None] = {}
        self.relationships: dict[int, Relationship | None] = {}
        self.held: dict[Key, None] = {}
        self.changes: list[Change] = []
        store.opened(self)

    def close(self) -> None:
        """Let go of everything; harmless when repeated."""
        self.store.closed(self)

    # -- reading --------------------------------------------------------------------------------

    def node(self, node_id: int) -> Node | None:
        if node_id in self.nodes:
            return self.nodes[node_id]
        found = self.store.version(("n", node_id), self.start_ts)
        return found if isinstance(found, Node) else None

    def relationship(self, relationship_id: int) -> Relationship | None:
        if relationship_id in self.relationships:
            return self.relationships[relationship_id]
        found = self.store.version(("r", relationship_id), self.start_ts)
        return found if isinstance(found, Relationship) else None

    def scan(self, labels: Iterable[str], equal: Mapping[str, Any]) -> Iterator[Node]:
        """Nodes with all `labels`, in id order; `equal` may narrow the search, never decides."""
        wanted = tuple(labels)
        candidates = self._candidates(wanted, equal)
        for node_id in candidates:
            node = self.node(node_id)
            if node is not None and all(label in node.labels for label in wanted):
                yield node

    def _candidates(self, labels: tuple[str, ...], equal: Mapping[str, Any]) -> list[int]:
        found: Iterable[int] = self.store.nodes
        if labels:
            found = self.store.labelled(labels[0])
            for key, value in equal.items():
                filed = index_key(value)
                if filed is not None:
                    found = self.store.valued(labels[0], key, filed)
                    break
        extra = (*self.store.replaced_ids("n"), *self.nodes)
        return sorted({*found, *extra}) if extra else sorted(found)

    def relationships_of(self, node_id: int) -> Iterator[Relationship]:
        """Relationships that touch a node, in id order."""
        candidates = {
            *self.store.adjacent.get(node_id, ()),
            *self.store.replaced_ids("r"),
            *self.relationships,
        }
        for relationship_id in sorted(candidates):
            found = self.relationship(relationship_id)
            if found is not None and node_id in (found.start, found.end):
                yield found

    # -- writing --------------------------------------------------------------------------------

    def _hold(self, key: Key) -> None:
        if key in self.held:
            return
        holder = self.store.writers.get(key)
        if holder is not None or self.store.changed_since(key, self.start_ts):
            raise TransientFailure(CONFLICT)
        self.store.writers[key] = self
        self.held[key] = None

    def create_node(
        self, labels: Iterable[str], properties: Mapping[str, Any], node_id: int | None = None
    ) -> Node:
        if node_id is None:
            node_id = self.store.next_node_id
            self.store.next_node_id += 1
        kept = dict(properties)
        node = Node(node_id, label_set(tuple(labels)), kept)
        self._hold(("n", node_id))
        self.nodes[node_id] = node
        self.changes.append(["node", node_id, sorted(node.labels), kept])
        return node

    def create_relationship(
        self,
        kind: str,
        start: int,
        end: int,
        properties: Mapping[str, Any],
        relationship_id: int | None = None,
    ) -> Relationship:
        for node_id in {start, end}:
            if self.node(node_id) is None:
                raise ClientFailure("Trying to create an edge between deleted nodes.")
            self._hold(("n", node_id))
        if relationship_id is None:
            relationship_id = self.store.next_relationship_id
            self.store.next_relationship_id += 1
        new = Relationship(relationship_id, kind, start, end, dict(properties))
        self._hold(("r", relationship_id))
        self.relationships[relationship_id] = new
        self.changes.append(["rel", relationship_id, kind, start, end, dict(properties)])
        return new

    def set_properties(self, key: Key, properties: Mapping[str, Any]) -> None:
        """Replace all properties of a node or relationship; nulls are left out."""
        kept = {name: value for name, value in properties.items() if value is not None}
        self._hold(key)
        if key[0] == "n":
            node = self.node(key[1])
            if node is not None:
                self.nodes[node.id] = attrs.evolve(node, properties=kept)
        else:
            relationship = self.relationship(key[1])
            if relationship is not None:
                new = attrs.evolve(relationship, properties=kept)
                self.relationships[relationship.id] = new
        self.changes.append(["props", key[0], key[1], kept])

    def set_labels(self, node: Node, labels: frozenset[str]) -> None:
        self._hold(("n", node.id))
        self.nodes[node.id] = attrs.evolve(node, labels=labels)
        self.changes.append(["labels", node.id, sorted(labels)])

    def delete_relationship(self, relationship: Relationship) -> None:
        for node_id in {relationship.start, relationship.end}:
            self._hold(("n", node_id))
        self._hold(("r", relationship.id))
        self.relationships[relationship.id] = None
        self.changes.append(["drop-rel", relationship.id])

    def delete_node(self, node: Node) -> None:
        """Delete a node without relationships.

        Raises:
            ClientFailure: relationships are still attached.
        """
        if next(self.relationships_of(node.id), None) is not None:
            raise ClientFailure(
                "Failed to remove node because of it's existing connections. Consider using "
                "DETACH DELETE."
            )
        self._hold(("n", node.id))
        self.nodes[node.id] = None
        self.changes.append(["drop-node", node.id])

    def change_schema(self, change: Change) -> None:
        """Record the CREATE or DROP of an index or a constraint; it takes effect at commit."""
        self.changes.append(change)

    def schema_changes(self, store: GraphStore) -> None:
        """Apply the recorded schema changes to the committed state."""
        for change in self.changes:
            if change[0] in ("index", "constraint", "existence"):
                kind, create, label, keys = change
                table = store.schema_table(kind)
                if create:
                    table[label, tuple(keys)] = None
                else:
                    table.pop((label, tuple(keys)), None)
