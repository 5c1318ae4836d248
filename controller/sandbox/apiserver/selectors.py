"""Label and field selectors, read from their query strings.

Promise: a selector is a value; `matches` says whether an object is selected and never raises on
an object of any shape. What cannot be read is refused with 400, never taken for "everything".
"""

from __future__ import annotations

import re

import attrs

from . import errors
from .kinds import Kind
from .objects import Object, look

_SET = re.compile(r"^(?P<key>\S+)\s+(?P<op>in|notin)\s+\((?P<values>[^()]*)\)$")
_EQUALS = re.compile(r"^(?P<key>[^\s=!]+)\s*(?P<op>==|=|!=)\s*(?P<value>[^\s=!]*)$")
_EXISTS = re.compile(r"^(?P<negate>!?)\s*(?P<key>[^\s=!,()]+)$")
# A comma inside the brackets of "key in (a,b)" does not end a requirement.
_COMMA = re.compile(r",(?![^()]*\))")


@attrs.frozen
class Requirement:
    """One term of a selector: the value at `key` is (or, if `negate`, is not) in `values`.

    Empty `values` asks only whether the key is there.
    """

    key: str
    values: frozenset[str]
    negate: bool = False

    def accepts(self, value: str | None) -> bool:
        """Say whether this value, None if absent, satisfies the term."""
        held = value is not None and (not self.values or value in self.values)
        return held is not self.negate


@attrs.frozen
class Selector:
    """What a list or watch wants to see. The empty selector sees everything."""

    namespace: str | None = None
    labels: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()

    def matches(self, obj: Object) -> bool:
        """Say whether the object is selected."""
        meta = obj.get("metadata") or {}
        if self.namespace is not None and meta.get("namespace") != self.namespace:
            return False
        labels = meta.get("labels") or {}
        return all(term.accepts(labels.get(term.key)) for term in self.labels) and all(
            term.accepts(_text(look(obj, term.key))) for term in self.fields
        )


EVERYTHING = Selector()


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _requirement(text: str) -> Requirement:
    if found := _SET.match(text):
        values = frozenset(part.strip() for part in found["values"].split(","))
        return Requirement(found["key"], values, found["op"] == "notin")
    if found := _EQUALS.match(text):
        return Requirement(found["key"], frozenset([found["value"]]), found["op"] == "!=")
    if found := _EXISTS.match(text):
        return Requirement(found["key"], frozenset(), bool(found["negate"]))
    raise errors.bad_request(f'unable to parse requirement: found "{text}"')


def parse_labels(text: str) -> tuple[Requirement, ...]:
    """Read a labelSelector.

    Raises:
        ApiError: 400, for a text that is no selector.
    """
    return tuple(_requirement(part.strip()) for part in _COMMA.split(text) if part.strip())


def parse_fields(text: str, kind: Kind) -> tuple[Requirement, ...]:
    """Read a fieldSelector; only `=`, `==` and `!=` exist here.

    Raises:
        ApiError: 400, for a path that this kind cannot be selected by.
    """
    terms = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        found = _EQUALS.match(part)
        if found is None:
            raise errors.bad_request(f"invalid field selector: {part!r}")
        if found["key"] not in kind.selectable:
            raise errors.bad_request(
                f'Unable to find "{kind.api_version}, Resource={kind.plural}" that match '
                f'field selector "{text}": field label not supported: {found["key"]}'
            )
        terms.append(Requirement(found["key"], frozenset([found["value"]]), found["op"] == "!="))
    return tuple(terms)
