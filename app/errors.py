"""What can go wrong in the service itself."""


class ServiceError(Exception):
    """Base of every error that the package raises on purpose; its text is meant for the user."""


class SettingsInvalid(ServiceError):
    """An environment variable has a value that cannot be used; the text is one line."""


class Unauthorized(ServiceError):
    """No key came with the request, or none that is good."""


class Forbidden(ServiceError):
    """The key is good, but not for what was asked."""


class AddressRefused(ServiceError):
    """The service may not listen on the address that was asked for."""


class InvalidParameter(ServiceError):
    """A field of a request is out of its range, of a wrong type or unknown; `field` names it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class InvalidMetadata(ServiceError):
    """The `metadata` of an enrolment is not a JSON array of objects, one for each picture."""


class MalformedRequest(ServiceError):
    """The request's body is not what its content type says, or the content type is not taken."""


class FileTooLarge(ServiceError):
    """One file is over the limit."""


class RequestTooLarge(ServiceError):
    """The whole request is over the limit."""


class TooManyImages(ServiceError):
    """The request has more files than the route takes."""


class ImageRefused(ServiceError):
    """A picture that the whole request needs cannot be used; `error` says why."""

    def __init__(self, field: str, index: int | None, error: Exception) -> None:
        super().__init__(str(error) if index is None else f"{field} {index}: {error}")
        self.field = field
        self.error = error


class Overloaded(ServiceError):
    """More is waiting than may wait; try again after `retry_after` seconds."""

    def __init__(self, detail: str, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class EmbeddingFailed(ServiceError):
    """The model failed on a picture of this request."""


class WorkerDied(ServiceError):
    """What a thread was doing for this request ended the thread; another one goes on with the rest."""


class NotReady(ServiceError):
    """A part of the service does not work; the text names it."""


class VersionPinned(ServiceError):
    """REID_MODEL names another version than the one that is to serve."""


class ExportRefused(ServiceError):
    """No data set can be made of this gallery, or at the place that was named."""


class Stopped(ServiceError):
    """What runs in the background was told to end before it was done."""


class CalibrationRefused(ServiceError):
    """A gallery has too few people to calibrate on, or the version to register is none."""
