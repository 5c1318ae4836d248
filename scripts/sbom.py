"""The bill of materials of the environment that runs this, as CycloneDX 1.5 JSON on stdout.

Promise: every installed distribution is in it, by name, version, licence and package URL. Standard
library alone, so that it runs in the image that it describes. What a newcomer gets wrong: Python
itself and the base image's own packages are not in it; the base image has a bill of its own.
"""

import json
import re
import sys
from importlib.metadata import Distribution, distributions
from typing import Any

NOT_SHIPPED = {"pip", "setuptools"}


def component(found: Distribution) -> dict[str, Any]:
    """One distribution."""
    name = re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower()  # as PyPI normalizes it
    purl = f"pkg:pypi/{name}@{found.version}"
    made: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": found.version,
        "purl": purl,
    }
    if summary := found.metadata.get("Summary"):
        made["description"] = summary
    if licences := licences_of(found):
        made["licenses"] = licences
    return made


def licences_of(found: Distribution) -> list[dict[str, Any]]:
    """What it says of its licence: an expression, else a name."""
    if expression := found.metadata.get("License-Expression"):
        return [{"expression": expression}]
    heads = "License :: OSI Approved :: "
    names = [c for c in found.metadata.get_all("Classifier") or [] if c.startswith(heads)]
    given = [c.removeprefix(heads) for c in names] or [found.metadata.get("License") or ""]
    lines = [name.strip().splitlines()[0] for name in given if name.strip()]
    return [{"license": {"name": line[:100]}} for line in lines]


def bill() -> dict[str, Any]:
    """The whole document: ours as what it is about, the others as what it is made of."""
    made = {c["name"]: c for c in map(component, distributions()) if c["name"] not in NOT_SHIPPED}
    ours = made.pop("memgraph-controller", None)
    about = {"component": {**ours, "type": "application"}} if ours else {}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": about,
        "components": [made[name] for name in sorted(made)],
    }


if __name__ == "__main__":
    json.dump(bill(), sys.stdout, indent=1)
    sys.stdout.write("\n")
