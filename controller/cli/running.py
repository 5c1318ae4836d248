"""`run`: the process of one controller pod, from the settings to the exit code."""

from collections.abc import Iterator

import structlog
import trio

from controller.cli.exits import FAILED, NOT_FOUND, OK
from controller.errors import KubeUnavailable
from controller.settings import Settings

log = structlog.get_logger(__name__)


def run_until_stopped(settings: Settings) -> int:
    """Run until SIGTERM or an error that nothing below could handle; returns the exit code. The
    only place that catches everything: whatever it is, it is logged and the process ends."""
    from controller.app import run  # late: imports every adapter

    try:
        trio.run(run, settings)
    except KeyboardInterrupt:
        return OK
    except BaseException as error:
        causes = list(leaves(error))
        if all(isinstance(cause, OSError | KubeUnavailable) for cause in causes):
            log.error("cannot_start", problems=[str(cause) for cause in causes])
            return NOT_FOUND if all(isinstance(c, KubeUnavailable) for c in causes) else FAILED
        if any(isinstance(cause, SystemExit) for cause in causes):
            raise
        log.exception("crashed")
        return FAILED
    return OK


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What stands in a group of errors, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
