"""Indexes and constraints: the changes that make them, and what a constraint forbids.

Promise: `check` refuses a transaction that would leave a constraint broken, its own new constraints
included, in Memgraph's words; it runs at the commit, under the engine lock.
A schema change is ["index"|"constraint"|"existence", create, label, keys].
"""

from collections.abc import Iterable
from typing import Any, Protocol

from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import Change, Node, index_key
from controller.sandbox.memgraph.graph.store import GraphStore
from controller.sandbox.memgraph.graph.transaction import Transaction


class Wanted(Protocol):
    """CREATE or DROP of an index or a constraint."""

    @property
    def kind(self) -> str:
        """index, constraint (unique) or existence."""
        ...

    @property
    def create(self) -> bool: ...
    @property
    def label(self) -> str: ...
    @property
    def keys(self) -> tuple[str, ...]: ...


def change_of(graph: GraphStore, wanted: Wanted) -> Change | None:
    """The change record of a statement; None when everything is so already."""
    if ((wanted.label, wanted.keys) in graph.schema_table(wanted.kind)) is wanted.create:
        return None
    return [wanted.kind, wanted.create, wanted.label, list(wanted.keys)]


def check(transaction: Transaction) -> None:
    """Refuse a transaction that breaks a constraint.

    Raises:
        ClientFailure: with the constraint's label and keys.
    """
    store = transaction.store
    for label, keys in store.existence:
        for node in _touched(transaction, label):
            _check_there(node, label, keys[0])
    for label, keys in store.constraints:
        for node in _touched(transaction, label):
            _check_alone(transaction, node, label, keys)
    for change in transaction.changes:
        if change[0] == "constraint" and change[1]:
            _check_all_alone(transaction, change[2], tuple(change[3]))
        elif change[0] == "existence" and change[1]:
            _check_all_there(transaction, change[2], change[3][0])


def _touched(transaction: Transaction, label: str) -> Iterable[Node]:
    return (n for n in transaction.nodes.values() if n is not None and label in n.labels)


def _check_there(node: Node, label: str, key: str) -> None:
    if node.properties.get(key) is None:
        raise ClientFailure(
            f"Unable to commit due to existence constraint violation on :{label}({key})"
        )


def _check_all_there(transaction: Transaction, label: str, key: str) -> None:
    for node in transaction.scan((label,), {}):
        if node.properties.get(key) is None:
            raise ClientFailure(
                f"Unable to create existence constraint :{label}({key}), because an existing node "
                "violates it."
            )


def _check_alone(transaction: Transaction, node: Node, label: str, keys: tuple[str, ...]) -> None:
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


def _check_all_alone(transaction: Transaction, label: str, keys: tuple[str, ...]) -> None:
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
