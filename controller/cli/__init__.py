"""The command line: `memgraph-controller`, also installed as `kubectl-memgraph`.

Promise: reading commands need a kubeconfig and nothing else; they verify the ledger themselves and
believe no annotation. Exit codes mean the same in every command (`exits`). Heavy libraries are
imported by the command that needs them. What a newcomer gets wrong: `demo` and `sandbox` are found
when they are asked for; their absence is no error.
"""

from controller.cli.entry import cli, main

__all__ = ["cli", "main"]
