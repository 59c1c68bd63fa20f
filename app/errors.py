"""What can go wrong in the service itself."""


class ServiceError(Exception):
    """Base of every error that the package raises on purpose; its text is meant for the user."""


class SettingsInvalid(ServiceError):
    """An environment variable has a value that cannot be used; the text is one line."""


class AddressRefused(ServiceError):
    """The service may not listen on the address that was asked for."""
