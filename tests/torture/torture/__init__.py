"""Torture: real processes, real sockets, real clients, and one fault after the other.

Promise: what clients were told and what stands on the instances decides; what a controller believes
is printed, and never counts. Controllers, gateways and the clients' driver are the real programs;
Kubernetes (API server, kubelet, StatefulSet controller) is a stand-in, and so is Memgraph unless a
real binary is named. What a newcomer gets wrong: a clean run bounds the rate of losses from above,
it does not show that there are none.
"""
