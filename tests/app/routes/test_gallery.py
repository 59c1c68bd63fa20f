import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.parts import encode, person
from tests.app.routes.calls import enrol, enrol_people, files, names, query, refused


def post(client: httpx.Client, pictures: list[bytes], metadata: Any, **data: str) -> httpx.Response:  # noqa: ANN401
    return client.post("/gallery", files=files(pictures), data={"metadata": json.dumps(metadata), **data})


def test_each_item_has_its_own_outcome(client: httpx.Client) -> None:
    known = enrol(client, person(2), "p2")
    pictures = [person(0), b"text", person(2), person(3)[:-200], person(4), b"\xff" * 10_000_001]
    metadata: list[dict[str, Any]] = [{"identity": f"p{each}"} for each in (0, 1, 2, 3, 4, 5)]
    metadata[4]["captured_at"] = "2026-05-01T10:00:00"
    answer = post(client, pictures, metadata)
    assert answer.status_code == 207
    told = answer.json()
    assert (told["created"], told["duplicates"], told["rejected"]) == (1, 1, 4)
    assert [each["index"] for each in told["items"]] == [0, 1, 2, 3, 4, 5]
    assert told["items"][2] == {"index": 2, "status": "duplicate", "sample_id": known}
    assert [each.get("error", {}).get("code") for each in told["items"]] == [
        None,
        "unsupported_media",
        None,
        "image_truncated",
        "invalid_metadata",
        "file_too_large",
    ]
    assert told["items"][4]["error"]["field"] == "captured_at"
    assert set(names(query(client, person(0)))) == {"p0", "p2"}


def test_all_rejected_is_422_with_the_items(client: httpx.Client) -> None:
    answer = client.post("/gallery", files=files([b"text"]), data={"identity": "anna"})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["items"][0]["error"]["code"] == "unsupported_media"
    for data in (
        {},
        {"identity": ""},
        {"identity": "anna", "captured_at": "today"},
        {"identity": "anna", "x": "1"},
        {"identity": "a\nb"},
        {"identity": "x" * 257},
    ):
        answer = client.post("/gallery", files=files([person(0)]), data=data)
        assert answer.status_code == 422
        error = answer.json()["items"][0]["error"]
        assert error["code"] == "invalid_metadata"
        assert error["field"] in ("identity", "captured_at", "x", "attributes")


def test_sending_again_changes_nothing(client: httpx.Client) -> None:
    pictures = [person(each) for each in range(3)]
    metadata = [{"identity": f"p{each}", "camera": "c1"} for each in range(3)]
    first = post(client, pictures, metadata)
    again = post(client, pictures, metadata)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json()["duplicates"] == 3
    assert [each["sample_id"] for each in again.json()["items"]] == [
        each["sample_id"] for each in first.json()["items"]
    ]
    assert client.get("/gallery").json()["items"].__len__() == 3


def test_a_name_in_another_unicode_form_is_the_same_name(client: httpx.Client) -> None:
    first = enrol(client, person(0), "Ame\u0301lie", camera="cafe\u0301")
    assert enrol(client, person(0), "Am\u00e9lie", camera="caf\u00e9") == first
    assert names(query(client, person(0), camera="cafe\u0301")) == ["Am\u00e9lie"]
    assert len(client.get("/gallery", params={"identity": "Ame\u0301lie"}).json()["items"]) == 1


def test_duplicates_within_one_request(client: httpx.Client) -> None:
    told = post(client, [person(0), person(0)], [{"identity": "a"}, {"identity": "a"}]).json()
    assert (told["created"], told["duplicates"]) == (1, 1)
    assert told["items"][0]["sample_id"] == told["items"][1]["sample_id"]


def test_external_id_conflict_is_the_items_own(client: httpx.Client) -> None:
    enrol(client, person(0), "anna", external_id="frame-1")
    answer = post(
        client, [person(1), person(2)], [{"identity": "anna", "external_id": "frame-1"}, {"identity": "berta"}]
    )
    assert answer.status_code == 207
    assert answer.json()["items"][0]["error"]["code"] == "external_id_conflict"


