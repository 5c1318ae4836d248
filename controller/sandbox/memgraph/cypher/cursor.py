"""A place in a list of tokens, with the few moves both parsers make."""

from controller.sandbox.memgraph.cypher.lexer import Token, syntax_error, tokens_of
from controller.sandbox.memgraph.failures import ClientFailure


class Cursor:
    """Reads tokens from left to right; every `take_*` moves on, every `at_*` only looks."""

    def __init__(self, query: str) -> None:
        self.query = query
        self.tokens = tokens_of(query)
        self.position = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.position]

    def ahead(self, steps: int) -> Token:
        """The token `steps` further on; the end token beyond the end."""
        return self.tokens[min(self.position + steps, len(self.tokens) - 1)]

    def next(self) -> Token:
        token = self.token
        if token.kind != "end":
            self.position += 1
        return token

    def at_op(self, *texts: str) -> bool:
        return self.token.kind == "op" and self.token.text in texts

    def at_words(self, *words: str) -> bool:
        """True when exactly these keywords follow, in this order."""
        return all(self.ahead(i).word == word for i, word in enumerate(words))

    def take_op(self, text: str) -> bool:
        if self.at_op(text):
            self.position += 1
            return True
        return False

    def take_words(self, *words: str) -> bool:
        if self.at_words(*words):
            self.position += len(words)
            return True
        return False

    def expect_op(self, text: str) -> None:
        if not self.take_op(text):
            raise self.unexpected(f"'{text}'")

    def expect_word(self, word: str) -> None:
        if not self.take_words(word):
            raise self.unexpected(word)

    def expect_name(self) -> str:
        """A symbolic name: identifier, keyword or back-ticked."""
        if self.token.kind not in ("name", "quoted"):
            raise self.unexpected("a name")
        return self.next().text

    def expect_end(self) -> None:
        if self.token.kind != "end":
            raise self.unexpected("<EOF>")

    def unexpected(self, expected: str) -> ClientFailure:
        """The failure that says what stands here and what was wanted."""
        token = self.token
        return syntax_error(
            self.query,
            token.start,
            f"mismatched input '{token.text}' expecting {{{expected}}} (stand-in)",
        )
