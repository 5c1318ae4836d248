"""A whole query over a transaction.

Promise: `steps` yields None whenever the query should pause and an `Outcome` at its end, or raises
a `Failure` and leaves the transaction to be thrown away.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs

from controller.sandbox.memgraph.cypher.clauses import apply, names_bound_by
from controller.sandbox.memgraph.cypher.evaluate import PAUSE, Row, Scope
from controller.sandbox.memgraph.cypher.functions import hashable
from controller.sandbox.memgraph.cypher.syntax import Clause, Projection, Query
from controller.sandbox.memgraph.failures import ClientFailure
from controller.sandbox.memgraph.graph.records import Change

ROWS_MAX = 2_000_000  # the real database streams its rows; these are held until they are fetched


@attrs.frozen
class Outcome:
    """What a query gave back; `stats` is empty when nothing changed."""

    rows: list[list[Any]]
    stats: Mapping[str, int]


def columns_of(query: Query) -> list[str]:
    """The names of the result's columns, known before anything runs.

    `RETURN *` takes every variable bound so far, by name.
    """
    return columns_of_part(query.clauses)


def columns_of_part(clauses: tuple[Clause, ...]) -> list[str]:
    """The same for one of the queries that UNION joins."""
    last = clauses[-1]
    if not isinstance(last, Projection):
        return []
    names = [column.name for column in last.columns]
    return sorted(_variables(clauses)) + names if last.star else names


def steps(query: Query, scope: Scope, begin_with: Row | None = None) -> Iterator[Outcome | None]:
    """Run a query inside the scope's transaction, without committing it.

    Args:
        begin_with: variables that are bound before the first clause (a trigger's).
    """
    changes = scope.transaction.changes
    before = len(changes)
    result: list[list[Any]] = []
    names = columns_of(query)
    for clauses in query.parts:
        rows: Iterable[Row] = [dict(begin_with or {})]
        for clause in clauses:
            rows = apply(clause, rows, scope)
        for row in rows:
            if row is PAUSE:
                yield None
            elif names:
                result.append([row.get(name) for name in names])
                if len(result) > ROWS_MAX:
                    raise ClientFailure("The stand-in does not hold a result that long.")
    if not query.keeps_doubles:
        result = list({hashable(row): row for row in reversed(result)}.values())[::-1]
    yield Outcome(result, stats_of(changes[before:]))


def execute(query: Query, scope: Scope, begin_with: Row | None = None) -> Outcome:
    """The outcome of a query that nobody has to wait for: all its steps at once."""
    for outcome in steps(query, scope, begin_with):
        if outcome is not None:
            return outcome
    raise AssertionError("a query has an outcome")


def _variables(clauses: tuple[Clause, ...]) -> set[str]:
    bound: set[str] = set()
    for clause in clauses[:-1]:
        if isinstance(clause, Projection):
            kept = bound if clause.star else set()
            bound = kept | {column.name for column in clause.columns}
        else:
            bound |= names_bound_by(clause)
    return bound


def stats_of(changes: list[Change]) -> dict[str, int]:
    """The counters of a summary; empty when nothing changed."""
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
