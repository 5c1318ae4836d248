"""What EXPLAIN shows: the clauses of a query as a list of steps, last one first.

Promise: nothing is run. The names of the steps are Memgraph's, but how many there are and what an
index would change is not imitated: this is the stand-in's own plan, which has no planner.
"""

from collections.abc import Iterator

from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Clause,
    Create,
    Delete,
    Match,
    Merge,
    Projection,
    Query,
    Remove,
    Unwind,
)


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
