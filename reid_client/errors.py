"""What can go wrong between a caller and the service; one class for each family, and `code` says which of it."""


class ReidError(Exception):
    """Base of every error of the client.

    `code` is the service's stable name of the error, or one of the client's own: `connection_failed`,
    `answer_lost`, `deadline_exceeded`, `unexpected_answer`. `status` is None where no answer came.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        status: int | None = None,
        field: str | None = None,
        request_id: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.field = field
        self.request_id = request_id

    def __str__(self) -> str:
        where = "" if self.field is None else f" ({self.field})"
        return f"{self.code}{where}: {self.detail}"


class InvalidRequest(ReidError):
    """400: a field is out of its range, of a wrong type or unknown; `field` names it where it is one."""


class Unauthorized(ReidError):
    """401: no key was sent, or none that is good."""


class Forbidden(ReidError):
    """403: the key is good, but not for this."""


class NotFound(ReidError):
    """404: no such gallery, sample, identity, model version, migration or picture."""


class Conflict(ReidError):
    """409: the present state does not allow it."""


class TooLarge(ReidError):
    """413: a file, a picture or the whole request is over a limit."""


class UnsupportedMedia(ReidError):
    """415: not a JPEG, PNG, WebP or BMP picture."""


class Unprocessable(ReidError):
    """422: a picture or an embedding that cannot be used."""


class Overloaded(ReidError):
    """429: more is waiting than may wait, or the key's rate is used up; every attempt was answered so."""


class ServiceFailed(ReidError):
    """5xx: the service failed."""


class NotReady(ServiceFailed):
    """503: a part of the service does not work; `detail` names it."""


class ConnectionFailed(ReidError):
    """No answer came: no connection, one that broke, or a timeout."""


class AnswerLost(ConnectionFailed):
    """A deletion's answer was lost on the way; asked again, the service says that there is nothing (any more)."""


class DeadlineExceeded(ReidError):
    """The deadline came before an answer that settles the call; the cause is what the last attempt met."""


class UnexpectedAnswer(ReidError):
    """What answered does not speak this API; the address may be another service's."""


FAMILIES: dict[int, type[ReidError]] = {
    400: InvalidRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedMedia,
    422: Unprocessable,
    429: Overloaded,
    503: NotReady,
}


def family(status: int) -> type[ReidError]:
    """Return the class for a status."""
    if status in FAMILIES:
        return FAMILIES[status]
    return ServiceFailed if status >= 500 else InvalidRequest if status >= 400 else UnexpectedAnswer
