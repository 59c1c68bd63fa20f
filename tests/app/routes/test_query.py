import io
import json
import threading
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from app.application import create_app
from app.errors import Overloaded
from app.querying import Query, rank
from app.service import Service
from app.strangers import Strangers
from index.records import Ranking
from tests.app.parts import INPUT, OUTPUT, VERSION, encode, person, tiny_embedding, tiny_settings
from tests.app.routes.calls import enrol, enrol_people, files, names, query, refused
from tests.app.server import serving
from tests.waiting import until

RGB = np.random.default_rng(0).integers(0, 256, (64, 32, 3), dtype=np.uint8)


def embedding_of(picture: bytes) -> np.ndarray[Any, Any]:
    with Image.open(io.BytesIO(picture)) as image:
        return tiny_embedding(np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("path", ["/gallery", "/query", "/query/batch", "/verify", "/embed"])
def test_fields_in_the_address_are_refused(client: httpx.Client, path: str) -> None:
    answer = client.post(f"{path}?gallery=shop&top_k=1", files=files([person(0)]), data={"identity": "a"})
    told = refused(answer, 400, "invalid_parameter", "gallery")
    assert told["detail"] == "expected it as a field of the form, found it in the address"
    assert client.get("/gallery").json()["items"] == []


def test_fields_of_a_json_query_in_the_address_are_refused(client: httpx.Client) -> None:
    answer = client.post("/query?top_k=", json={"sample_id": enrol(client, person(0), "anna")})
    told = refused(answer, 400, "invalid_parameter", "top_k")
    assert told["detail"] == "expected it as a field of the body, found it in the address"


def test_answer_has_every_field_and_the_true_scores(client: httpx.Client) -> None:
    sample = enrol(
        client, person(0), "anna", camera="c1", captured_at="2026-05-01T12:00:00+02:00", attributes={"bag": True}
    )
    enrol(client, person(1), "berta")
    answer = query(client, person(0, view=1))
    expected = float(embedding_of(person(0)) @ embedding_of(person(0, view=1)))
    [first, second] = answer["identities"]
    assert first == {
        "rank": 1,
        "identity": "anna",
        "score": pytest.approx(expected, abs=1e-5),
        "match": expected >= 0.95,
        "false_alarm_rate": None,
        "samples": [
            {
                "sample_id": sample,
                "score": first["score"],
                "camera": "c1",
                "captured_at": "2026-05-01T10:00:00Z",
                "attributes": {"bag": True},
                "image_url": f"/gallery/{sample}/image",
            }
        ],
    }
    assert second["rank"] == 2
    assert second["score"] <= first["score"]
    assert answer | {"query_id": "", "identities": [], "timing_ms": {}} == {
        "query_id": "",
        "model_version": VERSION,
        "gallery": "default",
        "verdict": "match",
        "threshold": 0.95,
        "false_match_rate": 0.001,
        "false_alarm_rate": None,
        "identities": [],
        "searched": 2,
        "timing_ms": {},
    }
    assert len(answer["query_id"]) == 26
    assert set(answer["timing_ms"]) == {"decode", "queue", "embed", "search", "total"}
    assert answer["timing_ms"]["total"] >= answer["timing_ms"]["embed"] > 0


def test_verdict_follows_the_threshold(client: httpx.Client) -> None:
    enrol(client, person(0), "anna")
    same = query(client, person(0))
    assert same["verdict"] == "match"
    assert same["identities"][0]["match"] is True
    other = query(client, person(3), threshold="0.9999")
    assert other["verdict"] == "unknown"
    assert other["identities"][0]["match"] is False
    assert (other["threshold"], other["false_match_rate"]) == (0.9999, None)
    assert query(client, person(0), false_match_rate="0.0001")["threshold"] == 0.99


def test_the_line_may_be_drawn_by_who_is_not_in_the_gallery(client: httpx.Client) -> None:
    pictures = [person(each) for each in range(25)]
    for place, picture in enumerate(pictures):
        enrol(client, picture, f"p{place}")
    embeddings = np.stack([embedding_of(each) for each in pictures])
    scores = embeddings @ embeddings.T
    strangers = sorted((scores - 3 * np.eye(25)).max(axis=1).tolist())  # each with somebody else
    answer = query(client, person(3, view=1), false_alarm_rate="0.2")
    assert answer["threshold"] == pytest.approx(strangers[-5], abs=1e-5)  # 4 reach more, and the one who asks: 5 of 26
    assert answer["false_match_rate"] is None
    assert answer["false_alarm_rate"] == pytest.approx(5 / 26)
    for each in answer["identities"]:
        reached = sum(score >= each["score"] for score in strangers)
        assert each["false_alarm_rate"] == pytest.approx((reached + 1) / 26)
        assert each["match"] == (each["false_alarm_rate"] <= 0.2)
    known = query(client, person(3, view=1))
    assert (known["threshold"], known["false_match_rate"]) == (0.95, 0.001)
    assert known["false_alarm_rate"] == pytest.approx((sum(score >= 0.95 for score in strangers) + 1) / 26)
    other = query(client, person(3, view=1), false_alarm_rate="0.2", threshold="0.5")
    assert (other["threshold"], other["verdict"]) == (0.5, "match")
    assert query(client, person(3, view=1), false_alarm_rate="0.2", camera="c9")["identities"] == []
    batch = client.post("/query/batch", files=files(pictures[:2]), data={"false_alarm_rate": "0.2"}).json()["results"]
    assert [each["threshold"] for each in batch] == [answer["threshold"]] * 2
    found = client.post("/query", json={"sample_id": enrol(client, person(30), "new"), "false_alarm_rate": 0.2}).json()
    assert found["threshold"] == answer["threshold"]  # one more in twenty-five is nothing to measure again for


def test_too_few_people_cannot_tell_how_many_strangers_match(client: httpx.Client) -> None:
    enrol_people(client, 3)
    answer = query(client, person(0), false_alarm_rate="0.2")
    assert (answer["verdict"], answer["threshold"], answer["false_alarm_rate"]) == ("uncalibrated", None, None)
    assert query(client, person(0))["verdict"] == "match"


def test_a_query_begins_to_measure_the_strangers(client: httpx.Client) -> None:
    enrol_people(client, 22)
    assert query(client, person(0))["false_alarm_rate"] is None
    until(lambda: query(client, person(0))["false_alarm_rate"] is not None)
    assert client.delete("/galleries/default").status_code == 200
    enrol_people(client, 22)
    assert query(client, person(0))["false_alarm_rate"] is None


def test_a_threshold_of_ones_own_waits_for_no_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        enrol(client, person(0), "anna")
        monkeypatch.setattr(app.state.service.false_alarms, "measured", None)
        assert query(client, person(0), threshold="0.5", false_alarm_rate="0.1")["threshold"] == 0.5


def test_strangers_are_measured_from_the_start(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path))) as client:
        enrol_people(client, 22)
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        until(lambda: bool(app.state.service.false_alarms._known))
        assert query(client, person(0))["false_alarm_rate"] is not None


