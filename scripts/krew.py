"""Packs the command line as a kubectl plugin for krew, and writes the manifest that installs it.

    python scripts/krew.py TREE URL TARGET

TREE is what scripts/image-tree built; URL is where the archive will be published; both files are
written into TARGET. Promise: the manifest's checksum is that of the archive beside it. What a
newcomer gets wrong: the archive fits one platform and one minor version of Python, that of TREE;
build it once for each.
"""

import hashlib
import io
import platform
import sys
import tarfile
from importlib.metadata import Distribution, distributions
from pathlib import Path

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "arm64": "arm64", "amd64": "amd64"}
LAUNCHER = """#!/bin/sh
# krew links to this file from elsewhere; what it needs lies beside it.
here=$(dirname "$(readlink -f "$0")")
command -v {python} >/dev/null || {{ echo "kubectl memgraph needs {python}" >&2; exit 2; }}
PYTHONPATH="$here/lib" PYTHONDONTWRITEBYTECODE=1 exec {python} -m controller.cli "$@"
"""
MANIFEST = """apiVersion: krew.googlecontainertools.github.com/v1alpha2
kind: Plugin
metadata:
  name: memgraph
spec:
  version: v{version}
  shortDescription: Memgraph with automatic failover
  description: |
    Shows and asks: who is main and why, every change of main with its evidence, planned
    switchovers, forced failovers, pauses. For releases of memgraph-controller; it finds the only
    one of a namespace by itself.
  caveats: |
    Needs {python} on PATH. Reading needs the rights to read one ConfigMap, pods and Leases;
    asking needs the right to patch one ConfigMap (manifests/operators.yaml).
  platforms:
    - selector:
        matchLabels: {{os: {os}, arch: {arch}}}
      uri: {url}
      sha256: {digest}
      bin: kubectl-memgraph
"""


def ours(packages: Path) -> Distribution:
    """This project's distribution in the tree."""
    return next(iter(distributions(name="memgraph-controller", path=[str(packages)])))


def pack(packages: Path, python: str, archive: Path) -> None:
    """Write the archive: the launcher, the licence, and the packages."""
    launcher = LAUNCHER.format(python=python).encode()
    head = tarfile.TarInfo("kubectl-memgraph")
    head.size, head.mode = len(launcher), 0o755
    licence = Path(__file__).parents[1] / "LICENSE"
    with tarfile.open(archive, "w:gz", compresslevel=6) as made:
        made.addfile(head, io.BytesIO(launcher))
        made.add(licence, "LICENSE")
        made.add(packages, "lib")


def main(tree: Path, url: str, target: Path) -> None:
    """Write both files."""
    (packages,) = tree.glob("lib/python*/site-packages")
    python = packages.parent.name
    target.mkdir(parents=True, exist_ok=True)
    system, arch = platform.system().lower(), ARCHITECTURES[platform.machine().lower()]
    archive = target / f"kubectl-memgraph-{system}-{arch}.tar.gz"
    pack(packages, python, archive)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    version = ours(packages).version
    manifest = MANIFEST.format(
        version=version, python=python, os=system, arch=arch, url=url, digest=digest
    )
    (target / "memgraph.yaml").write_text(manifest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
