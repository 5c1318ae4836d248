"""Log lines for people and for machines: structlog, one line each, on stderr.

Promise: after `configure`, every line of this process, also of the libraries, has one form. We log
when something changes, not that something still is as it was: whoever logs keeps the last text and
compares. Secrets are not logged; as a last net, values under a telling key are masked.
"""

import logging
import sys
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

SECRET_KEYS = ("password", "secret", "token", "authorization")
LIBRARIES_LEVEL = logging.WARNING  # of kubernetes, neo4j, hypercorn: what they say below is noise


def masked(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """No text stands under a key that promises a secret (a reset token is a number, and shown)."""
    for key, value in event.items():
        if isinstance(value, str) and any(word in key.lower() for word in SECRET_KEYS):
            event[key] = "***"
    return event


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        masked,
    ]


def _renderers(form: str, stream: TextIO) -> list[Processor]:
    if form == "console":
        colors = stream.isatty()
        plain = structlog.dev.plain_traceback  # the rich one shows locals, and a password with them
        return [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    return [
        structlog.processors.format_exc_info,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]


def configure(level: str, form: str, stream: TextIO | None = None) -> None:
    """From now on lines of `level` ("debug" to "error") and above go to `stream` (stderr) as
    `form` ("json" or "console"). May be called again; the last call counts."""
    stream = stream or sys.stderr
    least = logging.getLevelNamesMapping()[level.upper()]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_shared(),
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            *_renderers(form, stream),
        ],
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(least, LIBRARIES_LEVEL))
    for ours in ("controller", "gateway"):
        logging.getLogger(ours).setLevel(least)
    wrap: Any = structlog.stdlib.ProcessorFormatter.wrap_for_formatter
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *_shared(), wrap],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
