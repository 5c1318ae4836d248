"""A node for a real control plane: scheduler, kubelet, cluster DNS and Service addresses in one.

Promise: on a Kubernetes API server with a controller manager and nothing else, pods of any workload
become processes of this machine, each in a network namespace of its own with its volumes mounted
where its containers expect them, and are reached by pod address, by Service address and by name.
Images are stand-ins: the controller's is the real program out of this checkout, Memgraph's is our
imitation of it. There are no cgroups, no process namespaces, no network policies, and no `kubectl
logs` or `exec`.

Who may call whom: the command line runs `run_node`; nobody else knows this room. It knows the room
`kubelet`, which runs the pods. What a newcomer gets wrong: everything here needs the right to make
networks and mounts (be root; a user namespace is not enough for the root file systems of pods), and
must not change those of the machine: start it inside `unshare --net --mount`.
"""

from __future__ import annotations

from .run import NodeOptions, run_node

__all__ = ["NodeOptions", "run_node"]
