"""Query text to tokens.

Promise: each token knows where it stands, so that a column can be named by its own source text and
an error can name its place. Keywords are not known here: `Token.word` is the upper-case form and
the parsers compare it, because Cypher's keywords are also legal names.
"""

import re
from typing import NamedTuple

from controller.sandbox.memgraph.failures import ClientFailure

_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<float>\d+\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\.\d+(?:[eE][+-]?\d+)?)
  | (?P<int>0[xX][0-9a-fA-F]+|\d+)
  | (?P<string>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')
  | (?P<quoted>`(?:``|[^`])*`)
  | (?P<param>\$(?:\w+|`(?:``|[^`])*`))
  | (?P<name>[^\W\d]\w*)
  | (?P<op><>|<=|>=|=~|\+=|\.\.|[-+*/%^=<>(){}\[\],.:;|])
    """,
    re.VERBOSE | re.DOTALL,
)
TOKENS_MAX = 200_000  # a text of a few bytes a token would otherwise take a hundred times its size
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)", re.DOTALL)


class Token(NamedTuple):
    """One word of the query; `start` and `end` are offsets into its text."""

    kind: str  # name, quoted, string, int, float, param, op, end
    text: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The upper-case form when this may be a keyword, else the empty string."""
        return self.text.upper() if self.kind == "name" else ""


def tokens_of(query: str) -> list[Token]:
    """All tokens, then one of kind `end`; a trailing semicolon is dropped.

    Raises:
        ClientFailure: a character that starts no token; more tokens than are taken.
    """
    result: list[Token] = []
    at = 0
    while at < len(query):
        found = _TOKEN.match(query, at)
        if found is None:
            raise syntax_error(query, at, f"token recognition error at: '{query[at]}'")
        kind = found.lastgroup or "op"
        if kind != "space":
            result.append(Token(kind, _content(kind, found.group()), at, found.end()))
            if len(result) > TOKENS_MAX:
                raise ClientFailure("The stand-in does not take a query that long.")
        at = found.end()
    while result and result[-1].text == ";" and result[-1].kind == "op":
        result.pop()
    result.append(Token("end", "<EOF>", len(query), len(query)))
    return result


def syntax_error(query: str, at: int, what: str) -> ClientFailure:
    """The failure for text that is no query, in Memgraph's form."""
    line = query.count("\n", 0, at) + 1
    column = at - (query.rfind("\n", 0, at) + 1) + 1
    return ClientFailure(
        f"Error on line {line} position {column}. The underlying parsing error is {what}"
    )


def _content(kind: str, text: str) -> str:
    if kind == "string":
        return _ESCAPE.sub(_unescape, text[1:-1])
    if kind == "quoted":
        return text[1:-1].replace("``", "`")
    if kind == "param":
        name = text[1:]
        return name[1:-1].replace("``", "`") if name.startswith("`") else name
    return text


def _unescape(found: re.Match[str]) -> str:
    code = found.group(1)
    if code[0] in "uU" and len(code) > 1:
        return chr(int(code[1:], 16))
    return _ESCAPES.get(code, code)
