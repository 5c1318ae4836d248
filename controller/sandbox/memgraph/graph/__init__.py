"""The property graph in memory: committed state, and transactions over it.

Belongs here: records, indexes, snapshot reads, conflicts, unique constraints. Does not belong here:
disk, replication, who may write. Everything is a plain function; nothing awaits.
"""
