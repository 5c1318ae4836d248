"""One main's data on other instances: the protocol, both of its ends, and who holds which role.

Belongs here: roles, registrations, checks, shipping commits, recovery. Does not belong here: Bolt,
statements' text, what is inside a commit. The protocol is our own; only its effects are Memgraph's.
"""
