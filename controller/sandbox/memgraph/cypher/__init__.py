"""A small, real Cypher: text in, changes and rows out.

Belongs here: lexer, syntax, parser, evaluation, execution over a transaction. Does not belong here:
administration statements (`statements`), committing, Bolt structures.
"""
