"""Patterns: `(a:A {x: 1})-[r:R]->(b)`, and several of them.

Promise: what parses here can be matched and created by `patterns`; named paths, path functions and
variable length are refused by name.
"""

from controller.sandbox.memgraph.cypher.expression_parser import ExpressionParser
from controller.sandbox.memgraph.cypher.syntax import (
    Expression,
    NodePattern,
    Parameter,
    PathPattern,
    RelationshipPattern,
)
from controller.sandbox.memgraph.failures import unknown_to_stand_in


class PatternParser(ExpressionParser):
    """Parses patterns from where the cursor stands."""

    def paths(self) -> tuple[PathPattern, ...]:
        paths = [self.path()]
        while self.take_op(","):
            paths.append(self.path())
        return tuple(paths)

    def path(self) -> PathPattern:
        nodes = [self._node()]
        relationships: list[RelationshipPattern] = []
        while self.at_op("-", "<"):
            relationships.append(self._relationship())
            nodes.append(self._node())
        return PathPattern(tuple(nodes), tuple(relationships))

    def _node(self) -> NodePattern:
        if self.token.kind == "name" and self.ahead(1).text in ("=", "("):
            raise unknown_to_stand_in("named paths and path functions")
        self.expect_op("(")
        variable = self.expect_name() if self.token.kind in ("name", "quoted") else None
        labels = self.labels()
        properties = self._pattern_properties()
        self.expect_op(")")
        return NodePattern(variable, labels, properties)

    def _relationship(self) -> RelationshipPattern:
        incoming = self.take_op("<")
        self.expect_op("-")
        variable: str | None = None
        types: list[str] = []
        properties: Expression | None = None
        if self.take_op("["):
            variable = self.expect_name() if self.token.kind in ("name", "quoted") else None
            if self.take_op(":"):
                types.append(self.expect_name())
                while self.take_op("|"):
                    self.take_op(":")
                    types.append(self.expect_name())
            if self.at_op("*"):
                raise unknown_to_stand_in("paths of variable length")
            properties = self._pattern_properties()
            self.expect_op("]")
        self.expect_op("-")
        outgoing = self.take_op(">")
        direction = "any" if incoming == outgoing else "in" if incoming else "out"
        return RelationshipPattern(variable, tuple(types), properties, direction)

    def _pattern_properties(self) -> Expression | None:
        if self.at_op("{"):
            return self.map_literal()
        if self.token.kind == "param":
            return Parameter(self.next().text)
        return None
