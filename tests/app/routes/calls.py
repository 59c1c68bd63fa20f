"""The calls that most tests make."""

import json
from collections.abc import Sequence
from typing import Any

import httpx

from tests.app.parts import person


def files(pictures: Sequence[bytes], field: str = "image") -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"{place}.jpg", picture)) for place, picture in enumerate(pictures)]


def enrol(client: httpx.Client, picture: bytes, identity: str, **fields: Any) -> str:  # noqa: ANN401 - any field
    """Enrol one picture and return its sample id."""
    data = {"identity": identity} | {
        name: value if isinstance(value, str) else json.dumps(value) for name, value in fields.items()
    }
    answer = client.post("/gallery", files=files([picture]), data=data)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["items"][0]["sample_id"])


def enrol_people(client: httpx.Client, count: int) -> list[str]:
    """Enrol one picture each of people named p0, p1, ... on cameras c0, c1, ..."""
    return [enrol(client, person(each), f"p{each}", camera=f"c{each}") for each in range(count)]


def query(client: httpx.Client, *pictures: bytes, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - any field
    """Query by form and return the answer."""
    answer = client.post("/query", files=files(pictures), data=fields)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def names(answer: dict[str, Any]) -> list[str]:
    return [each["identity"] for each in answer["identities"]]


def refused(answer: httpx.Response, status: int, code: str, field: str | None = None) -> dict[str, Any]:
    """Check that an answer is the problem that the contract says, and return it."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    assert problem["status"] == status
    assert problem.get("field") == field
    assert problem["request_id"] == answer.headers["x-request-id"]
    for inward in ("Traceback", "sqlite", "SELECT", "/tmp", ".py"):
        assert inward not in answer.text
    return problem
