"""A stand-in for Memgraph Community: its own process, its Bolt, its replication, its errors.

Promise: a failover controller and ordinary clients cannot tell it from the imitated release for the
statements that this project uses. The facts it imitates are those of the project's sheet
on Memgraph; a comment or test names the fact.

Differences that are meant:
- the replication server binds the *Bolt address*, not 0.0.0.0, and outgoing replication connections
  bind it as their source: many instances share one machine on 127.x.y.z with the same port 10000;
- unknown flags are accepted and named in the log;
- the protocol between instances is our own (it only talks to other stand-ins);
- Cypher is a small part (no procedures, subqueries, paths, dates, points); what is missing fails
  with a `ClientError` that says so; EXPLAIN shows a plan of our own, as there is no planner;
- a result is made whole at the first PULL, up to `executor.ROWS_MAX` rows, and then fetched;
- a message has 16 MiB at most, 64 KiB before the logon; Bolt over a WebSocket is not spoken;
- whoever has logged on may do everything: there are users, but no privileges;
- storage snapshots on exit are on, as the package sets them, not the bare binary;
- a full disk lets the process start and ends it with its first write.

Start: `python -m controller.sandbox.memgraph` or `memgraph-stand-in`, with Memgraph's flags (see
`flags.DEFAULTS`) and five of its own: `--stand-in-version 3.12.0`, `--stand-in-false-divergence`
(default true, MEMGRAPH L4), `--stand-in-control PATH` (see `control`), `--stand-in-hosts PATH` (a
file in hosts(5) form, asked for replica names before the resolver), `--stand-in-promotion-delay-ms`
(what a promotion takes when no main is connected, 100 to 205 on a running one, MEMGRAPH L14;
default 0).

Rooms: `bolt` speaks, `interpreter` decides what a statement means, `administration` does what is no
Cypher, `cypher` executes queries over `graph`, `durability` keeps, `replication` shares. Nothing
outside the sandbox imports this package.
"""