@pytest.mark.parametrize(
    "metadata", ["", "{", "{}", "[]", '["p0"]', '[{"identity": "a"}, {"identity": "b"}]', "[NaN]", "null"]
)
def test_metadata_that_cannot_be_paired_takes_nothing(client: httpx.Client, metadata: str) -> None:
    answer = client.post("/gallery", files=files([person(0)]), data={"metadata": metadata})
    refused(answer, 400, "invalid_metadata")
    assert client.get("/gallery").json()["items"] == []


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_an_integer_over_64_bits_is_refused_as_in_a_change(client: httpx.Client, number: int) -> None:
    big = {"number": [number]}
    [item] = post(client, [person(0)], [{"identity": "a", "attributes": big}]).json()["items"]
    answer = client.post("/gallery", files=files([person(0)]), data={"identity": "a", "attributes": json.dumps(big)})
    [plain] = answer.json()["items"]
    kept = {"number": [2**64 - 1, -(2**63), 1.5]}
    [made] = post(client, [person(0)], [{"identity": "a", "attributes": kept}]).json()["items"]
    change = client.patch(f"/gallery/{made['sample_id']}", json={"attributes": big})
    refused(change, 400, "invalid_parameter", "attributes")
    told = {"code": "invalid_metadata", "detail": change.json()["detail"], "field": "attributes"}
    assert item["error"] == plain["error"] == told
    assert "64-bit" in told["detail"]
    assert client.get(f"/gallery/{made['sample_id']}").json()["attributes"] == kept


def test_wrong_requests(client: httpx.Client) -> None:
    refused(client.post("/gallery", files={"identity": (None, "a")}), 400, "invalid_parameter", "image")
    refused(client.post("/gallery", json={"identity": "a"}), 400, "malformed_request")
    refused(client.post("/gallery", files=files([person(0)] * 2), data={"identity": "a"}), 400, "invalid_metadata")
    refused(client.post("/gallery", files=files([b"x"] * 257), data={"metadata": "[]"}), 413, "too_many_images")
    answer = client.post("/gallery", files=files([person(0)]), data={"metadata": "[{}]", "identity": "a"})
    refused(answer, 400, "invalid_parameter", "identity")
    answer = client.post("/gallery", files=files([person(0)]), data={"identity": "a", "gallery": "none"})
    refused(answer, 404, "gallery_not_found")
    twice = [
        *files([person(0)]),
        *(("gallery", (None, name)) for name in ("none", "default")),
        ("identity", (None, "a")),
    ]
    refused(client.post("/gallery", files=twice), 400, "invalid_parameter", "gallery")
    huge = [b"\xff\xd8\xff" + bytes(9_999_000)] * 7
    refused(client.post("/gallery", files=files(huge), data={"metadata": "[]"}), 413, "request_too_large")


def test_many_pictures_at_once(client: httpx.Client) -> None:
    rng = np.random.default_rng(0)
    pictures = [encode(rng.integers(0, 256, (32, 16, 3), dtype=np.uint8), "PNG") for _ in range(256)]
    answer = post(client, pictures, [{"identity": f"p{each}"} for each in range(256)])
    assert answer.status_code == 201
    assert answer.json()["created"] == 256
    for each in (0, 255):
        found = query(client, pictures[each], top_k="1")
        assert names(found) == [f"p{each}"]
        assert found["identities"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_pictures_enrolled_at_the_same_time_are_all_there(client: httpx.Client) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda each: enrol(client, person(each), f"p{each}"), range(24)))
    assert set(names(query(client, person(0), top_k="100"))) == {f"p{each}" for each in range(24)}


def test_sample_is_shown_whole(client: httpx.Client) -> None:
    picture = person(0)
    sample = enrol(
        client,
        picture,
        "anna",
        camera="c1",
        captured_at="2026-05-01T10:00:00.5+02:00",
        attributes={"bag": [1, None]},
        external_id="frame-1",
    )
    told = client.get(f"/gallery/{sample}").json()
    assert told.pop("enrolled_at").endswith("Z")
    assert told == {
        "sample_id": sample,
        "gallery": "default",
        "identity": "anna",
        "camera": "c1",
        "captured_at": "2026-05-01T08:00:00.500000Z",
        "attributes": {"bag": [1, None]},
        "external_id": "frame-1",
        "sha256": hashlib.sha256(picture).hexdigest(),
        "image_url": f"/gallery/{sample}/image",
    }


