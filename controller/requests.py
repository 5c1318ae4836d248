"""Requests of people as they stand in their ConfigMap: one key each, its value one line of JSON.

Promise: whatever stands there becomes a `Request`; what cannot be understood becomes one with
`trouble`, so that its author is told in the ledger, and never an exception. What a newcomer gets
wrong: whoever may write the ConfigMap is trusted to ask, not to write well. Texts go into the
ledger and the log, so their length and their letters are bounded here; and an unknown field is
refused, for a misspelt `instance` would otherwise mean "anybody".
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from statemachine.observations import Request

VERSION = 1
ENTRIES_MAX = 64  # looked at; as many answers as the ledger's fold remembers
ENTRY_BYTES_MAX = 4096
REASON_CHARS_MAX = 300  # of the sentence for people
AUTHOR_CHARS_MAX = 100
PAUSE_MAX_S = 7 * 86_400.0  # a longer one is forgotten by those who asked for it
ID = re.compile(r"[A-Za-z0-9._-]{1,253}")  # what Kubernetes allows as a key
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}|")


class _Unreadable(ValueError):
    """What is wrong with an entry, for its author."""


def requests_of(data: Mapping[str, str]) -> tuple[Request, ...]:
    """The requests of a ConfigMap, in the order of their ids (which begin with a time); at most
    ENTRIES_MAX of them: later ones are seen when earlier ones are answered and gone."""
    ids = [key for key in sorted(data) if ID.fullmatch(key)]
    return tuple(request_of(key, data[key]) for key in ids[:ENTRIES_MAX])


def request_of(request_id: str, line: str) -> Request:
    """What one entry asks for."""
    try:
        document = _document(line)
    except _Unreadable as error:
        return Request(request_id, "", trouble=clean(str(error), REASON_CHARS_MAX))
    try:
        values = {name: parse(name, document) for name, parse in FIELDS.items()}
        return Request(request_id, **values)
    except _Unreadable as error:
        author, kind = document.get("author"), document.get("kind")
        return Request(
            request_id,
            kind if isinstance(kind, str) and WORD.fullmatch(kind) else "",
            author=clean(author, AUTHOR_CHARS_MAX) if isinstance(author, str) else "",
            trouble=clean(str(error), REASON_CHARS_MAX),
        )


def line_of(request: Request) -> str:
    """The entry's value, from which `request_of` reads the request back. Raises ValueError where
    it could not."""
    document = {
        "kind": request.kind,
        "author": clean(request.author, AUTHOR_CHARS_MAX),
        "reason": clean(request.reason, REASON_CHARS_MAX),
        "instance": request.instance,
        "value": request.value,
        "confirm": request.confirm,
        "for_s": request.for_s,
        "not_before": _time_text(request.not_before_s) if request.not_before_s else "",
        "expires": _time_text(request.expires_s),
    }
    said = {name: value for name, value in document.items() if value}
    line = json.dumps({**said, "v": VERSION}, separators=(",", ":")) + "\n"
    if trouble := request_of(request.id, line).trouble:
        raise ValueError(trouble)
    return line


def clean(text: str, chars_max: int) -> str:
    """The text in one line of printable letters, cut where it is too long."""
    plain = "".join(c if c.isprintable() else " " for c in text)
    return plain if len(plain) <= chars_max else plain[: chars_max - 3] + "..."


def _document(line: str) -> dict[str, Any]:
    if len(line.encode(errors="replace")) > ENTRY_BYTES_MAX:
        raise _Unreadable(f"the entry is above {ENTRY_BYTES_MAX} bytes")
    try:
        found = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _Unreadable(f"the entry is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise _Unreadable("the entry is not a JSON object")
    version = found.get("v")
    if version != VERSION or isinstance(version, bool):
        raise _Unreadable(f"version {version!r} of an entry is not known here, only {VERSION}")
    if unknown := sorted(found.keys() - KNOWN):
        raise _Unreadable(f"unknown field {unknown[0]!r}; known are {', '.join(sorted(KNOWN))}")
    return found


def _word(name: str, document: Mapping[str, Any]) -> str:
    value = document.get(name, "")
    if not isinstance(value, str) or not WORD.fullmatch(value):
        raise _Unreadable(f"{name} is no name: {value!r}")
    return value


def _sentence(chars_max: int) -> Callable[[str, Mapping[str, Any]], str]:
    def parse(name: str, document: Mapping[str, Any]) -> str:
        value = document.get(name, "")
        if not isinstance(value, str):
            raise _Unreadable(f"{name} is no text")
        return clean(value, chars_max)

    return parse


def _length_s(name: str, document: Mapping[str, Any]) -> float:
    value = document.get(name, 0)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= PAUSE_MAX_S:
        raise _Unreadable(f"{name} wants seconds from 0 to {PAUSE_MAX_S:.0f}")
    if document.get("kind") == "pause" and not value:
        raise _Unreadable(f"{name} is missing: a pause ends by itself")
    return float(value)


def _not_before_s(name: str, document: Mapping[str, Any]) -> float:
    return _time_s("not_before", document["not_before"]) if document.get("not_before") else 0.0


def _expires_s(name: str, document: Mapping[str, Any]) -> float:
    if not document.get("expires"):
        raise _Unreadable("expires is missing: nothing is granted long after it was asked for")
    return _time_s("expires", document["expires"])


def _time_s(name: str, value: object) -> float:
    try:
        at = datetime.fromisoformat(value if isinstance(value, str) else "")
        if at.tzinfo is None:
            raise ValueError("no time zone")
        return at.timestamp()
    except (ValueError, OverflowError) as error:
        raise _Unreadable(f"{name} wants a time such as 2026-01-31T12:00:00Z") from error


def _time_text(at_s: float) -> str:
    if not math.isfinite(at_s):
        raise ValueError("a request has to expire")
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds")


FIELDS: Mapping[str, Callable[[str, Mapping[str, Any]], Any]] = {
    "kind": _word,
    "author": _sentence(AUTHOR_CHARS_MAX),
    "reason": _sentence(REASON_CHARS_MAX),
    "instance": _word,
    "value": _word,
    "confirm": _word,
    "for_s": _length_s,
    "not_before_s": _not_before_s,
    "expires_s": _expires_s,
}
NAMED_WITHOUT_UNIT = {"not_before_s": "not_before", "expires_s": "expires"}  # there they are texts
KNOWN = frozenset({"v", *(NAMED_WITHOUT_UNIT.get(name, name) for name in FIELDS)})
