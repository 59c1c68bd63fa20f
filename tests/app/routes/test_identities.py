from urllib.parse import quote

import httpx
import pytest

from tests.app.parts import person
from tests.app.routes.calls import enrol, enrol_people, names, query, refused


def test_people_are_listed_with_what_is_known(client: httpx.Client) -> None:
    enrol(client, person(0), "anna", camera="c2", captured_at="2026-05-02T10:00:00Z")
    enrol(client, person(0, view=1), "anna", camera="c1", captured_at="2026-05-01T10:00:00Z")
    enrol(client, person(1), "berta")
    answer = client.get("/identities").json()
    anna, berta = answer["items"]
    assert anna == {
        "identity": "anna",
        "samples": 2,
        "cameras": ["c1", "c2"],
        "first_seen": "2026-05-01T10:00:00Z",
        "last_seen": "2026-05-02T10:00:00Z",
    }
    assert berta == {"identity": "berta", "samples": 1, "cameras": [], "first_seen": None, "last_seen": None}
    assert answer["next_cursor"] is None
    assert client.get("/identities/anna").json() == anna


def test_people_are_paged(client: httpx.Client) -> None:
    enrol_people(client, 3)
    first = client.get("/identities", params={"limit": "2"}).json()
    rest = client.get("/identities", params={"limit": "2", "cursor": first["next_cursor"]}).json()
    assert [each["identity"] for each in first["items"] + rest["items"]] == ["p0", "p1", "p2"]
    assert rest["next_cursor"] is None
    refused(client.get("/identities", params={"cursor": "?"}), 400, "invalid_parameter", "cursor")


def path_of(name: str) -> str:
    return f"/identities/{quote(name, safe='')}".replace(".", "%2E")  # `..` would be resolved by the client


@pytest.mark.parametrize(
    "name", ["a/b", "/", "a//b/", "..", "../x", "ä ß", "100%", "%2F", "a?b#c", "image", "1/image", "a;b=c&d", "'; --"]
)
def test_any_name_is_found_renamed_and_erased(client: httpx.Client, name: str) -> None:
    enrol(client, person(0), name)
    path = path_of(name)
    assert client.get(path).json()["identity"] == name
    assert client.patch(path, json={"identity": f"{name}!"}).json()["identity"] == f"{name}!"
    erased = client.delete(path_of(f"{name}!")).json()
    assert (erased["samples_deleted"], erased["verified"]) == (1, True)
    refused(client.get(path), 404, "identity_not_found")


def test_rename_onto_a_name_that_exists_merges(client: httpx.Client) -> None:
    enrol_people(client, 2)
    assert client.patch("/identities/p0", json={"identity": "p1"}).json()["samples"] == 2
    assert names(query(client, person(0))) == ["p1"]
    refused(client.get("/identities/p0"), 404, "identity_not_found")


def test_erased_is_gone_everywhere(client: httpx.Client) -> None:
    [first, _] = enrol_people(client, 2)
    erased = client.delete("/identities/p0").json()
    assert erased == {
        "samples_deleted": 1,
        "images_deleted": 1,
        "vectors_deleted": 1,
        "verified": True,
        "backups": [],
    }
    assert names(query(client, person(0))) == ["p1"]
    refused(client.get(f"/gallery/{first}"), 404, "sample_not_found")
    refused(client.delete("/identities/p0"), 404, "identity_not_found")


def test_wrong_requests(client: httpx.Client) -> None:
    enrol_people(client, 1)
    refused(client.patch("/identities/p0", json={"identity": ""}), 400, "invalid_parameter", "identity")
    refused(client.patch("/identities/p0", json={"identity": "x" * 257}), 400, "invalid_parameter", "identity")
    refused(client.patch("/identities/p0", json={}), 400, "invalid_parameter", "identity")
    refused(client.patch("/identities/p0", content=b"x"), 400, "malformed_request")
    refused(client.patch("/identities/none", json={"identity": "x"}), 404, "identity_not_found")
    refused(client.get("/identities", params={"gallery": "none"}), 404, "gallery_not_found")
