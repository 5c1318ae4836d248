"""Acts. Settings, the loop that owns the state, executor, prober, leadership, HTTP and CLI.

Promise: an event is in the ledger before any effect of it leaves the process. Only the room
`kube` imports kubernetes and only the room `memgraph` imports neo4j; only those two and the entry
point know of trio-asyncio. `sandbox` is a world in a box that nothing else imports.
"""
