"""Bars as SVG: no library, no script, readable on a light page and on a dark one."""

import math
import statistics
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

from figures import GOALS, NAMES, Rows, number, values
from peers import OURS

WIDTH, BAR, GAP, LEFT, RIGHT, TOP = 760, 14, 14, 250, 110, 34
COLOURS = dict(
    zip(NAMES, ("#8c8c8c", "#1f77b4", "#e08214", "#b35806", "#4d9221", "#7b3294"), strict=True)
)
STYLE = (
    "text{font:12px sans-serif;fill:#555}.t{font-weight:bold;font-size:14px}"
    "@media(prefers-color-scheme:dark){text{fill:#bbb}}"
)
MET, MISSED = "#4d9221", "#c51b7d"

Bars = list[tuple[str, Mapping[str, list[float]]]]  # group -> who -> values

CHARTS: dict[str, tuple[str, Sequence[tuple[str, str]]]] = {
    "requests": (
        "Requests and new connections a second (more is better)",
        (
            ("1 connection", "requests/s, 1 connections"),
            ("16 connections", "requests/s, 16 connections"),
            ("128 connections", "requests/s, 128 connections"),
            ("1000 connections", "requests/s, 1000 connections"),
            ("128 connections, TLS", "TLS requests/s"),
            ("new connections", "new connections/s"),
        ),
    ),
    "latency": (
        "Latency, µs (less is better)",
        (
            ("p50, 1 connection", "p50 us, 1 connection"),
            ("p99 at half load", "p99 us at half load"),
            ("the same, busy controller", "p99 us at half load, busy controller"),
        ),
    ),
    "bulk": ("One stream, MB/s (more is better)", (("down", "MB/s down"), ("up", "MB/s up"))),
    "cut": (
        "From the command until the last session has ended, ms (less is better)",
        (
            ("1000 sessions", "ms to cut 1000"),
            ("1000, busy controller", "ms to cut 1000, busy controller"),
            ("5000 sessions", "ms to cut 5000"),
            ("5000, busy controller", "ms to cut 5000, busy controller"),
        ),
    ),
}


def text(x: float, y: float, what: str, anchor: str = "start", kind: str = "") -> str:
    """One line of it."""
    named = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}"{named}>{escape(what)}</text>'


def bar(x: float, y: float, width: float, colour: str) -> str:
    """A filled one; never so thin that it cannot be seen."""
    size = f'width="{max(width, 1):.1f}" height="{BAR - 2}"'
    return f'<rect x="{x:.1f}" y="{y:.1f}" {size} fill="{colour}"/>'


def page(height: float, title: str, parts: list[str]) -> str:
    """The whole picture."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">'
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    return "\n".join([head, text(10, 20, title, kind="t"), *parts, "</svg>", ""])


def grouped(title: str, bars: Bars) -> str:
    """One bar for each who, one scale in each group; a line from the least to the most."""
    parts, y = [], float(TOP)
    for group, by in bars:
        parts.append(text(10, y + BAR - 3, group))
        most = max(max(found) for found in by.values())
        scale = (WIDTH - LEFT - RIGHT) / most
        for who, found in by.items():
            middle, low, high = statistics.median(found), min(found), max(found)
            parts.append(text(LEFT - 6, y + BAR - 3, who, "end"))
            parts.append(bar(LEFT, y, middle * scale, COLOURS[who]))
            across = f'y1="{y + 6:.1f}" y2="{y + 6:.1f}" stroke="#888"'
            parts.append(
                f'<line x1="{LEFT + low * scale:.1f}" x2="{LEFT + high * scale:.1f}" {across}/>'
            )
            parts.append(text(LEFT + high * scale + 6, y + BAR - 3, number(middle)))
            y += BAR
        y += GAP
    return page(y, title, parts)


def goals(rows: Rows) -> str:
    """How far each goal is reached, on a scale of doublings: right of the line it is met."""
    title = "Ours to the goals: right of the line is better than asked for"
    found = [(goal, some) for goal in GOALS if (some := goal.find(rows, OURS))]
    left, middle, doubling = 330, 470, 60.0
    parts, y = [], float(TOP)
    for goal, some in found:
        length = max(-1.8, min(3.0, math.log2(goal.reached(some)))) * doubling
        colour = MET if goal.is_met(some) else MISSED
        parts.append(text(left, y + BAR - 3, goal.text, "end"))
        parts.append(bar(middle + min(0.0, length), y, abs(length), colour))
        sign = "≥" if goal.is_least else "≤"
        unit = f" {goal.unit}" if goal.unit else ""
        label = f"{number(statistics.median(some))}{unit} ({sign} {goal.bound:g})"
        parts.append(text(WIDTH - 8, y + BAR - 3, label, "end"))
        y += BAR + 6
    parts.append(f'<line x1="{middle}" x2="{middle}" y1="{TOP - 4}" y2="{y:.0f}" stroke="#888"/>')
    return page(y + 6, title, parts)


def draw(rows: Rows) -> dict[str, str]:
    """File name -> picture, of what was measured."""
    pictures = {"goals.svg": goals(rows)}
    for name, (title, lines) in CHARTS.items():
        bars: Bars = []
        for group, what in lines:
            by = {who: some for who in NAMES if (some := values(rows, what, who))}
            if by:
                bars.append((group, by))
        if bars:
            pictures[f"{name}.svg"] = grouped(title, bars)
    return pictures
