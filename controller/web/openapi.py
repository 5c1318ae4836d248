"""The description of the HTTP API for programs: OpenAPI 3.1, as it stands in `openapi.yaml`.

Promise: a test holds the file against every real answer and against the list of routes.
"""

from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import yaml


@cache
def openapi_document() -> dict[str, Any]:
    """The file, with the version that runs."""
    text = (files(__package__) / "openapi.yaml").read_text()
    document: dict[str, Any] = yaml.safe_load(text)
    document["info"]["version"] = version("memgraph-controller")
    return document
