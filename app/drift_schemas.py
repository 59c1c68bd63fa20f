"""The drift of a gallery's cameras as OpenAPI describes it."""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

_EXAMPLE: dict[str, Any] = {
    "gallery": "default",
    "model_version": "market1501@1",
    "since": "2026-05-01T10:00:00Z",
    "card_reference": "held-out images: the best score of each image whose identity another camera saw",
    "cameras": [
        {
            "camera": "c3",
            "measures": [
                {
                    "measure": "brightness",
                    "low": 0.0,
                    "high": 256.0,
                    "counted": 1210,
                    "compared_with": "card",
                    "psi": 0.31,
                    "state": "far off",
                    "psi_first": 0.04,
                    "reference": [0.0, 120.0, 380.0, 0.0],
                    "recent": [310.0, 390.0, 10.0, 0.0],
                }
            ],
        }
    ],
}


class MeasureAnswer(BaseModel):
    """One measure by one camera, counted in bins of equal width."""

    measure: Literal["score", "height", "brightness", "contrast", "sharpness"] = Field(
        description="`score`: the best of each query, by the camera of the best sample; the others are of enrolled "
        "pictures: pixels high, brightness and contrast, and log2 of the Laplacian's variance"
    )
    low: float = Field(description="where the first bin begins")
    high: float = Field(description="where the last bin ends")
    counted: int
    compared_with: Literal["card", "first"] = Field(
        description="`card`: the reference of the serving version's card; `first`: the camera's own first 500 values"
    )
    psi: float | None = Field(description="population stability index; null before there is enough to compare")
    state: Literal["unknown", "like the reference", "moved", "far off"] = Field(
        description="PSI under 0.1, under 0.25, and from there on"
    )
    psi_first: float | None = Field(description="the index beside the camera's own first 500 values in either case")
    reference: list[float] = Field(description="what it is compared with, by bin")
    recent: list[float] = Field(description="those of late, older ones halved again and again")


class CameraAnswer(BaseModel):
    """One camera; `(other)` is all over 32 of a gallery or 256 of the service, `(none)` what has no camera."""

    camera: str
    measures: list[MeasureAnswer]


class DriftAnswer(BaseModel):
    """Whether a gallery's cameras are what they are to be like; up to 64 galleries are counted."""

    model_config = ConfigDict(protected_namespaces=(), json_schema_extra={"examples": [_EXAMPLE]})
    gallery: str
    model_version: str = Field(description="whose scores are counted; another version begins them anew")
    since: datetime = Field(description="when counting began")
    card_reference: str | None = Field(
        description="what the reference of the serving version's card was measured on; null: it has none"
    )
    cameras: list[CameraAnswer]
