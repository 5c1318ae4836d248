"""Clauses and patterns.

Promise: `parse` returns a `Query` or raises a `ClientFailure` with the place; queries are cached by
text, because drivers send the same text with other parameters.
"""

from functools import lru_cache

from controller.sandbox.memgraph.cypher.executor import columns_of_part
from controller.sandbox.memgraph.cypher.pattern_parser import PatternParser
from controller.sandbox.memgraph.cypher.syntax import (
    Assign,
    Clause,
    Column,
    Create,
    Delete,
    Expression,
    HasLabels,
    Match,
    Merge,
    Projection,
    Property,
    Query,
    Remove,
    SetItem,
    SetLabels,
    SetMap,
    SetProperty,
    Unwind,
    Variable,
)
from controller.sandbox.memgraph.failures import ClientFailure, unknown_to_stand_in

STATEMENT_WORDS = (
    "ADD, ALTER, ANALYZE, CALL, CHECK, CLEAR, DATA, DEMOTE, DENY, DISABLE, DROP, DUMP, EDGE, "
    "ENABLE, FORCE, FOREACH, FREE, GRANT, LOAD, LOCK, RECOVER, REGISTER, RENAME, REVOKE, START, "
    "STOP, STORAGE, TERMINATE, UNLOCK, UNREGISTER, UPDATE, USE, USING, YIELD, CREATE, DELETE, "
    "DETACH, EXPLAIN, MATCH, MERGE, OPTIONAL, PROFILE, REMOVE, RETURN, SET, SHOW, UNWIND, WITH"
)
"""What the real parser says that it expected where a statement begins (seen on 3.6.1)."""
PARSED_QUERIES_MAX = 512  # distinct texts kept
PARSED_CHARS_MAX = 10_000  # longer ones are written by programs, and seldom twice


def parse(text: str) -> Query:
    """The query of `text`.

    Raises:
        ClientFailure: not Cypher, or Cypher that the stand-in does not know.
    """
    return _remembered(text) if len(text) <= PARSED_CHARS_MAX else _parse(text)


def _parse(text: str) -> Query:
    return ClauseParser(text).query_of_text()


_remembered = lru_cache(maxsize=PARSED_QUERIES_MAX)(_parse)


