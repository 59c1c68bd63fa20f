"""What the routes work with, wired once at start."""

from dataclasses import dataclass

from starlette.requests import Request

from app.auditing import LabelAudits
from app.drift import Drift
from app.engine import Engine
from app.false_alarms import FalseAlarms
from app.keyring import Keyring
from app.metrics import Metrics
from app.migrator import Migrator
from app.pipeline import Pipeline


@dataclass(slots=True)
class Service:
    """One application's parts."""

    engine: Engine
    pipeline: Pipeline
    metrics: Metrics
    keyring: Keyring
    migrator: Migrator
    drift: Drift
    audits: LabelAudits
    false_alarms: FalseAlarms
    enrolling: int = 0


def service_of(request: Request) -> Service:
    """Return the service that answers this request."""
    service: Service = request.app.state.service
    return service