def test_empty_gallery_knows_nobody(client: httpx.Client) -> None:
    answer = query(client, person(0))
    assert (answer["verdict"], answer["identities"], answer["searched"]) == ("unknown", [], 0)


def test_filters_that_leave_nothing_are_unknown(client: httpx.Client) -> None:
    enrol_people(client, 2)
    answer = query(client, person(0), camera="c9")
    assert (answer["verdict"], answer["identities"], answer["searched"]) == ("unknown", [], 0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"camera": ["c0", "c2"]}, {"p0", "p2"}),
        ({"exclude_camera": ["c0"]}, {"p1", "p2", "nowhere"}),
        ({"captured_after": "2026-05-02T00:00:00Z"}, {"p1", "p2"}),
        ({"captured_before": "2026-05-02T00:00:00Z"}, {"p0"}),
        ({"captured_after": "2026-05-01T00:00:00Z", "captured_before": "2026-05-03T00:00:00Z"}, {"p0", "p1"}),
        ({"attributes": '{"n": 1}'}, {"p1"}),
        ({"attributes": '{"n": true}'}, set()),
    ],
)
def test_filters(client: httpx.Client, fields: dict[str, Any], expected: set[str]) -> None:
    for each in range(3):
        time = f"2026-05-0{each + 1}T00:00:00Z"
        enrol(client, person(each), f"p{each}", camera=f"c{each}", captured_at=time, attributes={"n": each})
    enrol(client, person(3), "nowhere")
    answer = query(client, person(0), **fields)
    assert set(names(answer)) == expected
    assert answer["searched"] == len(expected)


