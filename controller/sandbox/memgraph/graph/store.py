"""The committed graph, its indexes, and the old versions that open transactions still read.

Promise: a transaction sees the graph as it was at its start timestamp. Old versions are kept only
while a transaction is open that is older than the commit which replaced them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from controller.sandbox.memgraph.graph.records import Key, Node, Relationship, index_key

if TYPE_CHECKING:
    from controller.sandbox.memgraph.graph.transaction import Transaction

Record = Node | Relationship | None
SchemaTable = dict[tuple[str, tuple[str, ...]], None]
"""(label, keys), in the order of their creation."""
Bucket = int | dict[int, None]
"""The ids under one index value: a bare id while it is alone, which is the usual case."""


class GraphStore:
    """Nodes, relationships, schema. One per process; a storage snapshot replaces its content."""

    def __init__(self) -> None:
        self.nodes: dict[int, Node] = {}
        self.relationships: dict[int, Relationship] = {}
        self.by_label: dict[str, dict[int, None]] = {}
        self.by_value: dict[tuple[str, str], dict[Any, Bucket]] = {}
        self.adjacent: dict[int, dict[int, None]] = {}
        self.indexes: SchemaTable = {}
        self.constraints: SchemaTable = {}
        self.existence: SchemaTable = {}
        self.next_node_id = 0
        self.next_relationship_id = 0
        self.writers: dict[Key, Transaction] = {}
        self._open: dict[Transaction, int] = {}
        self._old: dict[Key, list[tuple[int, Record]]] = {}
        self._old_order: deque[tuple[int, Key]] = deque()

    # -- transactions ---------------------------------------------------------------------------

    def opened(self, transaction: Transaction) -> None:
        self._open[transaction] = transaction.start_ts

    def closed(self, transaction: Transaction) -> None:
        """Forget a transaction, and the old versions nobody needs any more."""
        if self._open.pop(transaction, None) is None:
            return
        for key in transaction.held:
            self.writers.pop(key, None)
        oldest = min(self._open.values(), default=None)
        while self._old_order and (oldest is None or self._old_order[0][0] <= oldest):
            _, key = self._old_order.popleft()
            versions = self._old[key]
            versions.pop(0)
            if not versions:
                del self._old[key]

    @property
    def open_count(self) -> int:
        return len(self._open)

    # -- reading --------------------------------------------------------------------------------

    def version(self, key: Key, start_ts: int) -> Record:
        """The record as a transaction begun at `start_ts` sees it."""
        for replaced_at, record in self._old.get(key, ()):
            if replaced_at > start_ts:
                return record
        return self.nodes.get(key[1]) if key[0] == "n" else self.relationships.get(key[1])

    def changed_since(self, key: Key, start_ts: int) -> bool:
        versions = self._old.get(key)
        return bool(versions) and versions is not None and versions[-1][0] > start_ts

    def replaced_ids(self, kind: str) -> list[int]:
        """Ids with old versions: candidates that an index of today may not name."""
        return [key[1] for key in self._old if key[0] == kind]

    def labelled(self, label: str) -> Iterable[int]:
        return self.by_label.get(label, ())

    def valued(self, label: str, key: str, value: Any) -> Iterable[int]:
        """Ids of nodes with this label whose property equals an indexable value."""
        bucket = self.by_value.get((label, key), {}).get(value)
        if bucket is None:
            return ()
        return (bucket,) if isinstance(bucket, int) else bucket

    def schema_table(self, kind: str) -> SchemaTable:
        """The table that a schema change of this kind belongs to."""
        if kind == "index":
            return self.indexes
        return self.existence if kind == "existence" else self.constraints

    def counts(self) -> tuple[int, int]:
        return len(self.nodes), len(self.relationships)

    # -- changing -------------------------------------------------------------------------------

    def install(self, transaction: Transaction, commit_ts: int) -> None:
        """Make a transaction's outcome the committed state."""
        keep = any(other is not transaction for other in self._open)
        for key in transaction.held:
            if keep:
                self._keep_old(key, commit_ts)
        for node_id, node in transaction.nodes.items():
            self.put_node(node_id, node)
        for relationship_id, relationship in transaction.relationships.items():
            self.put_relationship(relationship_id, relationship)
        transaction.schema_changes(self)

    def _keep_old(self, key: Key, commit_ts: int) -> None:
        record = self.nodes.get(key[1]) if key[0] == "n" else self.relationships.get(key[1])
        self._old.setdefault(key, []).append((commit_ts, record))
        self._old_order.append((commit_ts, key))

    def put_node(self, node_id: int, node: Node | None) -> None:
        old = self.nodes.get(node_id)
        if old is not None:
            self._unindex(old)
        if node is None:
            self.nodes.pop(node_id, None)
            self.adjacent.pop(node_id, None)
        else:
            self.nodes[node_id] = node
            self._index(node)
        self.next_node_id = max(self.next_node_id, node_id + 1)

    def put_relationship(self, relationship_id: int, new: Relationship | None) -> None:
        old = self.relationships.pop(relationship_id, None)
        if old is not None:
            for node_id in (old.start, old.end):
                self.adjacent.get(node_id, {}).pop(relationship_id, None)
        if new is not None:
            self.relationships[relationship_id] = new
            for node_id in (new.start, new.end):
                self.adjacent.setdefault(node_id, {})[relationship_id] = None
        self.next_relationship_id = max(self.next_relationship_id, relationship_id + 1)

    def _index(self, node: Node) -> None:
        for label in node.labels:
            self.by_label.setdefault(label, {})[node.id] = None
            for key, value in node.properties.items():
                filed = index_key(value)
                if filed is not None:
                    _file(self.by_value.setdefault((label, key), {}), filed, node.id)

    def _unindex(self, node: Node) -> None:
        for label in node.labels:
            self.by_label[label].pop(node.id, None)
            for key, value in node.properties.items():
                filed = index_key(value)
                if filed is not None:
                    _unfile(self.by_value.get((label, key), {}), filed, node.id)

    def all_nodes(self) -> Iterator[int]:
        return iter(list(self.nodes))


def _file(buckets: dict[Any, Bucket], value: Any, node_id: int) -> None:
    bucket = buckets.get(value)
    if bucket is None:
        buckets[value] = node_id
    elif isinstance(bucket, int):
        buckets[value] = {bucket: None, node_id: None}
    else:
        bucket[node_id] = None


def _unfile(buckets: dict[Any, Bucket], value: Any, node_id: int) -> None:
    bucket = buckets.get(value)
    if isinstance(bucket, dict):
        bucket.pop(node_id, None)
        if not bucket:
            del buckets[value]
    elif bucket == node_id:
        del buckets[value]
