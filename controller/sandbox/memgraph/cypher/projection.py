"""WITH and RETURN: columns, groups, order, DISTINCT.

Promise: rows with equal values of the columns that do not aggregate form a group; without such
columns there is exactly one group, also over no rows.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from controller.sandbox.memgraph.cypher.evaluate import AGGREGATES, PAUSE, Row, Scope, evaluate
from controller.sandbox.memgraph.cypher.functions import Accumulator, hashable
from controller.sandbox.memgraph.cypher.patterns import USED
from controller.sandbox.memgraph.cypher.syntax import Call, Expression, Projection
from controller.sandbox.memgraph.failures import ClientFailure


def project(clause: Projection, rows: Iterable[Row], scope: Scope) -> Iterable[Row]:
    """The projected rows, in order, before SKIP and LIMIT; `PAUSE` in between."""
    aggregates = [call for column in clause.columns for call in aggregates_in(column.value)]
    pairs = _grouped(clause, aggregates, rows, scope) if aggregates else _plain(clause, rows, scope)
    if clause.distinct:
        pairs = _distinct(pairs)
    if clause.order:
        pairs = _sorted(clause, pairs, scope)
    return (projected for _, projected in pairs)


def _plain(clause: Projection, rows: Iterable[Row], scope: Scope) -> Iterator[tuple[Row, Row]]:
    for row in rows:
        if row is PAUSE:
            yield row, row
            continue
        projected = {k: v for k, v in row.items() if k != USED} if clause.star else {}
        for column in clause.columns:
            projected[column.name] = evaluate(column.value, row, scope)
        yield row, projected


def aggregates_in(expression: Any) -> list[Call]:
    """The aggregate calls inside an expression, outermost first."""
    if isinstance(expression, Call) and expression.name in AGGREGATES:
        return [expression]
    found: list[Call] = []
    if isinstance(expression, tuple):
        for item in expression:
            found += aggregates_in(item)
    elif isinstance(expression, Expression):
        for name in getattr(type(expression), "__slots__", ()):
            found += aggregates_in(getattr(expression, name, None))
    return found


class _Group:
    """One group: its first row and an accumulator for each aggregate."""

    def __init__(self, row: Row, aggregates: list[Call]) -> None:
        self.row = row
        self.accumulators = [Accumulator(call.name, call.distinct) for call in aggregates]


def _grouped(
    clause: Projection, aggregates: list[Call], rows: Iterable[Row], scope: Scope
) -> Iterator[tuple[Row, Row]]:
    by = [column.value for column in clause.columns if not aggregates_in(column.value)]
    groups: dict[Any, _Group] = {}
    for row in rows:
        if row is PAUSE:
            yield row, row
            continue
        key = tuple(hashable(evaluate(expression, row, scope)) for expression in by)
        group = groups.get(key)
        if group is None:
            group = groups[key] = _Group(row, aggregates)
        for call, accumulator in zip(aggregates, group.accumulators, strict=True):
            value = True if call.star else _argument(call, row, scope)
            accumulator.add(value)
    if not groups and not by:
        groups[()] = _Group({}, aggregates)
    for group in groups.values():
        results = [accumulator.result() for accumulator in group.accumulators]
        row = {**group.row, **dict(zip(aggregates, results, strict=True))}
        yield row, {column.name: evaluate(column.value, row, scope) for column in clause.columns}


def _argument(call: Call, row: Row, scope: Scope) -> Any:
    if len(call.arguments) != 1:
        raise ClientFailure(f"{call.name.upper()} takes one argument.")
    return evaluate(call.arguments[0], row, scope)


def _distinct(pairs: Iterable[tuple[Row, Row]]) -> Iterator[tuple[Row, Row]]:
    seen: set[Any] = set()
    for row, projected in pairs:
        if row is PAUSE:
            yield row, row
            continue
        mark = tuple(hashable(value) for value in projected.values())
        if mark not in seen:
            seen.add(mark)
            yield row, projected


def _sorted(
    clause: Projection, pairs: Iterable[tuple[Row, Row]], scope: Scope
) -> Iterator[tuple[Row, Row]]:
    result = []
    for pair in pairs:
        if pair[0] is PAUSE:
            yield pair
        else:
            result.append(pair)
    for expression, descending in reversed(clause.order):
        result.sort(
            key=lambda pair, e=expression: _rank(evaluate(e, {**pair[0], **pair[1]}, scope)),  # type: ignore[misc]
            reverse=descending,
        )
    yield from result


_RANKS: dict[type, int] = {dict: 0, list: 3, str: 4, bool: 5, int: 6, float: 6}


def _rank(value: Any) -> tuple[int, Any]:
    """Cypher's order over all values; null is the greatest."""
    if value is None:
        return (9, 0)
    rank = _RANKS.get(type(value))
    if rank is None:
        return (1, value.id)
    if rank == 0:
        return (0, str(sorted(value)))
    return (rank, [_rank(item) for item in value]) if rank == 3 else (rank, value)
