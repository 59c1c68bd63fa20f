"""Every route against its document, with many more examples and a seed of the day."""

import random

import pytest
import schemathesis

from tests.app import test_contract
from tests.app.test_contract import ROUTES, document, explore, known, service

__all__ = ["document", "known", "service"]


@pytest.mark.stress
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_does_what_its_document_says(
    document: schemathesis.BaseSchema,
    known: dict[str, str],
    method: str,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chosen = random.SystemRandom().randrange(10**9)
    print(f"seed {chosen}")  # noqa: T201  # shown when the test fails, so that it can be repeated
    monkeypatch.setattr(test_contract, "SEED", chosen)
    explore(document, known, method, path, 300)
