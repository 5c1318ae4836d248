"""Expressions, by precedence: OR, XOR, AND, NOT, comparison, +-, */%, ^, unary, postfix, atom.

Promise: what parses here has a rule in `evaluate`; anything else is refused with its place.
"""

from controller.sandbox.memgraph.cypher.cursor import Cursor
from controller.sandbox.memgraph.cypher.syntax import (
    Binary,
    Call,
    Case,
    Expression,
    HasLabels,
    IsNull,
    ListOf,
    Literal,
    MapOf,
    Parameter,
    Property,
    Subscript,
    Unary,
    Variable,
)

_COMPARISONS = ("=", "<>", "<", ">", "<=", ">=")
_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}


class ExpressionParser(Cursor):
    """Parses one expression from where the cursor stands."""

    def expression(self) -> Expression:
        left = self._exclusive()
        while self.take_words("OR"):
            left = Binary("OR", left, self._exclusive())
        return left

    def _exclusive(self) -> Expression:
        left = self._conjunction()
        while self.take_words("XOR"):
            left = Binary("XOR", left, self._conjunction())
        return left

    def _conjunction(self) -> Expression:
        left = self._negation()
        while self.take_words("AND"):
            left = Binary("AND", left, self._negation())
        return left

    def _negation(self) -> Expression:
        if self.take_words("NOT"):
            return Unary("NOT", self._negation())
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._predicate()
        result: Expression | None = None
        while self.at_op(*_COMPARISONS):
            operator = self.next().text
            right = self._predicate()
            link = Binary(operator, left, right)
            result = link if result is None else Binary("AND", result, link)
            left = right
        return left if result is None else result

    def _predicate(self) -> Expression:
        left = self._sum()
        while True:
            if self.take_words("IS", "NULL"):
                left = IsNull(left, negated=False)
            elif self.take_words("IS", "NOT", "NULL"):
                left = IsNull(left, negated=True)
            elif self.take_words("IN"):
                left = Binary("IN", left, self._sum())
            elif self.take_words("STARTS", "WITH"):
                left = Binary("STARTS WITH", left, self._sum())
            elif self.take_words("ENDS", "WITH"):
                left = Binary("ENDS WITH", left, self._sum())
            elif self.take_words("CONTAINS"):
                left = Binary("CONTAINS", left, self._sum())
            elif self.take_op("=~"):
                left = Binary("=~", left, self._sum())
            else:
                return left

    def _sum(self) -> Expression:
        left = self._product()
        while self.at_op("+", "-"):
            left = Binary(self.next().text, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._power()
        while self.at_op("*", "/", "%"):
            left = Binary(self.next().text, left, self._power())
        return left

    def _power(self) -> Expression:
        left = self._signed()
        while self.take_op("^"):
            left = Binary("^", left, self._signed())
        return left

    def _signed(self) -> Expression:
        if self.at_op("-", "+"):
            operator = self.next().text
            operand = self._signed()
            if isinstance(operand, Literal) and isinstance(operand.value, (int, float)):
                return Literal(-operand.value if operator == "-" else operand.value)
            return Unary(operator, operand)
        return self._postfix()

    def _postfix(self) -> Expression:
        base = self._atom()
        while True:
            if self.take_op("."):
                base = Property(base, self.expect_name())
            elif self.take_op("["):
                base = Subscript(base, self.expression())
                self.expect_op("]")
            elif self.at_op(":") and isinstance(base, Variable):
                base = HasLabels(base, self.labels())
            else:
                return base

    def _atom(self) -> Expression:
        token = self.token
        if token.kind == "op":
            return self._bracketed()
        if token.kind == "end":
            raise self.unexpected("an expression")
        self.next()
        if token.kind == "int":
            return Literal(int(token.text, 0) if "x" in token.text.lower() else int(token.text))
        if token.kind == "float":
            return Literal(float(token.text))
        if token.kind == "string":
            return Literal(token.text)
        if token.kind == "param":
            return Parameter(token.text)
        if token.word in _CONSTANTS:
            return Literal(_CONSTANTS[token.word])
        if token.word == "CASE":
            return self._case()
        if self.at_op("("):
            return self._call(token.text)
        return Variable(token.text)

    def _case(self) -> Expression:
        subject = None if self.at_words("WHEN") else self.expression()
        branches: list[tuple[Expression, Expression]] = []
        while self.take_words("WHEN"):
            condition = self.expression()
            self.expect_word("THEN")
            branches.append((condition, self.expression()))
        if not branches:
            raise self.unexpected("WHEN")
        default = self.expression() if self.take_words("ELSE") else None
        self.expect_word("END")
        return Case(subject, tuple(branches), default)

    def _bracketed(self) -> Expression:
        if self.take_op("("):
            inner = self.expression()
            self.expect_op(")")
            return inner
        if self.take_op("["):
            return ListOf(self._items("]"))
        if self.at_op("{"):
            return self.map_literal()
        raise self.unexpected("an expression")

    def map_literal(self) -> MapOf:
        """`{key: value, ...}`."""
        self.expect_op("{")
        items: list[tuple[str, Expression]] = []
        while not self.take_op("}"):
            key = self.expect_name()
            self.expect_op(":")
            items.append((key, self.expression()))
            if not self.at_op("}"):
                self.expect_op(",")
        return MapOf(tuple(items))

    def labels(self) -> tuple[str, ...]:
        """`:A:B`, possibly empty."""
        result: list[str] = []
        while self.take_op(":"):
            result.append(self.expect_name())
        return tuple(result)

    def _call(self, name: str) -> Expression:
        self.expect_op("(")
        if self.take_op("*"):
            self.expect_op(")")
            return Call(name.lower(), (), star=True)
        distinct = self.take_words("DISTINCT")
        return Call(name.lower(), self._items(")"), distinct=distinct)

    def _items(self, closing: str) -> tuple[Expression, ...]:
        items: list[Expression] = []
        while not self.take_op(closing):
            items.append(self.expression())
            if not self.at_op(closing):
                self.expect_op(",")
        return tuple(items)