class ClauseParser(PatternParser):
    """Parses a whole query."""

    def query_of_text(self) -> Query:
        """The whole text: clauses, and more of them after UNION."""
        batch_rows = None
        if self.take_words("USING", "PERIODIC", "COMMIT"):
            batch_rows = self.expression()
        elif self.at_words("USING"):
            raise unknown_to_stand_in("USING with anything but PERIODIC COMMIT")
        parts = [self._single_query()]
        kinds: set[bool] = set()
        while self.take_words("UNION"):
            kinds.add(self.take_words("ALL"))
            parts.append(self._single_query())
        self.expect_end()
        if len(kinds) > 1:
            raise ClientFailure("Invalid combination of UNION and UNION ALL.")
        if len({tuple(columns_of_part(part)) for part in parts}) > 1:
            raise ClientFailure("All subqueries in an UNION must have the same column names.")
        return Query(parts[0], tuple(parts[1:]), kinds != {False}, batch_rows)

    def _single_query(self) -> tuple[Clause, ...]:
        clauses: list[Clause] = []
        while self.token.kind != "end" and not self.at_words("UNION"):
            if clauses and isinstance(clauses[-1], Projection) and clauses[-1].returns:
                self.expect_end()
            clauses.append(self._clause())
        if not clauses:
            raise self.unexpected(STATEMENT_WORDS)
        if isinstance(clauses[-1], (Match, Unwind)) or (
            isinstance(clauses[-1], Projection) and not clauses[-1].returns
        ):
            raise self.unexpected("CREATE, DELETE, MERGE, REMOVE, RETURN, SET")
        return tuple(clauses)

    def _clause(self) -> Clause:
        if self.take_words("OPTIONAL", "MATCH"):
            return self._match(optional=True)
        if self.take_words("DETACH", "DELETE"):
            return Delete(self._expressions(), detach=True)
        word = self.token.word
        if word in STATEMENT_WORDS.split(", ") and word not in _CLAUSES:
            raise unknown_to_stand_in(f"the clause {word}")
        if word not in _CLAUSES:
            raise self.unexpected(STATEMENT_WORDS)
        self.next()
        return _CLAUSES[word](self)

    def _match(self, optional: bool = False) -> Clause:
        paths = self.paths()
        where = self.expression() if self.take_words("WHERE") else None
        return Match(paths, where, optional)

    def _create(self) -> Clause:
        return Create(self.paths())

    def _merge(self) -> Clause:
        path = self.path()
        on_create: tuple[SetItem, ...] = ()
        on_match: tuple[SetItem, ...] = ()
        while self.take_words("ON"):
            if self.take_words("CREATE", "SET"):
                on_create += self._set_items()
            elif self.take_words("MATCH", "SET"):
                on_match += self._set_items()
            else:
                raise self.unexpected("CREATE SET, MATCH SET")
        return Merge(path, on_create, on_match)

    def _assign(self) -> Clause:
        return Assign(self._set_items())

    def _set_items(self) -> tuple[SetItem, ...]:
        items = [self._set_item()]
        while self.take_op(","):
            items.append(self._set_item())
        return tuple(items)

    def _set_item(self) -> SetItem:
        start = self.position
        if self.token.kind in ("name", "quoted") and not self._is_property_target():
            name = self.expect_name()
            if self.take_op("+="):
                return SetMap(name, self.expression(), merge=True)
            if self.take_op("="):
                return SetMap(name, self.expression(), merge=False)
            if self.at_op(":"):
                return SetLabels(name, self.labels())
        self.position = start
        target = self._postfix()
        if not isinstance(target, Property):
            raise self.unexpected("a property")
        self.expect_op("=")
        return SetProperty(target.base, target.key, self.expression())

    def _is_property_target(self) -> bool:
        return self.ahead(1).kind == "op" and self.ahead(1).text == "."

    def _remove(self) -> Clause:
        properties: list[tuple[Expression, str]] = []
        labels: list[SetLabels] = []
        while True:
            target = self._postfix()
            if isinstance(target, Property):
                properties.append((target.base, target.key))
            elif isinstance(target, HasLabels) and isinstance(target.base, Variable):
                labels.append(SetLabels(target.base.name, target.labels))
            else:
                raise self.unexpected("a property or labels")
            if not self.take_op(","):
                return Remove(tuple(properties), tuple(labels))

    def _delete(self) -> Clause:
        return Delete(self._expressions(), detach=False)

    def _unwind(self) -> Clause:
        source = self.expression()
        self.expect_word("AS")
        return Unwind(source, self.expect_name())

    def _with(self) -> Clause:
        return self._projection(returns=False)

    def _return(self) -> Clause:
        return self._projection(returns=True)

    def _projection(self, returns: bool) -> Clause:
        distinct = self.take_words("DISTINCT")
        star = self.take_op("*")
        columns: list[Column] = []
        if not star or self.take_op(","):
            columns.append(self._column(returns))
            while self.take_op(","):
                columns.append(self._column(returns))
        return Projection(
            columns=tuple(columns),
            star=star,
            distinct=distinct,
            order=self._order(),
            skip=self.expression() if self.take_words("SKIP") else None,
            limit=self.expression() if self.take_words("LIMIT") else None,
            where=self.expression() if not returns and self.take_words("WHERE") else None,
            returns=returns,
        )

    def _column(self, returns: bool) -> Column:
        start = self.token.start
        value = self.expression()
        end = self.tokens[self.position - 1].end
        if self.take_words("AS"):
            return Column(self.expect_name(), value)
        if isinstance(value, Variable):
            return Column(value.name, value)
        if not returns:
            raise self.unexpected("AS")
        return Column(self.query[start:end], value)

    def _order(self) -> tuple[tuple[Expression, bool], ...]:
        if not self.take_words("ORDER", "BY"):
            return ()
        keys: list[tuple[Expression, bool]] = []
        while True:
            key = self.expression()
            descending = self.take_words("DESC") or self.take_words("DESCENDING")
            if not descending and not self.take_words("ASC"):
                self.take_words("ASCENDING")
            keys.append((key, descending))
            if not self.take_op(","):
                return tuple(keys)

    def _expressions(self) -> tuple[Expression, ...]:
        items = [self.expression()]
        while self.take_op(","):
            items.append(self.expression())
        return tuple(items)


_CLAUSES = {
    "MATCH": ClauseParser._match,
    "CREATE": ClauseParser._create,
    "MERGE": ClauseParser._merge,
    "SET": ClauseParser._assign,
    "REMOVE": ClauseParser._remove,
    "DELETE": ClauseParser._delete,
    "UNWIND": ClauseParser._unwind,
    "WITH": ClauseParser._with,
    "RETURN": ClauseParser._return,
}
