"""Bolt, seen from the server: bytes in, bytes out.

Belongs here: PackStream, chunks, the handshake, the conversation's states. Does not belong here:
what a statement means (`interpreter`), who holds the role, or anything about replication.
"""