def test_how_much_is_answered(client: httpx.Client) -> None:
    enrol_people(client, 4)
    for view in range(1, 4):
        enrol(client, person(0, view=view), "p0")
    answer = query(client, person(0), top_k="2", samples_per_identity="2")
    assert [len(each["samples"]) for each in answer["identities"]] == [2, 1]
    assert answer["searched"] == 7
    assert [len(each["samples"]) for each in query(client, person(0), samples_per_identity="0")["identities"]] == [
        0
    ] * 4


def test_query_by_sample_leaves_it_out(client: httpx.Client) -> None:
    [first, *_] = enrol_people(client, 3)
    by_form = client.post("/query", files={"sample_id": (None, first)}).json()
    by_json = client.post("/query", json={"sample_id": first}).json()
    assert by_form["identities"] == by_json["identities"]
    assert set(names(by_form)) == {"p1", "p2"}
    assert by_form["searched"] == 2


@pytest.mark.parametrize("factor", [3.0, 1e300, 1e-300])
def test_query_by_embedding_equals_query_by_picture(client: httpx.Client, factor: float) -> None:
    enrol_people(client, 3)
    [embedding] = client.post("/embed", files=files([person(1, view=1)])).json()["embeddings"]
    body = {"embedding": [factor * value for value in embedding], "model_version": VERSION, "top_k": 2}
    found = client.post("/query", json=body).json()["identities"]
    expected = query(client, person(1, view=1), top_k="2")["identities"]
    assert names({"identities": found}) == names({"identities": expected})
    assert [each["score"] for each in found] == pytest.approx([each["score"] for each in expected], abs=1e-6)


def test_tracklet_is_pooled_without_its_outlier(client: httpx.Client) -> None:
    enrol_people(client, 4)
    tracklet = [person(0, view=view) for view in range(4)]
    noise = encode(np.tile(RGB, (2, 2, 1)), "PNG")
    with_outlier = query(client, *tracklet, noise)
    pooled = query(client, *tracklet)
    assert with_outlier["identities"] == pooled["identities"]
    mean = np.mean([embedding_of(each) for each in tracklet], axis=0)
    best = max(float(embedding_of(person(each)) @ mean / np.linalg.norm(mean)) for each in range(4))
    assert pooled["identities"][0]["score"] == pytest.approx(best, abs=1e-4)


def test_reranking_reorders_and_keeps_cosines(client: httpx.Client) -> None:
    enrol_people(client, 6)
    plain = query(client, person(2, view=1))
    reranked = query(client, person(2, view=1), rerank="true")
    scores = {each["identity"]: each["score"] for each in plain["identities"]}
    assert {each["identity"]: each["score"] for each in reranked["identities"]} == scores
    assert [each["rank"] for each in reranked["identities"]] == [1, 2, 3, 4, 5, 6]
    assert reranked["verdict"] == plain["verdict"]
    short = query(client, person(2, view=1), rerank="true", top_k="2", samples_per_identity="0")
    assert names(short) == names(reranked)[:2]
    assert short["identities"][0]["samples"] == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"top_k": "0"}, "top_k"),
        ({"colour": "red"}, "colour"),
        ({"captured_after": "2026-05-01T10:00:00"}, "captured_after"),
        ({"false_match_rate": "0.5"}, "false_match_rate"),
        ({"false_alarm_rate": "1"}, "false_alarm_rate"),
        ({"top_k": ["1", "2"]}, "top_k"),
        ({"sample_id": "x"}, "sample_id"),
        ({"embedding": "[1]"}, "embedding"),
    ],
)
def test_wrong_form_field(client: httpx.Client, fields: dict[str, Any], field: str) -> None:
    refused(client.post("/query", files=files([person(0)]), data=fields), 400, "invalid_parameter", field)


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 400, "invalid_parameter", "embedding"),
        ({"embedding": [1.0] * OUTPUT.dim}, 400, "invalid_parameter", "model_version"),
        ({"embedding": [1.0] * OUTPUT.dim, "model_version": "tiny@2"}, 409, "model_mismatch", None),
        ({"embedding": [1.0] * 5, "model_version": VERSION}, 422, "dimension_mismatch", None),
        ({"embedding": [0.0] * OUTPUT.dim, "model_version": VERSION}, 400, "invalid_parameter", "embedding"),
        ({"embedding": ["a"], "model_version": VERSION}, 400, "invalid_parameter", "embedding"),
        ({"embedding": [1.0], "sample_id": "x", "model_version": VERSION}, 400, "invalid_parameter", "embedding"),
        ({"sample_id": "nobody"}, 404, "sample_not_found", None),
        ({"sample_id": "nobody", "gallery": "none"}, 404, "gallery_not_found", None),
        ({"sample_id": "nobody", "top_k": "5"}, 400, "invalid_parameter", "top_k"),
        ({"sample_id": "nobody", "camera": "c1"}, 400, "invalid_parameter", "camera"),
    ],
)
def test_wrong_json(client: httpx.Client, body: dict[str, Any], status: int, code: str, field: str | None) -> None:
    refused(client.post("/query", json=body), status, code, field)


