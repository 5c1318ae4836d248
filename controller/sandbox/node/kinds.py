"""Resources that a node reads and the API stand-in does not serve."""

from __future__ import annotations

from ..apiserver import Kind

ENDPOINT_SLICES = Kind("discovery.k8s.io", "v1", "endpointslices", "endpointslice", "EndpointSlice")
CLAIMS = Kind("", "v1", "persistentvolumeclaims", "persistentvolumeclaim", "PersistentVolumeClaim")
