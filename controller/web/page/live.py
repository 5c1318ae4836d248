"""The page as a whole, and its parts as they change.

Promise: however many people look, the parts are rendered at most once in `FRESH_S`, for the process
has better things to do.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from string import Template

from attrs import frozen

from controller.web.page import sections as s
from controller.web.page.markup import Markup, escaped
from controller.web.page.picture import picture
from controller.web.page.timeline import timeline
from controller.web.snapshot import Snapshot, SnapshotSource
from controller.web.status import status_document

FRESH_S = 0.4
ASSETS = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}


@frozen
class Parts:
    """Id of an element -> its content. `said` is one sentence, `at` wall time, for people."""

    at: str
    said: str
    html: Mapping[str, Markup]


def wall() -> datetime:
    """Now, for people."""
    return datetime.now(UTC)


class LivePage:
    """Renders pictures of the source; keeps the last one for a moment."""

    def __init__(self, source: SnapshotSource, now: Callable[[], datetime] = wall) -> None:
        self._source, self._now = source, now
        self._last: Parts | None = None
        self._last_s = float("-inf")
        self._history: tuple[tuple[int, str], Markup] = ((-1, ""), Markup())

    def parts(self) -> Parts:
        """What is true now, or was a moment ago."""
        snapshot = self._source()
        if self._last is None or snapshot.now_s - self._last_s >= FRESH_S:
            self._last, self._last_s = self._render(snapshot), snapshot.now_s
        return self._last

    def page(self) -> str:
        """The whole document."""
        parts = self.parts()
        values = {name.replace("-", "_"): html for name, html in parts.html.items()}
        return Template(asset("page.html")).substitute(
            values, at=escaped(parts.at), said=escaped(parts.said)
        )

    def _render(self, snapshot: Snapshot) -> Parts:
        now = self._now()
        status, lines = status_document(snapshot, now), snapshot.ledger_lines
        html = {
            "headline": s.headline(status),
            "problems": s.problems(status),
            "instances": s.instances(status),
            "gateways": s.gateways(status),
            "refusals": s.refusals(status),
            "last-change": s.last_change(status),
            "asked": s.asked(status),
            "diagram": picture(status["phase"], lines),
            "timeline": self._timeline(snapshot),
        }
        return Parts(now.strftime("%Y-%m-%d %H:%M:%S UTC"), s.sentence(status), html)

    def _timeline(self, snapshot: Snapshot) -> Markup:
        """Rendered anew only when the ledger went on."""
        key = (len(snapshot.told_lines), snapshot.ledger_head)
        if self._history[0] != key or not snapshot.ledger_head:
            self._history = (key, timeline(snapshot.told_lines))
        return self._history[1]


@cache
def asset(name: str) -> str:
    """A file that ships with this room."""
    return (files(__package__) / name).read_text()
