from pathlib import Path

import httpx
import pytest

from app.application import create_app
from app.errors import Overloaded
from index.gallery import GalleryStore
from index.records import Erased
from tests.app.parts import person, tiny_settings
from tests.app.routes.calls import enrol, files, names, query, refused
from tests.app.server import serving

DEFAULT = {"name": "default", "retention_days": None, "store_images": True, "samples": 0, "identities": 0}


def test_default_gallery_is_always_there(client: httpx.Client) -> None:
    assert client.get("/galleries").json() == {"items": [DEFAULT]}


def test_galleries_are_apart(client: httpx.Client) -> None:
    made = client.put("/galleries/shop-1", json={"retention_days": 30, "store_images": True}).json()
    assert made == DEFAULT | {"name": "shop-1", "retention_days": 30}
    sample = enrol(client, person(0), "anna", gallery="shop-1")
    assert names(query(client, person(0))) == []
    found = query(client, person(0), gallery="shop-1")
    assert names(found) == ["anna"]
    url = found["identities"][0]["samples"][0]["image_url"]
    assert url == f"/gallery/{sample}/image?gallery=shop-1"
    assert client.get(url).content == person(0)
    assert [(each["name"], each["samples"]) for each in client.get("/galleries").json()["items"]] == [
        ("default", 0),
        ("shop-1", 1),
    ]


def test_gallery_without_pictures_keeps_none(client: httpx.Client) -> None:
    client.put("/galleries/blind", json={"store_images": False})
    sample = enrol(client, person(0), "anna", gallery="blind")
    assert client.get(f"/gallery/{sample}", params={"gallery": "blind"}).json()["image_url"] is None
    assert query(client, person(0), gallery="blind")["identities"][0]["samples"][0]["image_url"] is None
    answer = client.get(f"/gallery/{sample}/image", params={"gallery": "blind"})
    refused(answer, 404, "image_not_stored")


def test_an_altered_picture_is_told_as_such_and_mended_by_the_file(client: httpx.Client, tmp_path: Path) -> None:
    sample = enrol(client, person(0), "anna")
    (kept,) = (each for each in (tmp_path / "pictures").rglob("*") if each.is_file())
    kept.write_bytes(person(1))
    answer = client.get(f"/gallery/{sample}/image")
    refused(answer, 500, "internal_error")
    assert "enrol the very same file again" in answer.json()["detail"]
    enrol(client, person(0), "anna")
    assert client.get(f"/gallery/{sample}/image").content == person(0)


def test_deleted_gallery_is_gone(client: httpx.Client) -> None:
    client.put("/galleries/shop", json={})
    enrol(client, person(0), "anna", gallery="shop")
    erased = client.delete("/galleries/shop").json()
    assert (erased["samples_deleted"], erased["verified"]) == (1, True)
    refused(client.delete("/galleries/shop"), 404, "gallery_not_found")
    answer = client.post("/query", files=files([person(0)]), data={"gallery": "shop"})
    refused(answer, 404, "gallery_not_found")


def test_a_deletion_is_answered_however_many_calls_wait_behind_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, delete = create_app(tiny_settings(tmp_path)), GalleryStore.delete_gallery

    def full(*_: object) -> None:
        raise Overloaded("planted")

    def deleted(store: GalleryStore, name: str, actor: str | None) -> Erased:
        monkeypatch.setattr(app.state.service.pipeline, "keep", full)
        return delete(store, name, actor)

    monkeypatch.setattr(GalleryStore, "delete_gallery", deleted)
    with serving(app) as client:
        enrol(client, person(0), "anna")
        assert client.delete("/galleries/default").json()["samples_deleted"] == 1


def test_wrong_settings(client: httpx.Client) -> None:
    for body, field in (
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": "30"}, "retention_days"),
        ({"store_images": "no"}, "store_images"),
        ({"colour": "red"}, "colour"),
    ):
        refused(client.put("/galleries/shop", json=body), 400, "invalid_parameter", field)
    refused(client.put("/galleries/shop", content=b"{"), 400, "malformed_request")
    refused(client.put("/galleries/a%2Fb", json={}), 400, "invalid_parameter", "name")
    assert client.get("/galleries").json() == {"items": [DEFAULT]}
