"""`run`: the process of one controller pod, from the settings to the exit code."""

from collections.abc import Iterator

import structlog
import trio

from controller.cli.exits import FAILED, NOT_FOUND, OK
from controller.errors import KubeUnavailable
from controller.settings import Settings

log = structlog.get_logger(__name__)


def serve(settings: Settings) -> None:
    """Run until SIGTERM. Raises whatever nothing below could handle."""
    from controller.app import run  # late: imports every adapter

    trio.run(run, settings)


def exit_code_of(error: BaseException) -> int:
    """Of a process that ends by this error, which is logged here."""
    if isinstance(error, KeyboardInterrupt):
        return OK
    causes = list(leaves(error))
    if all(isinstance(cause, OSError | KubeUnavailable) for cause in causes):
        log.error("cannot_start", problems=[str(cause) for cause in causes])
        return NOT_FOUND if all(isinstance(c, KubeUnavailable) for c in causes) else FAILED
    log.error("crashed", exc_info=error)
    return FAILED


def is_exit(error: BaseException) -> bool:
    """Whether it says itself with which code the process ends."""
    return any(isinstance(cause, SystemExit) for cause in leaves(error))


def leaves(error: BaseException) -> Iterator[BaseException]:
    """What stands in a group of errors, however deep."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error
