"""Who calls, and what they may reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import Request

from app.errors import Forbidden
from app.parameters import InGallery
from index.keys import Scope

G = TypeVar("G", bound=InGallery)


@dataclass(frozen=True, slots=True)
class Caller:
    """The bearer of a key; or, as long as no key was made, anyone on this machine."""

    key_id: str | None = None
    scopes: frozenset[Scope] = frozenset({Scope.ADMIN})
    gallery: str | None = None  # the only one that the key reaches
    rate: float | None = None  # requests a second at most

    def has(self, scope: Scope) -> bool:
        """Tell whether the key has the scope, or `admin`, which includes all."""
        return bool(self.scopes & {scope, Scope.ADMIN})

    def require(self, scope: Scope) -> None:
        """Raise `Forbidden` unless the key has the scope."""
        if not self.has(scope):
            found = ", ".join(each for each in Scope if each in self.scopes)
            raise Forbidden(f"expected a key with the scope {scope}, found one with {found}")

    def require_unbound(self) -> None:
        """Raise `Forbidden` for a key that is bound to a gallery, where what is asked is of all of them."""
        if self.gallery is not None:
            raise Forbidden(f"expected a key that is bound to no gallery, found one that is bound to {self.gallery!r}")

    def reaches(self, gallery: str) -> bool:
        """Tell whether a gallery is within reach."""
        return self.gallery in (None, gallery)

    def require_gallery(self, gallery: str) -> None:
        """Raise `Forbidden` for a gallery out of reach."""
        if not self.reaches(gallery):
            raise Forbidden(f"expected gallery {self.gallery!r}, which the key is bound to, found {gallery[:64]!r}")

    def within(self, parameters: G) -> G:
        """Return the parameters with the gallery that is meant: a bound key's own where none is named."""
        if self.gallery is None:
            return parameters
        if "gallery" not in parameters.model_fields_set:
            return parameters.model_copy(update={"gallery": self.gallery})
        self.require_gallery(parameters.gallery)
        return parameters

    def fields_within(self, fields: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
        """Return a form's fields, its `gallery` among them, likewise."""
        named = [text for name, text in fields if name == "gallery"]
        for text in named:
            self.require_gallery(text)
        own = () if named or self.gallery is None else (("gallery", self.gallery),)
        return (*fields, *own)


def caller_of(request: Request) -> Caller:
    """Return who calls; `authorize` has found out before any route runs."""
    caller: Caller = request.state.caller
    return caller
