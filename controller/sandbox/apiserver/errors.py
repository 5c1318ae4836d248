"""Refusals, each with the code, reason and words of a real API server.

Promise: whoever reads the Status body cannot tell it from a real one in the parts that clients
decide by: code, reason, details.kind, details.name, details.causes, Retry-After. Texts follow
Kubernetes 1.36. One thing a newcomer gets wrong: a watch that fell behind is *not* refused with
HTTP 410; it is told so by an ERROR event inside HTTP 200.
"""

from __future__ import annotations

from .objects import Object

# What a defect of ours, or an object of a shape that rules.py lets through, can raise. A real
# server survives these too, and says 500.
DEFECTS = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RecursionError)
MODIFIED_TEXT = (
    "the object has been modified; please apply your changes to the latest version and try again"
)


class ApiError(Exception):
    """An answer that refuses. `retry_after_s`, if set, becomes the Retry-After header."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after_s = retry_after_s

    def as_status(self) -> Object:
        """Return the `kind: Status` body."""
        status: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
            "reason": self.reason,
            "code": self.code,
        }
        details = dict(self.details or {})
        if self.retry_after_s is not None:
            details["retryAfterSeconds"] = self.retry_after_s
        if details:
            status["details"] = details
        return status


def bad_request(message: str) -> ApiError:
    """The request could not be understood."""
    return ApiError(400, "BadRequest", message)


def unauthorized() -> ApiError:
    """The bearer token is missing or unknown."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: str, group: str, verb: str, user: str, where: str, name: str) -> ApiError:
    """The user may not do this. `where` is the namespace, or "" at the cluster scope."""
    scope = f'in the namespace "{where}"' if where else "at the cluster scope"
    qualified = f"{resource}.{group}" if group else resource
    subject = f'{qualified} "{name}"' if name else qualified
    message = (
        f'{subject} is forbidden: User "{user}" cannot {verb} resource "{resource}" '
        f'in API group "{group}" {scope}'
    )
    details: Object = {"kind": resource}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    return ApiError(403, "Forbidden", message, details=details)


def page_not_found() -> ApiError:
    """No such path or resource type."""
    return ApiError(404, "NotFound", "the server could not find the requested resource")


def method_not_allowed() -> ApiError:
    """The resource exists but not with this verb."""
    return ApiError(
        405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )


def unsupported_media_type(given: str, supported: tuple[str, ...]) -> ApiError:
    """The body is in a form that is not spoken here, protobuf above all."""
    accepted = ", ".join(supported)
    return ApiError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: "
        f"{accepted} (given: {given})",
    )


def too_large() -> ApiError:
    """The body is over the request limit."""
    return ApiError(413, "RequestEntityTooLarge", "Request entity too large: limit is 3145728")


def expired(asked: int, oldest: int) -> ApiError:
    """The watch asks for changes that are no longer kept."""
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")


def continue_expired() -> ApiError:
    """The next page of a list is asked for too late."""
    return ApiError(
        410,
        "Expired",
        "The provided continue parameter is too old to display a consistent list result.",
    )


def too_large_revision(asked: int, present: int) -> ApiError:
    """The read asks for a state that has not happened yet."""
    return ApiError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {asked}, current: {present}",
        details={"causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large"}]},
        retry_after_s=1,
    )


def internal(message: str) -> ApiError:
    """The server broke on this request."""
    return ApiError(500, "InternalError", f"Internal error occurred: {message}")
