"""The state diagram as an SVG: phases and edges from the rule table, the present phase lit.

Promise: an edge is drawn for every pair of phases that some rule of the table joins, and for no
other; the last one taken stands out. Everything that colour tells is said in words beside it.
"""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from math import hypot, log2

from attrs import frozen

from controller.web.page.markup import Markup, join, tag
from controller.web.page.words import plain
from statemachine.ids import Phase
from statemachine.rules import RULES

WIDTH, HEIGHT = 640, 250
BOX_WIDTH, BOX_HEIGHT = 138, 46
CENTRES = {
    Phase.BOOTSTRAP: (79, 125),
    Phase.OPERATIONAL: (320, 33),
    Phase.DEGRADED: (320, 217),
    Phase.FAILOVER: (561, 125),
}
STYLE = Markup(
    "svg{background:#fff;font-family:sans-serif}"
    ".box rect{fill:#f7f7f5;stroke:#545b63}"
    ".box.lit rect{fill:#e3edf9;stroke:#1d4f91;stroke-width:4}"
    ".box text{text-anchor:middle;font-size:15px;fill:#1b1f23}"
    ".edge path{fill:none;stroke:#545b63}.edge.last path{stroke:#1b1f23;stroke-width:3.2}"
)
Way = tuple[str, str]
BEND = 26.0  # how far an edge bows out, so that two ways between two phases stand apart


@frozen
class Edge:
    """One way from a phase to another, and the triggers that lead along it."""

    source: Phase
    dest: Phase
    triggers: tuple[str, ...]

    @property
    def way(self) -> Way:
        """The names of its two ends."""
        return self.source.value, self.dest.value


@cache
def edges() -> tuple[Edge, ...]:
    """Every way of the table that leaves its phase."""
    found: dict[tuple[Phase, Phase], dict[str, None]] = {}
    for rule in RULES:
        for source in rule.sources:
            if rule.target(source) is not source:
                found.setdefault((source, rule.target(source)), {})[rule.trigger] = None
    return tuple(Edge(source, dest, tuple(names)) for (source, dest), names in found.items())


def picture(phase: str, lines: Sequence[str]) -> Markup:
    """The diagram, and the ways out of the present phase in words."""
    return join((drawing(phase, lines), ways_out(phase)))


def diagram_svg(phase: str, lines: Sequence[str], *, is_weighed: bool = False) -> str:
    """The diagram as a file of its own, in one set of colours. `is_weighed`: each way as thick as
    it was often taken in these lines, with the number beside it."""
    counts = _counts(lines) if is_weighed else None
    return drawing(phase, lines, tag("style", STYLE), counts, xmlns="http://www.w3.org/2000/svg")


def drawing(
    phase: str,
    lines: Sequence[str],
    style: Markup | str = "",
    counts: Counter[Way] | None = None,
    xmlns: str | None = None,
) -> Markup:
    """The diagram alone."""
    taken = last_edge(lines)
    drawn = [_edge(edge, edge.way == taken, counts) for edge in edges()]
    boxes = [_box(each, each.value == phase) for each in Phase]
    last = f" The last way taken was from {taken[0]} to {taken[1]}." if taken else ""
    return tag(
        "svg",
        tag("title", f"State diagram: the phase is {phase}.{last}", id="diagram-title"),
        style,
        _arrow_heads(),
        *drawn,
        *boxes,
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby="diagram-title",
        class_="diagram",
        xmlns=xmlns,
    )


def ways_out(phase: str) -> Markup:
    """What may happen next, from the table."""
    items = [
        tag("li", tag("strong", edge.dest.value), ": ", ", ".join(map(plain, edge.triggers)))
        for edge in edges()
        if edge.source.value == phase
    ]
    head = tag("h3", f"Ways out of {phase}")
    page = tag("a", "The whole table as text", href="/api/v1/diagram.mmd")
    return join((head, tag("ul", *items, class_="ways"), tag("p", page)))


def last_edge(lines: Sequence[str]) -> tuple[str, str] | None:
    """The last change of phase in these lines of the verified ledger."""
    for line in reversed(lines):
        entry = json.loads(line)
        if entry["from"] != entry["to"]:
            return entry["from"], entry["to"]
    return None


def _box(phase: Phase, is_present: bool) -> Markup:
    x, y = CENTRES[phase]
    left, top = x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2
    body = tag("rect", x=left, y=top, width=BOX_WIDTH, height=BOX_HEIGHT, rx=8)
    name = tag("text", phase.value, x=x, y=y + 5)
    lit = f" lit {phase.value.lower()}" if is_present else ""
    return tag("g", body, name, class_=f"box{lit}")


def _counts(lines: Sequence[str]) -> Counter[Way]:
    """How often each way was taken."""
    entries = map(json.loads, lines)
    return Counter((e["from"], e["to"]) for e in entries if e["from"] != e["to"])


def _edge(edge: Edge, is_last: bool, counts: Counter[Way] | None) -> Markup:
    """A bow from border to border."""
    (x1, y1), (x2, y2) = CENTRES[edge.source], CENTRES[edge.dest]
    length = hypot(x2 - x1, y2 - y1)
    across, down = (y1 - y2) / length * BEND, (x2 - x1) / length * BEND
    bend = ((x1 + x2) / 2 + across, (y1 + y2) / 2 + down)
    begin, end = _border(edge.source, bend), _border(edge.dest, bend)
    way = f"M {begin[0]:.1f} {begin[1]:.1f} Q {bend[0]:.1f} {bend[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    says = f"{edge.source.value} to {edge.dest.value}: {', '.join(map(plain, edge.triggers))}"
    head = "url(#head-last)" if is_last else "url(#head)"
    if counts is None:
        drawn, number = tag("path", tag("title", says), d=way, marker_end=head), Markup("")
    else:
        count = counts[edge.way]
        width = f"stroke-width:{1 + log2(1 + count):.1f}"
        title = tag("title", f"{says}; taken {count} times")
        drawn = tag("path", title, d=way, marker_end=head, style=width)
        number = tag("text", f"{count}x", x=round(bend[0]), y=round(bend[1]), font_size=12)
    return tag("g", drawn, number, class_="edge last" if is_last else "edge")


def _border(phase: Phase, towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of a box towards a point leaves the box."""
    x, y = CENTRES[phase]
    dx, dy = towards[0] - x, towards[1] - y
    by_width = BOX_WIDTH / 2 / abs(dx) if dx else float("inf")
    by_height = BOX_HEIGHT / 2 / abs(dy) if dy else float("inf")
    part = min(by_width, by_height)
    return x + dx * part, y + dy * part


def _arrow_heads() -> Markup:
    heads = [
        tag("marker", tag("path", d="M 0 0 L 8 4 L 0 8 z"), id=name, class_=name, refX=7, refY=4,
            markerWidth=8, markerHeight=8, markerUnits="userSpaceOnUse", orient="auto")
        for name in ("head", "head-last")
    ]  # fmt: skip
    return tag("defs", *heads)
