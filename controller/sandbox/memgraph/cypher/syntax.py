"""The shapes a parsed query is made of: plain values, nothing else.

Promise: a `Query` is immutable and free of parameters' values, so one parse serves every execution
of the same text.
"""

from __future__ import annotations

from typing import Any

import attrs


class Expression:
    """Anything that has a value in a row."""


@attrs.frozen(eq=False)
class Literal(Expression):
    value: Any


@attrs.frozen(eq=False)
class Parameter(Expression):
    name: str


@attrs.frozen(eq=False)
class Variable(Expression):
    name: str


@attrs.frozen(eq=False)
class Property(Expression):
    base: Expression
    key: str


@attrs.frozen(eq=False)
class HasLabels(Expression):
    base: Expression
    labels: tuple[str, ...]


@attrs.frozen(eq=False)
class Subscript(Expression):
    base: Expression
    index: Expression


@attrs.frozen(eq=False)
class ListOf(Expression):
    items: tuple[Expression, ...]


@attrs.frozen(eq=False)
class MapOf(Expression):
    items: tuple[tuple[str, Expression], ...]


@attrs.frozen(eq=False)
class Unary(Expression):
    operator: str  # -, +, NOT
    operand: Expression


@attrs.frozen(eq=False)
class Binary(Expression):
    operator: str
    left: Expression
    right: Expression


@attrs.frozen(eq=False)
class IsNull(Expression):
    operand: Expression
    negated: bool


@attrs.frozen(eq=False)
class Call(Expression):
    """A function; `star` is count(*), `distinct` only means something to aggregates."""

    name: str
    arguments: tuple[Expression, ...]
    distinct: bool = False
    star: bool = False


@attrs.frozen(eq=False)
class Case(Expression):
    """CASE: with a subject its branches name values, without one conditions."""

    subject: Expression | None
    branches: tuple[tuple[Expression, Expression], ...]
    default: Expression | None


@attrs.frozen(eq=False)
class NodePattern:
    variable: str | None
    labels: tuple[str, ...]
    properties: Expression | None


@attrs.frozen(eq=False)
class RelationshipPattern:
    variable: str | None
    types: tuple[str, ...]
    properties: Expression | None
    direction: str  # out, in, any


@attrs.frozen(eq=False)
class PathPattern:
    """Nodes and the relationships between them: always one node more."""

    nodes: tuple[NodePattern, ...]
    relationships: tuple[RelationshipPattern, ...]


class Clause:
    """One step of a query."""


@attrs.frozen(eq=False)
class Match(Clause):
    paths: tuple[PathPattern, ...]
    where: Expression | None
    optional: bool


@attrs.frozen(eq=False)
class Create(Clause):
    paths: tuple[PathPattern, ...]


@attrs.frozen(eq=False)
class SetProperty:
    target: Expression
    key: str
    value: Expression


@attrs.frozen(eq=False)
class SetMap:
    """SET n = map (replace) or SET n += map (merge)."""

    variable: str
    value: Expression
    merge: bool


@attrs.frozen(eq=False)
class SetLabels:
    variable: str
    labels: tuple[str, ...]


SetItem = SetProperty | SetMap | SetLabels


@attrs.frozen(eq=False)
class Assign(Clause):
    items: tuple[SetItem, ...]


@attrs.frozen(eq=False)
class Remove(Clause):
    properties: tuple[tuple[Expression, str], ...]
    labels: tuple[SetLabels, ...]


@attrs.frozen(eq=False)
class Delete(Clause):
    targets: tuple[Expression, ...]
    detach: bool


@attrs.frozen(eq=False)
class Merge(Clause):
    path: PathPattern
    on_create: tuple[SetItem, ...]
    on_match: tuple[SetItem, ...]


@attrs.frozen(eq=False)
class Unwind(Clause):
    source: Expression
    variable: str


@attrs.frozen(eq=False)
class Column:
    name: str
    value: Expression


@attrs.frozen(eq=False)
class Projection(Clause):
    """WITH or RETURN."""

    columns: tuple[Column, ...]
    star: bool
    distinct: bool
    order: tuple[tuple[Expression, bool], ...]  # expression, descending
    skip: Expression | None
    limit: Expression | None
    where: Expression | None
    returns: bool


@attrs.frozen(eq=False)
class Query:
    """Clauses, and those of further queries joined by UNION.

    Attributes:
        others: each has the same columns.
        keeps_doubles: UNION ALL.
        batch_rows: USING PERIODIC COMMIT, or None.
    """

    clauses: tuple[Clause, ...]
    others: tuple[tuple[Clause, ...], ...] = ()
    keeps_doubles: bool = True
    batch_rows: Expression | None = None

    @property
    def parts(self) -> tuple[tuple[Clause, ...], ...]:
        return (self.clauses, *self.others)

    @property
    def writes(self) -> bool:
        """True when a clause may change the graph; such a query is refused on a replica."""
        return self._has(Create, Assign, Remove, Delete, Merge)

    @property
    def reads(self) -> bool:
        """True when a clause looks at the graph."""
        return self._has(Match, Merge)

    def _has(self, *kinds: type[Clause]) -> bool:
        return any(isinstance(clause, kinds) for part in self.parts for clause in part)
