"""Errors in the provider's format, and the answers that carry them."""

from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What an endpoint answers: a status and a JSON object."""

    status: int
    body: Body


class ApiError(Exception):
    """The request is refused; nothing it may have written so far is kept."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        error_type: str = "invalid_request_error",
        **extra: Any,
    ) -> None:
        super().__init__(message)
        self.reply = Reply(status, error_body(error_type, message, code=code, param=param, **extra))

    @classmethod
    def carrying(cls, status: int, body: Body) -> "ApiError":
        """Return an error with a body made elsewhere."""
        error = cls(status, str(body["error"]["message"]))
        error.reply = Reply(status, body)
        return error


def error_body(error_type: str, message: str, *, code: str | None = None, **extra: Any) -> Body:
    """Return `{"error": {...}}` without the fields that are None."""
    error: Body = {"type": error_type, "message": message}
    if code is not None:
        error["code"] = code
        error["doc_url"] = f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"
    error.update((name, value) for name, value in extra.items() if value is not None)
    return {"error": error}


def missing_object(kind: str, object_id: str, *, param: str, in_path: bool) -> ApiError:
    """Return the error for an id that names nothing: 404 in the path, 400 in a parameter."""
    name = "PaymentMethod" if kind == "payment_method" else kind
    return ApiError(
        404 if in_path else 400,
        f"No such {name}: '{object_id}'",
        code="resource_missing",
        param=param,
    )


def refused(message: str, *, code: str | None = None, param: str | None = None) -> ApiError:
    """Return a 400: the request is well formed but can't be done."""
    return ApiError(400, message, code=code, param=param)


SERVER_ERROR = Reply(
    500,
    error_body("api_error", "An unknown error occurred; the request may have been executed."),
)