@pytest.mark.parametrize("content", [b"{", b"[]", b'{"top_k": NaN}'])
def test_malformed_json(client: httpx.Client, content: bytes) -> None:
    answer = client.post("/query", content=content, headers={"Content-Type": "application/json"})
    refused(answer, 400, "malformed_request")


def test_wrong_content_type(client: httpx.Client) -> None:
    refused(client.post("/query", content=b"x", headers={"Content-Type": "text/plain"}), 400, "malformed_request")
    refused(client.post("/query"), 400, "malformed_request")


def test_no_picture_is_a_missing_field(client: httpx.Client) -> None:
    refused(client.post("/query", files={"top_k": (None, "5")}), 400, "invalid_parameter", "image")


def test_unknown_gallery(client: httpx.Client) -> None:
    answer = client.post("/query", files=files([person(0)]), data={"gallery": "none"})
    refused(answer, 404, "gallery_not_found")


@pytest.mark.parametrize("pictures", [[person(0), b"text"], [b"text"], [b"text", b""]])
def test_a_batch_in_an_unknown_gallery_is_refused_whatever_its_pictures(
    client: httpx.Client, pictures: list[bytes]
) -> None:
    answer = client.post("/query/batch", files=files(pictures), data={"gallery": "none"})
    refused(answer, 404, "gallery_not_found")
    results = client.post("/query/batch", files=files([b"text"])).json()["results"]
    assert [each["error"]["code"] for each in results] == ["unsupported_media"]


def test_more_pictures_than_a_tracklet_holds(client: httpx.Client) -> None:
    refused(client.post("/query", files=files([person(0)] * 33)), 413, "too_many_images")


def test_one_bad_picture_refuses_the_query_with_its_place(client: httpx.Client) -> None:
    pictures = [person(0), person(0)[:-200], person(0)]
    problem = refused(client.post("/query", files=files(pictures)), 422, "image_truncated", "image")
    assert problem["detail"].startswith("image 1: ")


