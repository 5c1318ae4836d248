"""The page about performance says what was measured, and the bench compares as it promises."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]
BENCH = ROOT / "scripts" / "bench.d"
sys.path.insert(0, str(BENCH))
import charts  # noqa: E402
import figures  # noqa: E402
import page  # noqa: E402

PICTURES = ["goals.svg", *(f"{name}.svg" for name in charts.CHARTS)]


@pytest.fixture(scope="module")
def measured() -> dict[str, Any]:
    """What the page is made of."""
    return dict(json.loads(page.JSON.read_text()))


def test_the_page_is_made_of_what_was_measured(measured: dict[str, Any]) -> None:
    """docs/performance.md and the charts say what figures.json says:
    ./scripts/bench gateway --from-json docs/performance/figures.json --docs."""
    text = page.PAGE.read_text()
    assert page.put(text, measured) == text
    for name, picture in charts.draw(measured["figures"]).items():
        assert (page.PICTURES / name).read_text() == picture


@pytest.mark.parametrize("name", PICTURES)
def test_a_chart_is_there_and_shown(name: str) -> None:
    """Each is well-formed, has a title for who cannot see it, and stands on the page."""
    root = ElementTree.parse(page.PICTURES / name).getroot()
    assert root.tag.endswith("svg")
    assert root.findtext("{http://www.w3.org/2000/svg}title")
    assert f"](performance/{name})" in page.PAGE.read_text()


def test_every_goal_was_measured(measured: dict[str, Any]) -> None:
    """No goal is without a value; who it is met by is said, not hidden."""
    rows = figures.goal_rows(measured["figures"])
    assert len(rows) == len(figures.GOALS)
    assert [goal for goal, _, _, _, verdict in rows if verdict == "not measured"] == []


ROWS: figures.Rows = {
    "requests/s, 128 connections": {
        "ours": [90.0, 120.0, None],
        "haproxy": [100.0, 100.0, 100.0],
        "haproxy tuned": [50.0, 50.0, 50.0],
    },
    "ms to cut 1000": {"ours": [20.0], "haproxy": [90.0], "haproxy tuned": [60.0]},
    "p50 us, 1 connection": {"ours": [30.0, 28.0], "direct": [18.0, 20.0]},
}


def test_a_ratio_is_of_one_round_and_to_the_better_haproxy() -> None:
    """Values of the same round are compared, those that are missing left out; less is better in
    some figures, and there the rival is who has less."""
    assert figures.to_haproxy(ROWS, "ours", "requests/s, 128 connections") == [0.9, 1.2]
    assert figures.better_haproxy(ROWS, "ms to cut 1000") == "haproxy tuned"
    found = {goal.text: goal.find(ROWS, "ours") for goal in figures.GOALS}
    assert found["how much faster 1000 are cut"] == [3.0]
    assert found["latency added at 1 connection"] == [12.0, 8.0]
    assert found["TLS requests/s"] == []


@pytest.mark.parametrize(
    ("is_least", "bound", "values", "is_met", "reached"),
    [
        (True, 2.0, [1.0, 3.0, 4.0], True, 1.5),
        (True, 2.0, [1.0, 1.0, 4.0], False, 0.5),
        (False, 50.0, [25.0], True, 2.0),
        (False, 50.0, [100.0], False, 0.5),
    ],
)
def test_a_goal_is_met_by_the_median(
    is_least: bool, bound: float, values: list[float], is_met: bool, reached: float
) -> None:
    """A bound holds for the median; how far it is reached is above 1 when it is met."""
    goal = figures.Goal("any", lambda rows, who: values, bound, is_least)
    assert goal.is_met(values) is is_met
    assert goal.reached(values) == reached


@pytest.mark.parametrize(
    ("found", "in_c", "expected"),
    [
        ([], [3.0], "not measured"),
        ([2.0], [1.0], "yes"),
        ([1.0], [2.0], "**no**; C would"),
        ([1.0], [1.5], "**no**; nor would C"),
        ([1.0], [], "**no**"),
    ],
)
def test_a_missed_goal_says_whether_c_would_meet_it(
    found: list[float], in_c: list[float], expected: str
) -> None:
    """The same design in C tells what is Python's, and what is the machine's."""
    goal = figures.Goal("any", lambda rows, who: [], 2.0, is_least=True)
    assert figures.verdict(goal, found, in_c) == expected


def test_charts_are_drawn_of_whatever_was_measured() -> None:
    """Without a peer, or with a part of the measures, the rest is drawn."""
    pictures = charts.draw(ROWS)
    assert set(pictures) == {"goals.svg", "requests.svg", "latency.svg", "cut.svg"}
    for picture in pictures.values():
        ElementTree.fromstring(picture)


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("cc"), reason="needs a C compiler for the load generator: gcc")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_the_bench_measures(tmp_path: Path) -> None:
    """It starts ours, two replicas and whoever else is installed, and writes what it found."""
    out = tmp_path / "found.json"
    words = [sys.executable, str(BENCH / "compare.py"), "--quick", "--rounds", "1"]
    words += ["--only", "ping1|cut1000|held|reads", "--json", str(out)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(out.read_text())
    assert found["failed"] == []
    ours = {what for what, by in found["figures"].items() if by.get("ours")}
    assert {"p50 us, 1 connection", "ms to cut 1000", "reads/s, 2 to 1"} <= ours
    (ratio,) = found["figures"]["reads/s, 2 to 1"]["ours"]
    assert ratio > 1.3