@pytest.mark.parametrize(
    ("kind", "media_type"),
    [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp"), ("BMP", "image/bmp")],
)
def test_picture_comes_back_as_it_was(client: httpx.Client, kind: str, media_type: str) -> None:
    picture = encode(np.random.default_rng(0).integers(0, 256, (32, 16, 3), dtype=np.uint8), kind)
    answer = client.get(f"/gallery/{enrol(client, picture, 'anna')}/image")
    assert answer.content == picture
    assert answer.headers["content-type"] == media_type
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_list_is_paged_and_filtered(client: httpx.Client) -> None:
    enrol_people(client, 5)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = client.get("/gallery", params={"limit": "2", **cursor}).json()
        seen += [each["identity"] for each in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == [f"p{each}" for each in range(5)]
    filtered = client.get("/gallery", params={"camera": ["c1", "c2"], "identity": "p2"}).json()["items"]
    assert [each["identity"] for each in filtered] == ["p2"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": "0"}, "limit"),
        ({"limit": "1001"}, "limit"),
        ({"limit": "x"}, "limit"),
        ({"cursor": "no cursor"}, "cursor"),
        ({"captured_after": "2026-05-01"}, "captured_after"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_list_parameters(client: httpx.Client, params: dict[str, str], field: str) -> None:
    refused(client.get("/gallery", params=params), 400, "invalid_parameter", field)


def test_change_replaces_and_clears(client: httpx.Client) -> None:
    sample = enrol(client, person(0), "anna", camera="c1", captured_at="2026-05-01T10:00:00Z", attributes={"a": 1})
    told = client.patch(f"/gallery/{sample}", json={"identity": "berta", "camera": None}).json()
    assert (told["identity"], told["camera"], told["captured_at"]) == ("berta", None, "2026-05-01T10:00:00Z")
    assert told["attributes"] == {"a": 1}
    told = client.patch(
        f"/gallery/{sample}", json={"captured_at": "2026-05-02T10:00:00+01:00", "attributes": {}}
    ).json()
    assert (told["captured_at"], told["attributes"]) == ("2026-05-02T09:00:00Z", {})
    assert client.get(f"/gallery/{sample}").json() == told
    assert names(query(client, person(0))) == ["berta"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"identity": None}, "identity"),
        ({"identity": ""}, "identity"),
        ({"identity": "a\x00b"}, "identity"),
        ({"external_id": "x"}, "external_id"),
        ({"captured_at": "2026-05-01T10:00:00"}, "captured_at"),
        ({"attributes": [1]}, "attributes"),
    ],
)
def test_wrong_change(client: httpx.Client, body: dict[str, Any], field: str) -> None:
    sample = enrol(client, person(0), "anna")
    refused(client.patch(f"/gallery/{sample}", json=body), 400, "invalid_parameter", field)
    assert client.get(f"/gallery/{sample}").json()["identity"] == "anna"


def test_deleted_sample_is_gone_from_the_next_query(client: httpx.Client) -> None:
    first, _ = enrol_people(client, 2)
    answer = client.delete(f"/gallery/{first}")
    assert (answer.status_code, answer.content) == (204, b"")
    assert names(query(client, person(0))) == ["p1"]
    for call in (client.get, client.delete):
        refused(call(f"/gallery/{first}"), 404, "sample_not_found")
    refused(client.get(f"/gallery/{first}/image"), 404, "sample_not_found")
    refused(client.patch(f"/gallery/{first}", json={"camera": "c"}), 404, "sample_not_found")


def test_sample_of_another_gallery_is_not_found(client: httpx.Client) -> None:
    sample = enrol(client, person(0), "anna")
    client.put("/galleries/other", json={})
    refused(client.get(f"/gallery/{sample}", params={"gallery": "other"}), 404, "sample_not_found")
    refused(client.get(f"/gallery/{sample}", params={"gallery": "none"}), 404, "gallery_not_found")
    refused(client.get(f"/gallery/{sample}", params={"x": "1"}), 400, "invalid_parameter", "x")
