"""Clauses over rows.

Promise: `execute` returns the columns' names, the rows and what was changed, or raises a `Failure`
and leaves the transaction to be thrown away. Clauses that write are finished before the next one
starts; clauses that read are lazy.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import attrs

from controller.sandbox.memgraph.cypher import projection
from controller.sandbox.memgraph.cypher.evaluate import Row, Scope, evaluate
from controller.sandbox.memgraph.cypher.patterns import (
    USED,
    create_path,
    hints_of,
    matches,
)
from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Clause,
    Create,
    Delete,
    Match,
    Merge,
    PathPattern,
    Projection,
    Query,
    Remove,
    Unwind,
)
from controller.sandbox.memgraph.cypher.updates import apply_items, assign, delete, remove
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import Change
from controller.sandbox.memgraph.graph.transaction import Transaction

Rows = Iterable[Row]


@attrs.frozen
class Outcome:
    """What a query gave back; `stats` is empty when nothing changed."""

    rows: list[list[Any]]
    stats: Mapping[str, int]


def columns_of(query: Query) -> list[str]:
    """The names of the result's columns, known before anything runs.

    `RETURN *` takes every variable bound so far, by name.
    """
    last = query.clauses[-1]
    if not isinstance(last, Projection):
        return []
    names = [column.name for column in last.columns]
    return sorted(_variables(query)) + names if last.star else names


def execute(query: Query, parameters: Mapping[str, Any], transaction: Transaction) -> Outcome:
    """Run a query inside a transaction, without committing it."""
    scope = Scope(parameters, transaction)
    rows: Rows = [{}]
    before = len(transaction.changes)
    for clause in query.clauses:
        rows = _CLAUSES[type(clause)](clause, rows, scope)
    names = columns_of(query)
    if names:
        result = [[row.get(name) for name in names] for row in rows]
    else:
        result = []
        for _ in rows:
            pass
    return Outcome(result, _stats(transaction.changes[before:]))


def _match(clause: Match, rows: Rows, scope: Scope) -> Iterator[Row]:
    hints = hints_of(clause.where)
    for row in rows:
        found = False
        for bound in _bind_paths(clause, 0, {**row, USED: ()}, scope, hints):
            if clause.where is None or evaluate(clause.where, bound, scope) is True:
                found = True
                yield bound
        if clause.optional and not found:
            yield {**dict.fromkeys(_names(clause)), **row}


def _bind_paths(
    clause: Match, at: int, row: Row, scope: Scope, hints: Mapping[str, Any]
) -> Iterator[Row]:
    if at == len(clause.paths):
        yield row
        return
    for bound in matches(clause.paths[at], row, scope, hints):
        yield from _bind_paths(clause, at + 1, bound, scope, hints)


def _names(clause: Clause) -> set[str]:
    """The variables a clause may bind."""
    if isinstance(clause, Unwind):
        return {clause.variable}
    paths: tuple[PathPattern, ...] = ()
    if isinstance(clause, Merge):
        paths = (clause.path,)
    elif isinstance(clause, (Match, Create)):
        paths = clause.paths
    names = {node.variable for path in paths for node in path.nodes}
    names |= {step.variable for path in paths for step in path.relationships}
    return {name for name in names if name is not None}


def _variables(query: Query) -> set[str]:
    bound: set[str] = set()
    for clause in query.clauses[:-1]:
        if isinstance(clause, Projection):
            kept = bound if clause.star else set()
            bound = kept | {column.name for column in clause.columns}
        else:
            bound |= _names(clause)
    return bound


def _create(clause: Create, rows: Rows, scope: Scope) -> list[Row]:
    result = []
    for row in rows:
        for path in clause.paths:
            row = create_path(path, row, scope)
        result.append(row)
    return result


def _merge(clause: Merge, rows: Rows, scope: Scope) -> list[Row]:
    result: list[Row] = []
    for row in rows:
        found = list(matches(clause.path, {**row, USED: ()}, scope, {}))
        for bound in found:
            apply_items(clause.on_match, bound, scope)
        if not found:
            bound = create_path(clause.path, row, scope)
            apply_items(clause.on_create, bound, scope)
            found = [bound]
        result += found
    return result


def _unwind(clause: Unwind, rows: Rows, scope: Scope) -> Iterator[Row]:
    for row in rows:
        items = evaluate(clause.source, row, scope)
        if items is None:
            continue
        if not isinstance(items, list):
            raise ClientFailure("Argument of UNWIND must be a list.")
        for item in items:
            yield {**row, clause.variable: item}


def _project(clause: Projection, rows: Rows, scope: Scope) -> Iterable[Row]:
    skip = _count(clause.skip, scope, "SKIP")
    limit = _count(clause.limit, scope, "LIMIT")
    result = projection.project(clause, rows, scope)
    stop = None if limit is None else (skip or 0) + limit
    result = islice(result, skip or 0, stop)
    if clause.where is None:
        return result
    where = clause.where
    return (row for row in result if evaluate(where, row, scope) is True)


def _count(expression: Any, scope: Scope, name: str) -> int | None:
    if expression is None:
        return None
    value = evaluate(expression, {}, scope)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ClientFailure(f"Number of elements to {name} must be a non-negative integer.")
    return value


def _stats(changes: list[Change]) -> dict[str, int]:
    if not changes:
        return {}
    names = {
        "node": "nodes-created",
        "drop-node": "nodes-deleted",
        "rel": "relationships-created",
        "drop-rel": "relationships-deleted",
        "props": "properties-set",
        "labels": "labels-added",
    }
    stats = {**dict.fromkeys(names.values(), 0), "labels-removed": 0}
    for change in changes:
        stats[names[change[0]]] += 1
        if change[0] == "node":
            stats["labels-added"] += len(change[2])
    return stats


_CLAUSES: dict[type[Clause], Callable[[Any, Rows, Scope], Rows]] = {
    Match: _match,
    Create: _create,
    Merge: _merge,
    Assign: assign,
    Remove: remove,
    Delete: delete,
    Unwind: _unwind,
    Projection: _project,
}