JPEG = person(0)
BOMB = encode(np.zeros((1, 1, 3), np.uint8), "BMP")
BOMB = BOMB[:18] + (30_000).to_bytes(4, "little") * 2 + BOMB[26:]
REFUSED = [
    (b"", 415, "unsupported_media"),
    (b"just text", 415, "unsupported_media"),
    (encode(RGB, "GIF"), 415, "unsupported_media"),
    (encode(RGB, "TIFF"), 415, "unsupported_media"),
    (JPEG[: len(JPEG) // 2], 422, "image_truncated"),
    (encode(RGB, "PNG")[:-100], 422, "image_truncated"),
    (encode(RGB[:4, :4], "PNG"), 422, "image_too_small"),
    (BOMB, 413, "too_many_pixels"),
    (b"\xff\xd8\xff" + b"\x00" * 10_000_000, 413, "file_too_large"),
]


@pytest.mark.parametrize(
    ("picture", "status", "code"), REFUSED, ids=[f"{place}-{each[2]}" for place, each in enumerate(REFUSED)]
)
def test_bad_picture_gets_its_code_and_the_next_good_one_its_answer(
    client: httpx.Client, picture: bytes, status: int, code: str
) -> None:
    enrol_people(client, 2)
    refused(client.post("/query", files=files([picture])), status, code, "image")
    assert names(query(client, person(0)))[0] == "p0"


EXIF = Image.Exif()
EXIF[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
UPRIGHT = np.asarray(Image.fromarray(RGB).resize((64, 128)))
ODD = [
    (encode(np.rot90(UPRIGHT), "PNG", exif=EXIF), UPRIGHT),
    (encode(UPRIGHT, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", (64, 128))]), UPRIGHT),
    (encode(UPRIGHT, "BMP"), UPRIGHT),
    (encode(UPRIGHT[:, :, 0], "PNG"), np.repeat(UPRIGHT[:, :, :1], 3, axis=2)),
    (encode(UPRIGHT[:, :, 0].astype(np.uint16) * 257, "PNG"), np.repeat(UPRIGHT[:, :, :1], 3, axis=2)),
]


@pytest.mark.parametrize(("picture", "rgb"), ODD, ids=["turned", "animated", "bmp", "grey", "16-bit"])
def test_odd_pictures_are_embedded_as_they_look(
    client: httpx.Client, picture: bytes, rgb: np.ndarray[Any, Any]
) -> None:
    answer = client.post("/embed", files=files([picture])).json()
    assert answer["embeddings"][0] == pytest.approx(tiny_embedding(rgb), abs=1e-5)


def test_cmyk_is_read(client: httpx.Client) -> None:
    buffer = io.BytesIO()
    Image.fromarray(UPRIGHT).convert("CMYK").save(buffer, "JPEG")
    assert client.post("/embed", files=files([buffer.getvalue()])).status_code == 200


def test_batch_answers_in_order_and_bad_pictures_fail_alone(client: httpx.Client) -> None:
    enrol_people(client, 3)
    pictures = [person(2), b"text", person(0), person(1)[:-200], b"\xff" * 10_000_001]
    answer = client.post("/query/batch", files=files(pictures), data={"top_k": "1"})
    assert answer.status_code == 200
    results = answer.json()["results"]
    assert [names(each) if "identities" in each else each["error"]["code"] for each in results] == [
        ["p2"],
        "unsupported_media",
        ["p0"],
        "image_truncated",
        "file_too_large",
    ]
    assert results[0]["query_id"] != results[2]["query_id"]
    assert results[0]["verdict"] == "match"


def test_the_picture_that_refuses_a_whole_query_is_named(client: httpx.Client) -> None:
    for picture, status, code in REFUSED:
        answer = client.post("/query", files=files([person(0), picture]))
        refused(answer, status, code, "image")
        assert answer.json()["detail"].startswith("image 1: ")
        two = [("image_a", ("a", person(0))), ("image_b", ("b", picture))]
        refused(client.post("/verify", files=two), status, code, "image_b")


def test_a_large_batch_is_answered_a_few_queries_at_a_time(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol_people(client, 4)
    pictures = [b"text", *(person(number % 4) for number in range(7)), b"text"]
    asked = {"top_k": "3", "samples_per_identity": "2"}
    searched: list[int] = []

    def results() -> list[Any]:
        answer = client.post("/query/batch", files=files(pictures), data=asked)
        assert answer.status_code == 200
        changing = {"query_id", "timing_ms"}
        return [{name: each[name] for name in each.keys() - changing} for each in answer.json()["results"]]

    async def counted(service: Service, query: Query, embeddings: NDArray[np.float32]) -> list[Ranking]:
        searched.append(len(embeddings))
        return await rank(service, query, embeddings)

    monkeypatch.setattr("app.routes.query.rank", counted)
    whole = results()
    monkeypatch.setattr("app.routes.query.MOST_ROWS", 12)
    monkeypatch.setattr("app.querying._AT_ONCE", 0)
    assert results() == whole
    assert searched == [7, 2, 2, 2, 1]
    assert [each["error"]["code"] for each in (whole[0], whole[-1])] == ["unsupported_media"] * 2
    assert [names(each)[0] for each in whole[1:-1]] == [f"p{number % 4}" for number in range(7)]


@pytest.mark.parametrize("asked", [{"false_alarm_rate": "0.2"}, {}])
def test_a_batchs_line_is_drawn_by_one_measurement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, str]
) -> None:
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        enrol_people(client, 4)
        alarms = app.state.service.false_alarms
        moving = (Strangers(tuple(np.linspace(0.1, 0.9, n))) for n in range(20, 80))  # another one whenever it is asked
        monkeypatch.setattr(alarms, "latest", lambda *_: next(moving))
        monkeypatch.setattr(alarms, "measured", AsyncMock(side_effect=moving))
        monkeypatch.setattr("app.routes.query.MOST_ROWS", 60)  # two pictures
        answer = client.post("/query/batch", files=files([person(each) for each in range(6)]), data=asked)
        results = answer.json()["results"]
        assert len(results) == 6
        assert len({(each["threshold"], each["false_alarm_rate"]) for each in results}) == 1
        assert query(client, person(0), **asked)["false_alarm_rate"] != results[0]["false_alarm_rate"]


def test_what_fails_after_a_batchs_answer_began_fails_alone(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol_people(client, 4)
    calls: list[int] = []

    async def failing(service: Service, query: Query, embeddings: NDArray[np.float32]) -> list[Ranking]:
        calls.append(len(embeddings))
        if len(calls) in fail_at:
            raise Overloaded("planted")
        return await rank(service, query, embeddings)

    monkeypatch.setattr("app.routes.query.rank", failing)
    monkeypatch.setattr("app.routes.query.MOST_ROWS", 2)
    pictures, fields = (
        [person(0), person(1), b"text", person(2), person(3)],
        {"top_k": "1", "samples_per_identity": "1"},
    )
    fail_at = {2}
    results = client.post("/query/batch", files=files(pictures), data=fields).json()["results"]
    told = [names(each)[0] if "identities" in each else each["error"]["code"] for each in results]
    assert told == ["p0", "p1", "unsupported_media", "overloaded", "overloaded"]
    calls.clear()
    fail_at = {1}
    refused(client.post("/query/batch", files=files(pictures), data=fields), 429, "overloaded")


def test_large_answers_wait_for_no_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.querying._AT_ONCE", 0)
    app = create_app(tiny_settings(tmp_path))
    with serving(app) as client:
        enrol_people(client, 2)
        written = threading.Event()
        writes = [app.state.service.pipeline._keeping._pool.submit(written.wait, 5) for _ in range(4)]
        assert names(query(client, person(0)))[0] == "p0"
        assert not any(each.done() for each in writes)
        written.set()


def test_batch_limits(client: httpx.Client) -> None:
    assert client.post("/query/batch", files=files([person(0)] * 64)).status_code == 200
    refused(client.post("/query/batch", files=files([person(0)] * 65)), 413, "too_many_images")
    refused(client.post("/query/batch", files={"top_k": (None, "1")}), 400, "invalid_parameter", "image")
    answer = client.post("/query/batch", files=files([person(0)]), data={"sample_id": "x"})
    refused(answer, 400, "invalid_parameter", "sample_id")


def test_verify(client: httpx.Client) -> None:
    pictures = files([person(0)], "image_a") + files([person(1)], "image_b")
    answer = client.post("/verify", files=pictures, data={"threshold": "0.1"}).json()
    expected = float(embedding_of(person(0)) @ embedding_of(person(1)))
    assert answer == {
        "score": pytest.approx(expected, abs=1e-5),
        "match": expected >= 0.1,
        "threshold": 0.1,
        "false_match_rate": None,
        "model_version": VERSION,
    }
    same = files([person(0)], "image_a") + files([person(0)], "image_b")
    assert client.post("/verify", files=same).json()["match"] is True


def test_verify_needs_one_of_each(client: httpx.Client) -> None:
    first, second = files([person(0)], "image_a"), files([b"text"], "image_b")
    refused(client.post("/verify", files=first), 400, "invalid_parameter", "image_b")
    refused(client.post("/verify", files=first * 2), 400, "invalid_parameter", "image_a")
    refused(client.post("/verify", files=first + second), 415, "unsupported_media", "image_b")
    refused(client.post("/verify", files=first, data={"top_k": "1"}), 400, "invalid_parameter", "top_k")


def test_embed(client: httpx.Client) -> None:
    answer = client.post("/embed", files=files([person(0), person(1)])).json()
    assert (answer["model_version"], answer["dim"]) == (VERSION, OUTPUT.dim)
    for found, each in zip(answer["embeddings"], (0, 1), strict=True):
        assert found == pytest.approx(embedding_of(person(each)), abs=1e-5)
    assert np.linalg.norm(answer["embeddings"], axis=1) == pytest.approx([1, 1], abs=1e-5)


def test_embed_refuses_what_it_does_not_know(client: httpx.Client) -> None:
    refused(client.post("/embed", files=files([person(0)] * 65)), 413, "too_many_images")
    answer = client.post("/embed", files=files([person(0)]), data={"top_k": "1"})
    refused(answer, 400, "invalid_parameter", "top_k")


def test_large_pictures_are_resized_like_the_models_input(client: httpx.Client) -> None:
    large = encode(np.asarray(Image.fromarray(UPRIGHT).resize((640, 1280))), "PNG")
    assert client.post("/embed", files=files([large])).json()["dim"] == OUTPUT.dim
    assert (INPUT.height, INPUT.width) == (128, 64)


def test_answers_are_plain_json(client: httpx.Client) -> None:
    enrol_people(client, 1)
    answer = client.post("/query", files=files([person(0)]))
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.content)["identities"]
