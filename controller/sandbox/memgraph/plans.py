"""What EXPLAIN shows, and what a query is told about indexes that would help it.

Promise: nothing is run. The names of the steps are Memgraph's, but their number and order are not
imitated: this is the stand-in's own plan, which has no planner. The hints are Memgraph's, for the
first node of a path when it has a name (as in transcript 12).
"""

from collections.abc import Iterator

from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Binary,
    Clause,
    Create,
    Delete,
    Expression,
    IsNull,
    MapOf,
    Match,
    Merge,
    NodePattern,
    Projection,
    Property,
    Query,
    Remove,
    Unwind,
    Variable,
)
from controller.sandbox.memgraph.graph.store import SchemaTable

_FILTERS = frozenset({"=", "<", ">", "<=", ">=", "IN", "STARTS WITH", "=~"})
_SCAN = "Sequential scan will be used on symbol `{}` although there is a filter on labels {}"
_LABEL = "Label index will be used on symbol `{}` although there is also a filter on properties {}"
_BETTER = ". Consider creating a label-property index."


def plan_of(query: Query) -> list[str]:
    """The lines of the plan, as Memgraph indents them."""
    lines: list[str] = []
    for part in query.parts:
        operators = [name for clause in part for name in _operators(clause)]
        lines += [f" * {name}" for name in (*reversed(operators), "Once")]
    return lines


def _operators(clause: Clause) -> Iterator[str]:
    if isinstance(clause, Match):
        for path in clause.paths:
            first = path.nodes[0]
            yield f"ScanAll{'ByLabel' if first.labels else ''} ({first.variable or 'anon'})"
            for _ in path.relationships:
                yield "Expand"
        if clause.where is not None:
            yield "Filter"
    elif isinstance(clause, Create):
        for path in clause.paths:
            yield from ("CreateNode" for _ in path.nodes)
            yield from ("CreateExpand" for _ in path.relationships)
    elif isinstance(clause, Projection):
        yield f"Produce {{{', '.join(column.name for column in clause.columns)}}}"
    else:
        yield _NAMES[type(clause)]


_NAMES: dict[type[Clause], str] = {
    Assign: "SetProperty",
    Delete: "Delete",
    Merge: "Merge",
    Remove: "RemoveProperty",
    Unwind: "Unwind",
}


def index_hints(query: Query, indexes: SchemaTable) -> list[str]:
    """The titles of the PlanHinting notifications."""
    found: list[str] = []
    for part in query.parts:
        bound: set[str | None] = {None}
        for clause in part:
            if not isinstance(clause, Match):
                continue
            for path in clause.paths:
                node = path.nodes[0]
                if node.variable not in bound and node.labels:
                    found += _hints(node, _filtered(node, clause.where), indexes)
                bound |= {other.variable for other in path.nodes}
    return found


def _hints(node: NodePattern, keys: list[str], indexes: SchemaTable) -> Iterator[str]:
    if any((label, (key,)) in indexes for label in node.labels for key in keys):
        return
    properties = ", ".join(keys)
    if any((label, ()) in indexes for label in node.labels):
        if keys:
            yield _LABEL.format(node.variable, properties) + _BETTER
        return
    title = _SCAN.format(node.variable, ", ".join(f":{label}" for label in node.labels))
    if keys:
        yield f"{title} and properties {properties}{_BETTER}"
    else:
        yield f"{title}. Consider creating a label index."


def _filtered(node: NodePattern, where: Expression | None) -> list[str]:
    """The properties of this node that the pattern or WHERE asks for, in their order."""
    found: dict[str, None] = {}
    if isinstance(node.properties, MapOf):
        found |= dict.fromkeys(key for key, _ in node.properties.items)
    rest = [where] if where is not None else []
    while rest:
        condition = rest.pop(0)
        if isinstance(condition, Binary) and condition.operator == "AND":
            rest = [condition.left, condition.right, *rest]
        elif isinstance(condition, Binary) and condition.operator in _FILTERS:
            for side in (condition.left, condition.right):
                _note(side, node, found)
        elif isinstance(condition, IsNull) and condition.negated:
            _note(condition.operand, node, found)
    return list(found)


def _note(side: Expression, node: NodePattern, found: dict[str, None]) -> None:
    base = side.base if isinstance(side, Property) else None
    if isinstance(side, Property) and isinstance(base, Variable) and base.name == node.variable:
        found[side.key] = None
