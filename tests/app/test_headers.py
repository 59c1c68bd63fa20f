import httpx

from app.headers import with_standard
from tests.app.parts import person
from tests.app.routes.calls import enrol
from tests.app.routes.conftest import client

__all__ = ["client"]


def test_what_an_answer_has_set_itself_stays() -> None:
    found = with_standard([(b"Cache-Control", b"no-cache"), (b"content-type", b"text/plain")])
    assert [value for name, value in found if name.lower() == b"cache-control"] == [b"no-cache"]
    assert (b"x-content-type-options", b"nosniff") in found


def test_every_answer_tells_browsers_what_to_do(client: httpx.Client) -> None:
    sample_id = enrol(client, person(0), "anna")
    paths = {
        "/": 200, "/docs": 200, "/console/main.js": 200, "/console/none.js": 404,
        "/openapi.json": 200, "/metrics": 200, "/health/live": 200, "/identities": 200,
        f"/gallery/{sample_id}/image": 200, "/gallery/none": 404, "/nothing": 404, "/gallery?limit=x": 400,
    }  # fmt: skip
    for path, status in paths.items():
        answer = client.get(path)
        assert answer.status_code == status, path
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")
        assert "unsafe" not in answer.headers["content-security-policy"]
        assert answer.headers["cache-control"] == (
            "no-cache" if path in ("/", "/docs", "/console/main.js") else "no-store"
        )
        assert len(answer.headers.get_list("cache-control")) == 1
        assert not [name for name in answer.headers if name.startswith("access-control")]
