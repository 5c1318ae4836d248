"""A whole cluster in virtual time: the product's own controller pods on simulated surroundings.

Promise: one seed is one history, down to the order in which tasks run; the same seed gives the same
history on every machine and for every PYTHONHASHSEED. What is real: loop, chronicle, executor,
prober, gatekeeper, informers, leadership, ledger store, gateway Leases, pod control, and everything
of `controller.memgraph` above a connection. What is simulated: the API server (below `Transport`),
Memgraph (below `Link`: statements in, rows out), kubelet and StatefulSet, network, the gateways'
sockets, clients, and the scheduler (`kernel`, in trio's place, held to trio's own histories). What
a newcomer gets wrong: the checkers (`books`) look at this world alone, never at what a controller
believes.
"""
