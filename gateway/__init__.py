"""Carries. TCP in, TCP out, following a route that it is handed.

Promise: a session reaches only an upstream of the present route; an older route is refused; what
the gateway turned away is counted with its reason. It never asks Kubernetes or Memgraph anything:
who may be reached, and whether that is still verified, is told to it. Imports trio, attrs and the
standard library only.
"""
