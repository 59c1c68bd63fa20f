"""What can go wrong between a picture and its embedding."""


class ModelError(Exception):
    """Base of every error that the package raises on purpose; its text is meant for the user."""


class ImageError(ModelError):
    """A picture that cannot be used."""


class UnsupportedMedia(ImageError):
    """The bytes are not a JPEG, PNG, WebP or BMP picture."""


class ImageUndecodable(ImageError):
    """The header is right and the content is not."""


class ImageTruncated(ImageError):
    """The picture's bytes end before the picture does."""


class ImageTooSmall(ImageError):
    """A side is under the least number of pixels."""


class TooManyPixels(ImageError):
    """The header announces more pixels than are decoded."""


class RegistryError(ModelError):
    """A model version cannot be read, registered or activated."""


class VersionNotFound(RegistryError):
    """No such version is registered."""


class VersionDamaged(RegistryError):
    """A version's file is missing, or its hash is not the card's."""


class VersionInUse(RegistryError):
    """A version cannot be removed: something is served or compared by it."""


class PromotionRefused(RegistryError):
    """A version should not go live in place of the active one; `reasons` has all that speaks against it."""

    def __init__(self, version: str, current: str, reasons: tuple[str, ...]) -> None:
        told = "; ".join(f"{number}) {reason}" for number, reason in enumerate(reasons, start=1))
        super().__init__(
            f"{version} should not go live in place of {current}: {told}. To activate it all the same, use --force: "
            "that is recorded with these reasons"
        )
        self.version = version
        self.current = current
        self.reasons = reasons


class ExchangeError(ModelError):
    """MLflow's model registry does not answer, or has no such version."""


class ContractError(ModelError):
    """An ONNX file or a batch does not match its input or output contract."""


class ProviderMissing(ContractError):
    """An execution provider is not installed here, or does not start."""


class DatasetError(ModelError):
    """A data set is not where, or not what, it should be."""


class RecipeError(ModelError):
    """A training recipe or its arguments do not fit together."""


class ExportError(ModelError):
    """An exported file does not compute what the network computes."""


class TrackingError(ModelError):
    """The server that is to record a training run does not answer."""
