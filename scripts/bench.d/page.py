"""Writes what was measured into docs/performance.md, and its charts beside it.

Promise: figures.json is all that the page's figures and the charts are made of, so a test can tell
whether they are current.
"""

import json
from pathlib import Path
from typing import Any

from charts import draw
from figures import NAMES, Rows, goal_rows, spread, values

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
JSON = PICTURES / "figures.json"
BEGIN, END = "<!-- figures: ./scripts/bench gateway --docs -->", "<!-- end of the figures -->"


def table(head: list[str], lines: list[list[str]]) -> str:
    """In Markdown; all but the first column to the right."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *lines))


def section(document: dict[str, Any]) -> str:
    """Everything between the two marks."""
    rows: Rows = document["figures"]
    names = [n for n in NAMES if any(n in by for by in rows.values())]
    figures = [[what, *(spread(values(rows, what, n)) for n in names)] for what in rows]
    parts = [
        told(document),
        table(
            ["goal: ours to HAProxy", "wanted", "found", "the same in C", "met"],
            [list(r) for r in goal_rows(rows)],
        ),
        "\n".join(f"![{name}](performance/{name})" for name in draw(rows)),
        table(["", *names], figures),
    ]
    return "\n\n".join(parts)


def told(document: dict[str, Any]) -> str:
    """On what it was measured."""
    machine = document["machine"]
    has = ", ".join(f"{what} {machine[what]}" for what in ("HAProxy", "Go", "Python", "Linux"))
    low, high = min(machine["load"]), max(machine["load"])
    text = (
        f"{has}; {machine['cores']} cores; {document['rounds']} rounds, with a load average of "
        f"{low:.1f} to {high:.1f} as they began (the bench itself makes about 1.5). "
        "Median (least to most)."
    )
    if document["failed"]:
        text += " Without a value: " + "; ".join(document["failed"]) + "."
    return text


def put(text: str, document: dict[str, Any]) -> str:
    """The page with these figures in the place of those before."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{section(document)}\n{END}{after}"


def write(document: dict[str, Any]) -> None:
    """Page, charts, and what they are made of."""
    PICTURES.mkdir(exist_ok=True)
    JSON.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    for name, picture in draw(document["figures"]).items():
        (PICTURES / name).write_text(picture)
    PAGE.write_text(put(PAGE.read_text(), document))
