"""What the routes work with, wired once at start."""

import asyncio
from dataclasses import dataclass, field

from starlette.requests import Request

from app.auditing import LabelAudits
from app.drift import Drift
from app.engine import Engine
from app.keyring import Keyring
from app.metrics import Metrics
from app.migrations import Migrations
from app.pipeline import Pipeline
from model.card import Card


@dataclass(slots=True)
class Service:
    """One application's parts."""

    engine: Engine
    card: Card
    pipeline: Pipeline
    metrics: Metrics
    keyring: Keyring
    drift: Drift
    migrations: Migrations = field(default_factory=Migrations)
    audits: LabelAudits = field(default_factory=LabelAudits)
    enrolling: int = 0
    activating: asyncio.Lock = field(default_factory=asyncio.Lock)


def service_of(request: Request) -> Service:
    """Return the service that answers this request."""
    service: Service = request.app.state.service
    return service
