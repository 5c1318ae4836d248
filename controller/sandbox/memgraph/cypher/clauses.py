"""One clause over rows: rows in, rows out.

Promise: clauses that write are finished before the next one starts; clauses that read are lazy.
`PAUSE` among the rows goes through every clause at once and counts for nothing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from controller.sandbox.memgraph.cypher import projection
from controller.sandbox.memgraph.cypher.evaluate import PAUSE, Row, Scope, evaluate
from controller.sandbox.memgraph.cypher.functions import numbers_of
from controller.sandbox.memgraph.cypher.patterns import (
    USED,
    create_path,
    hints_of,
    matches,
)
from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Call,
    Clause,
    Create,
    Delete,
    Expression,
    Match,
    Merge,
    PathPattern,
    Projection,
    Remove,
    Unwind,
)
from controller.sandbox.memgraph.cypher.updates import apply_items, assign, delete, remove
from controller.sandbox.memgraph.failures import ClientFailure

Rows = Iterable[Row]


def apply(clause: Clause, rows: Rows, scope: Scope) -> Rows:
    """The rows after `clause`."""
    return _RULES[type(clause)](clause, rows, scope)


def names_bound_by(clause: Clause) -> set[str]:
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


def _match(clause: Match, rows: Rows, scope: Scope) -> Iterator[Row]:
    hints = hints_of(clause.where)
    for row in rows:
        if row is PAUSE:
            yield row
            continue
        found = False
        for bound in _bind_paths(clause, 0, {**row, USED: ()}, scope, hints):
            if scope.pace.is_due():
                yield PAUSE
            if clause.where is None or evaluate(clause.where, bound, scope) is True:
                found = True
                yield bound
        if clause.optional and not found:
            yield {**dict.fromkeys(names_bound_by(clause)), **row}


def _bind_paths(
    clause: Match, at: int, row: Row, scope: Scope, hints: Mapping[str, Any]
) -> Iterator[Row]:
    if at == len(clause.paths):
        yield row
        return
    for bound in matches(clause.paths[at], row, scope, hints):
        yield from _bind_paths(clause, at + 1, bound, scope, hints)


def _create(clause: Create, rows: Rows, scope: Scope) -> Iterator[Row]:
    result = []
    for row in rows:
        if row is PAUSE:
            yield row
            continue
        for path in clause.paths:
            row = create_path(path, row, scope)
        result.append(row)
    yield from result


def _merge(clause: Merge, rows: Rows, scope: Scope) -> Iterator[Row]:
    result: list[Row] = []
    for row in rows:
        if row is PAUSE:
            yield row
            continue
        found = list(matches(clause.path, {**row, USED: ()}, scope, {}))
        for bound in found:
            apply_items(clause.on_match, bound, scope)
        if not found:
            bound = create_path(clause.path, row, scope)
            apply_items(clause.on_create, bound, scope)
            found = [bound]
        result += found
    yield from result


def _unwind(clause: Unwind, rows: Rows, scope: Scope) -> Iterator[Row]:
    for row in rows:
        if row is PAUSE:
            yield row
            continue
        for item in _items(clause.source, row, scope):
            if scope.pace.is_due():
                yield PAUSE
            yield {**row, clause.variable: item}


def _items(source: Expression, row: Row, scope: Scope) -> Iterable[Any]:
    """What UNWIND goes over; a range is not written out, however long it is.

    Raises:
        ClientFailure: no list.
    """
    if isinstance(source, Call) and source.name == "range":
        return numbers_of([evaluate(argument, row, scope) for argument in source.arguments])
    items = evaluate(source, row, scope)
    if items is None:
        return ()
    if not isinstance(items, list):
        raise ClientFailure("Argument of UNWIND must be a list.")
    return items


def _project(clause: Projection, rows: Rows, scope: Scope) -> Iterator[Row]:
    skip = _count(clause.skip, scope, "SKIP") or 0
    limit = _count(clause.limit, scope, "LIMIT")
    passed = 0
    for row in projection.project(clause, rows, scope):
        if row is PAUSE:
            yield row
            continue
        passed += 1
        if limit is not None and passed > skip + limit:
            return
        if passed > skip and (clause.where is None or evaluate(clause.where, row, scope) is True):
            yield row


def _count(expression: Any, scope: Scope, name: str) -> int | None:
    if expression is None:
        return None
    value = evaluate(expression, {}, scope)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ClientFailure(f"Number of elements to {name} must be a non-negative integer.")
    return value


_RULES: dict[type[Clause], Callable[[Any, Rows, Scope], Rows]] = {
    Match: _match,
    Create: _create,
    Merge: _merge,
    Assign: assign,
    Remove: remove,
    Delete: delete,
    Unwind: _unwind,
    Projection: _project,
}
