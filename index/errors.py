"""What can go wrong in a gallery."""


class GalleryError(Exception):
    """Base of every error that the package raises on purpose; its text is meant for the user."""


class GalleryNotFound(GalleryError):
    """No gallery of that name was made."""


class SampleNotFound(GalleryError):
    """No such sample is enrolled in that gallery."""


class IdentityNotFound(GalleryError):
    """No sample of that identity is enrolled in that gallery."""


class PictureNotStored(GalleryError):
    """The gallery keeps no pictures, or kept none of this sample."""


class ExternalIdConflict(GalleryError):
    """The `external_id` is taken by a sample with other content."""


class ModelMismatch(GalleryError):
    """An embedding of one model version met a gallery of another."""


class DimensionMismatch(GalleryError):
    """An embedding has another length than the gallery's."""


class MigrationNotFound(GalleryError):
    """No such migration was started."""


class MigrationState(GalleryError):
    """A migration is not in the state that the wish needs."""


class MigrationUnderWay(GalleryError):
    """Another migration is not final yet."""


class MigrationRefused(GalleryError):
    """The galleries cannot move to that version: samples without pictures, or no room on the disk."""


class BackupRefused(GalleryError):
    """No backup can be made of this store, or none restored from or into what was named."""


class KeyNotFound(GalleryError):
    """No key of that id was made."""


class InvalidValue(GalleryError):
    """A value is out of its range; `field` names it."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field


class StoreDamaged(GalleryError):
    """The catalogue, a picture or a vector is not what was written."""


class SampleDamaged(StoreDamaged):
    """The picture or the attributes of one sample are not what was written; all else is whole."""


class StoreUnavailable(GalleryError):
    """The catalogue or the picture store cannot be read or written (disk full, read-only, locked)."""


class DeletionUnfinished(StoreUnavailable):
    """A deletion was committed, and what is left of it on the disk could not be removed yet; `holds` is the former."""

    def __init__(self, what: str, reason: str) -> None:
        self.holds = f"the {what} is deleted and nobody finds it any more, but not all of it is off the disk"
        super().__init__(f"{self.holds}: {reason}")
