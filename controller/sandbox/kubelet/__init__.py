"""A node in a box: runs pods as processes, and keeps StatefulSets' pods there.

Promise: pods are plain children of this process, ended by pid, each with its own loopback address
and a data directory that outlives it; their status is what a real kubelet would report. It reads
and writes the API through `ClusterApi` only. There are no images, mounts, network isolation
or liveness probes, and preStop hooks are commands only.

Outside of this room, import from here.
"""

from __future__ import annotations

from .addresses import LoopbackAddresses
from .kubelet import Kubelet, NotRunning, run_kubelet
from .ports import ClusterApi, InProcess
from .statefulset import run_statefulset_controller

__all__ = [
    "ClusterApi",
    "InProcess",
    "Kubelet",
    "LoopbackAddresses",
    "NotRunning",
    "run_kubelet",
    "run_statefulset_controller",
]
