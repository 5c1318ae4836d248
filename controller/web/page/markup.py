"""HTML in which a text can never become markup.

Promise: whatever is not `Markup` is escaped when it is put into an element or an attribute, and
characters that would reorder or hide what a person reads are made visible. What a newcomer gets
wrong: only `tag` and `join` make Markup; a text from outside is never turned into it by hand.
"""

import html
import unicodedata
from collections.abc import Iterable

REORDERING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
KEPT_CONTROLS = frozenset("\n\t")
VOID = frozenset({"br", "hr"})  # elements without an end


class Markup(str):
    """A text that is HTML already."""

    __slots__ = ()


def escaped(value: object) -> Markup:
    """The value as text of an element or an attribute."""
    if isinstance(value, Markup):
        return value
    text = "".join(_visible(char) for char in str(value))
    return Markup(html.escape(text, quote=True))


def _visible(char: str) -> str:
    is_control = unicodedata.category(char) == "Cc" and char not in KEPT_CONTROLS
    return "\ufffd" if is_control or char in REORDERING else char


def tag(name: str, *children: object, **attributes: object) -> Markup:
    """An element. `class_` is `class`, `aria_label` is `aria-label`; an attribute that is None or
    False is left out, True stands without a value."""
    words = [name]
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        attribute = key.rstrip("_").replace("_", "-")
        words.append(attribute if value is True else f'{attribute}="{escaped(value)}"')
    if name in VOID:
        return Markup(f"<{' '.join(words)}>")
    return Markup(f"<{' '.join(words)}>{join(children)}</{name}>")


def join(parts: Iterable[object], between: str = "") -> Markup:
    """The parts one after the other."""
    return Markup(between.join(escaped(part) for part in parts))
