"""The Memgraph room: the ports of `controller.ports` on Bolt connections, and nothing else.

Promise: what leaves this room is a value of the walls or an error of `controller.errors`; no type
or exception of the neo4j driver does. What is asked over the kept connection is asked over that
very TCP connection, and a statement that changes something and got no answer is never called
failed.

Belongs here: statements, parsing of answers, connections. Does not: any decision, and any memory of
what an instance was. `neo4j` and `trio_asyncio` are imported inside functions, so that importing
this room is cheap; the composition root opens the asyncio loop. Outside of this room, import from
here.
"""

from controller.memgraph.access import MemgraphAccess
from controller.memgraph.instance import BoltInstance
from controller.memgraph.instances import BoltInstances
from controller.memgraph.parse import register_error

__all__ = ["BoltInstance", "BoltInstances", "MemgraphAccess", "register_error"]
