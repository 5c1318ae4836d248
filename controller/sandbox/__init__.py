"""A world in a box: a whole cluster on one machine, without root, containers or Kubernetes.

Promise: the controller pods are the real program; everything around them is a stand-in, and says
so. Nothing of it is left when it ends. Rooms: `apiserver`, `kubelet`, `memgraph` (the stand-ins),
`world` (puts them together), `demo` (breaks them and looks). Nothing but the command line imports
this.
"""
