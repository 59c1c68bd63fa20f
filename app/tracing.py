"""Traces of requests and their stages: the side that the service calls, which does nothing unless configured."""

from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Scope

from app.advice import installing
from app.errors import SettingsInvalid
from app.settings import Settings


class Traces:
    """Traces nothing; `app.telemetry` has what sends them."""

    @contextmanager
    def request(self, scope: Scope) -> Iterator[None]:  # noqa: ARG002
        """Make what runs in the block one span."""
        yield

    def answered(self, scope: Scope, route: str, status: int) -> None:
        """Say what the request in hand was and how it was answered."""

    def stage(self, name: str, seconds: float, ago: float = 0.0) -> None:
        """Add a stage of the request in hand, which took so many seconds and ended some ago."""

    def close(self) -> None:
        """Send what was not sent yet."""


def open_traces(settings: Settings) -> Traces:
    """Return the traces that the settings ask for; nothing of OpenTelemetry is imported when they ask for none."""
    if settings.otlp_endpoint is None:
        return Traces()
    try:
        from app.telemetry import sent_to
    except ModuleNotFoundError as exc:
        raise SettingsInvalid(
            f"REID_OTLP_ENDPOINT={settings.otlp_endpoint}: expected OpenTelemetry, found no {exc.name}; "
            f"install it with {installing('trace')}"
        ) from exc
    return sent_to(settings.otlp_endpoint)
