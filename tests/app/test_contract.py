"""The running service against its own OpenAPI document: what the document allows gets an answer that it describes."""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
import schemathesis
import schemathesis.specs.openapi.schemas  # at once: a first import while other threads run may fail to compile
from hypothesis import HealthCheck, given, seed, settings
from hypothesis.errors import Unsatisfiable
from hypothesis.strategies import binary, booleans, one_of, sampled_from
from schemathesis import Case, CheckContext, GenerationMode, Response
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from app.access import RULES
from tests.app.hostile.wire import Running, form, form_request, running
from tests.app.parts import VERSION, person

SEED = 1503
# What needs a migration that there is none of, a body that names what is enrolled, or pictures and metadata that fit
# each other.
SELDOM_GOOD = [route for route in RULES if "migration_id" in route[1] or route[1].endswith("/activate")]
SELDOM_GOOD += [("POST", "/gallery"), ("POST", "/suspects/right"), ("POST", "/suspects/apart")]
EXAMPLES = 25  # of each route, for each mode
ROUTES = [route for route in RULES if route[1] not in ("/", "/docs", "/console/{name}")]  # those that are documented


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("contract"), REID_REQUEST_TIMEOUT_S="30") as service:
        yield service
        assert "Traceback" not in service.log()


@pytest.fixture(scope="module")
def document(service: Running) -> schemathesis.BaseSchema:
    schemathesis.openapi.format("binary", one_of(sampled_from([person(0), person(1)]), binary(max_size=64)))
    document = schemathesis.openapi.from_url(f"http://127.0.0.1:{service.port}/openapi.json")
    document.config.generation.with_security_parameters = False  # no key was made, and none is good
    return document


@pytest.fixture
def known(service: Running) -> dict[str, str]:
    """Enrol what an earlier test may have erased; return the path parameters that are good."""
    [answer] = service.say(form_request("/gallery", form([person(0)], {"identity": "p0"})))
    sample_id = json.loads(answer.body)["items"][0]["sample_id"]
    return {"sample_id": sample_id, "identity": "p0", "name": "other", "version": VERSION, "migration_id": "none"}


def documented(context: CheckContext, response: Response, case: Case[Any]) -> None:
    """Check that the document names the status, and the error's code under it."""
    described = case.operation.definition.raw["responses"]
    status = str(response.status_code)
    told = response.json() if response.status_code >= 400 else {}
    if told.get("code") == "not_found":  # the router's: a path with a newline in it is of no route
        return
    assert status in described, f"{status} is not documented: {response.text[:500]}"
    if "code" in told:
        examples = described[status]["content"]["application/problem+json"]["examples"]
        assert told["code"] in examples, f"{told['code']} is not documented: {response.text[:500]}"


CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    documented,
]


@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_every_route_does_what_its_document_says(
    document: schemathesis.BaseSchema, known: dict[str, str], method: str, path: str
) -> None:
    seen = explore(document, known, method, path, EXAMPLES)
    assert (method, path) in SELDOM_GOOD or any(status < 300 for status in seen), seen


def explore(
    document: schemathesis.BaseSchema, known: Mapping[str, str], method: str, path: str, examples: int
) -> set[int]:
    """Send a route what the document allows, and what it only nearly allows; return the statuses seen."""
    operation = document[path][method]
    bounds = settings(max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    seen: set[int] = set()
    for mode in GenerationMode:

        @seed(SEED)
        @bounds
        @given(case=operation.as_strategy(generation_mode=mode), good=booleans())
        def each(case: Case[Any], good: bool) -> None:
            if good and case.path_parameters:
                case.path_parameters.update({name: known[name] for name in case.path_parameters})
                case.query.pop("gallery", None)
            seen.add(case.call_and_validate(checks=CHECKS, timeout=30).status_code)

        with suppress(Unsatisfiable):  # a route without parameters can be called in one way only
            each()
    return seen
