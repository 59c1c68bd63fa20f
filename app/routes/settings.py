"""What the service was set to."""

from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from app.answers import json_response
from app.documentation import answers
from app.engine import Engine
from app.forms import MAX_FILE, MAX_JSON, MAX_REQUEST
from app.schemas import SettingsAnswer
from app.service import service_of
from model.preprocess import MAX_PIXELS, MIN_SIDE

router = APIRouter(tags=["operations"])
LIMITS = {
    "file_bytes": MAX_FILE,
    "request_bytes": MAX_REQUEST,
    "json_bytes": MAX_JSON,
    "picture_pixels": MAX_PIXELS,
    "picture_least_side": MIN_SIDE,
}


@router.get(
    "/settings",
    summary="What is the service set to?",
    response_model=None,
    responses=answers(SettingsAnswer),
)
async def show_settings(request: Request) -> Response:
    """Return every setting that is in effect, but for addresses and folders, and the fixed limits of a request."""
    return json_response({"settings": _in_effect(service_of(request).engine), "limits": LIMITS})


def _in_effect(engine: Engine) -> list[dict[str, Any]]:
    settings, model = engine.settings, engine.model
    chosen = {
        "REID_MODEL": model.version,
        "REID_PRECISION": settings.precision or model.card.precisions[0],
        "REID_PROVIDERS": model.embedder.providers,
    }
    return [{**each, "value": chosen.get(each["name"], each["value"])} for each in settings.told()]
