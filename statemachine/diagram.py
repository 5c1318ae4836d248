"""The state diagram, drawn from the rule table by `transitions`: for the docs and for audits; on
request with how often each edge was taken, and when last."""

import re
from collections.abc import Mapping
from typing import Any, Literal

from transitions.extensions import GraphMachine

from statemachine.ids import Phase
from statemachine.machine import transition_rows
from statemachine.rules import RULES
from statemachine.uses import NEVER, Edge, Use

MERMAID_EDGE = re.compile(r"^(\s*(\w+) --> (\w+): )(.+)$", re.MULTILINE)


class _Model:
    """What a diagram is drawn of; it has no behaviour."""

    get_graph: Any


def mermaid(taken: Mapping[Edge, Use] | None = None) -> str:
    """The table as a Mermaid state diagram, byte-identical from run to run. `taken`: how often each
    edge was; then the most taken come first."""
    drawn = _draw("mermaid")
    if taken is None:
        return drawn

    def weighed(found: re.Match[str]) -> str:
        head, source, dest, triggers = found.groups()
        edges = [Edge(name, source, dest) for name in dict.fromkeys(triggers.split(" | "))]
        edges.sort(key=lambda edge: -taken.get(edge, NEVER).count)
        return head + " | ".join(f"{e.trigger} {taken.get(e, NEVER).words}" for e in edges)

    return MERMAID_EDGE.sub(weighed, drawn)


def _draw(engine: Literal["mermaid", "graphviz"]) -> str:
    model = _Model()
    GraphMachine(
        model=model,
        states=[phase.value for phase in Phase],
        initial=Phase.BOOTSTRAP.value,
        transitions=[_row(row) for row in transition_rows()],
        auto_transitions=False,
        graph_engine=engine,
        title="memgraph-controller",
    )
    return str(model.get_graph().draw(None)).strip() + "\n"


PAGE = """# The state machine

Drawn from `statemachine/rules.py`, the one table that decisions, replay and these pictures share;
`python -m statemachine docs` writes this page anew. What is not in the table cannot happen.

The phase of the cluster is one of four. BOOTSTRAP: nobody was appointed yet. OPERATIONAL: a main
and another complete copy. DEGRADED: a main without one (writes go on or not, by `DURABILITY`).
FAILOVER: the main changes; nobody may write.

```mermaid
{mermaid}```

Every row, in the order in which rows of one trigger are tried. A guard is a named question; all of
them must say yes, and what each one saw is stored in the event.

{table}
## Guards

{guards}"""


def page() -> str:
    """The docs page: the diagram, the table, and what each guard asks."""
    guards = {guard.__name__: guard for rule in RULES for guard in rule.guards}
    asks = "".join(
        f"- `{name}`: {' '.join((guard.__doc__ or '').split())}\n"
        for name, guard in sorted(guards.items())
    )
    return PAGE.format(mermaid=mermaid(), table=table(), guards=asks)


def _row(row: dict[str, object]) -> dict[str, object]:
    source, dest = row["source"], row["dest"]
    assert isinstance(source, Phase)
    assert isinstance(dest, Phase)
    return {"trigger": row["trigger"], "source": source.value, "dest": dest.value}


def dot(taken: Mapping[Edge, Use] | None = None) -> str:
    """The table in Graphviz' DOT language; guards stand under their trigger. `taken`: how often
    each edge was; then they are as thick, and those that never were are grey."""
    lines = ["digraph memgraph_controller {", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    lines += [f'  "{phase.value}";' for phase in Phase]
    for rule in RULES:
        guards = "".join(f"\\n[{guard.__name__}]" for guard in rule.guards)
        for source in rule.sources:
            edge = Edge(rule.trigger, source.value, rule.target(source).value)
            more = "" if taken is None else _weight(taken.get(edge, NEVER))
            use = "" if taken is None else f"\\n{taken.get(edge, NEVER).words}"
            label = f"{rule.trigger}{use}{guards}"
            lines.append(f'  "{edge.source}" -> "{edge.dest}" [label="{label}"{more}];')
    return "\n".join([*lines, "}"]) + "\n"


def _weight(use: Use) -> str:
    return f", penwidth={use.count.bit_length()}" if use.count else ", color=gray, fontcolor=gray"


def table() -> str:
    """The table in Markdown, one row a rule."""
    head = "| trigger | from | to | guards | |\n|---|---|---|---|---|\n"
    rows = []
    for rule in RULES:
        sources = (
            "any"
            if len(rule.sources) == len(Phase)
            else ", ".join(source.value for source in rule.sources)
        )
        guards = ", ".join(guard.__name__ for guard in rule.guards)
        dest = rule.dest.value if rule.dest else "same"
        rows.append(f"| `{rule.trigger}` | {sources} | {dest} | {guards} | {rule.note} |\n")
    return head + "".join(rows)
