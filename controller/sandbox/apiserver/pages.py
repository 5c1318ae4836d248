"""Lists in pages: `limit` and `continue`.

Promise: all pages of one list show the same revision, however the objects change meanwhile. What a
newcomer gets wrong: a token may be forgotten between two pages; the answer is 410, and whoever asks
begins anew.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict

import attrs

from . import errors
from .http import Request
from .objects import Object

OPEN_MAX = 64  # lists that were begun and not read to their end; the oldest is forgotten


@attrs.frozen
class Page:
    """Some objects of a list at `revision`. `token` leads to the next ones, "" when there are none;
    `left` is how many those are."""

    items: list[Object]
    revision: int
    token: str = ""
    left: int = 0


class Pages:
    """Owned by one store."""

    def __init__(self) -> None:
        self._rest: OrderedDict[str, Page] = OrderedDict()

    def forget(self) -> None:
        """Every list that was begun has to be begun anew."""
        self._rest.clear()

    def page(self, request: Request, items: list[Object], revision: int) -> Page:
        """What to answer to a list request for these objects.

        Raises:
            ApiError: 400 for a limit that is no number, 410 for a token that was forgotten.
        """
        limit = request.query.get("limit", "0") or "0"
        if not limit.isdecimal():
            raise errors.bad_request(f'Invalid value: "{limit}": limit is no whole number')
        token = request.query.get("continue", "")
        whole = Page(items, revision)
        if token:
            if token not in self._rest:
                raise errors.continue_expired()
            whole = self._rest[token]
        return self._first(whole, int(limit))

    def _first(self, whole: Page, limit: int) -> Page:
        if not limit or len(whole.items) <= limit:
            return Page(whole.items, whole.revision)
        rest = Page(whole.items[limit:], whole.revision)
        token = secrets.token_urlsafe(12)
        self._rest[token] = rest
        while len(self._rest) > OPEN_MAX:
            self._rest.popitem(last=False)
        return Page(whole.items[:limit], whole.revision, token, len(rest.items))
