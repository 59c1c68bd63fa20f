import json
from pathlib import Path

import pytest
from rich.console import Console

from app import false_alarms
from app.application import create_app
from app.cli.query import bar, show
from app.settings import load_settings
from tests.app.cli.conftest import Reid
from tests.app.server import serving


@pytest.fixture
def enrolled(reid: Reid, data_dir: Path, market: Path) -> Path:
    assert reid("ingest", market, "--json").code == 0
    return market


def one_query(market: Path) -> Path:
    return sorted((market / "query").iterdir())[0]


def test_an_enrolled_picture_is_found_with_score_1(reid: Reid, enrolled: Path) -> None:
    picture = sorted((enrolled / "bounding_box_test").glob("0001_*"))[0]
    answer = json.loads(reid("query", picture, "--json").out)
    assert answer["verdict"] == "match"
    assert answer["identities"][0]["identity"] == "0001"
    assert answer["identities"][0]["score"] == pytest.approx(1, abs=1e-5)


def test_the_answer_has_what_http_answers(reid: Reid, enrolled: Path, data_dir: Path) -> None:
    arguments = ["--top-k", "3", "--exclude-camera", "c1", "--samples-per-identity", "2"]
    answer = json.loads(reid("query", one_query(enrolled), *arguments, "--json").out)
    fields = {"top_k": "3", "exclude_camera": "c1", "samples_per_identity": "2"}
    with serving(create_app(load_settings(data_dir=data_dir))) as client:
        other = client.post("/query", data=fields, files={"image": one_query(enrolled).read_bytes()}).json()
    for each in (answer, other):
        del each["query_id"], each["timing_ms"]
    assert answer == other


@pytest.mark.parametrize("by_sample", [False, True])
def test_a_sample_and_re_ranking_answer_what_http_answers(
    reid: Reid, enrolled: Path, data_dir: Path, *, by_sample: bool
) -> None:
    found = json.loads(reid("query", one_query(enrolled), "--json").out)["identities"]
    sample_id = found[0]["samples"][0]["sample_id"]
    sought = ["--sample", sample_id] if by_sample else [one_query(enrolled)]
    answers = [json.loads(reid("query", *sought, "--rerank", "--json").out)]
    with serving(create_app(load_settings(data_dir=data_dir))) as client:
        if by_sample:
            other = client.post("/query", json={"rerank": True, "sample_id": sample_id})
        else:
            files = {"image": one_query(enrolled).read_bytes()}
            other = client.post("/query", data={"rerank": "true"}, files=files)
        answers.append(other.json())
    for each in answers:
        del each["query_id"], each["timing_ms"]
    assert answers[0] == answers[1]
    shown = [sample["sample_id"] for each in answers[0]["identities"] for sample in each["samples"]]
    assert (sample_id in shown) is not by_sample


def test_filters_are_passed_on(reid: Reid, enrolled: Path) -> None:
    everything = json.loads(reid("query", one_query(enrolled), "--json").out)
    kept = json.loads(reid("query", one_query(enrolled), "--camera", "c1", "--json").out)
    dropped = json.loads(reid("query", one_query(enrolled), "--exclude-camera", "c1", "--json").out)
    late = json.loads(reid("query", one_query(enrolled), "--captured-after", "2020-01-01T00:00:00Z", "--json").out)
    red = json.loads(reid("query", one_query(enrolled), "--attributes", '{"coat": "red"}', "--json").out)
    assert 0 < kept["searched"] < everything["searched"] == kept["searched"] + dropped["searched"]
    assert (late["searched"], late["verdict"]) == (0, "unknown")
    assert red["searched"] == 0


def test_the_table_shows_verdict_rank_and_bar(reid: Reid, enrolled: Path) -> None:
    picture = sorted((enrolled / "bounding_box_test").glob("0001_*"))[0]
    lines = reid("query", picture, "--top-k", "2").out.splitlines()
    assert lines[0].startswith("match: best 1.000 ≥ threshold 0.950 at a false match rate of 0.001")
    assert "0001" in lines[2]
    assert "█" in lines[2]
    assert len(lines) == 2 + 2 * 3  # a line for each of the three best samples, where it was seen


def test_each_row_says_whether_it_is_a_match(reid: Reid, enrolled: Path) -> None:
    picture = sorted((enrolled / "bounding_box_test").glob("0001_*"))[0]
    found = json.loads(reid("query", picture, "--samples-per-identity", "0", "--json").out)["identities"]
    between = (found[1]["score"] + found[2]["score"]) / 2  # two of them reach it, as two people may
    lines = reid("query", picture, "--samples-per-identity", "0", "--threshold", str(between)).out.splitlines()
    assert lines[1].split()[:4] == ["rank", "identity", "score", "match"]
    assert [line.split()[3] for line in lines[2:5]] == ["yes", "yes", "no"]


def test_a_match_that_reranking_left_out_is_not_told_of_who_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"verdict": "match", "threshold": 0.6, "false_match_rate": None, "false_alarm_rate": None, "searched": 2}
    shown = {"rank": 1, "identity": "anna", "score": 0.5, "match": False, "samples": []}
    show({**answer, "model_version": "tiny@1", "identities": [shown]}, Console(), None)
    assert capsys.readouterr().out.startswith("match: somebody whom re-ranking left out ≥ threshold 0.600 (2 samples")


def test_the_line_may_be_drawn_by_who_is_not_in_the_gallery(
    reid: Reid, enrolled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = reid("query", one_query(enrolled), "--false-alarm-rate", "0.2")
    assert "too small for a false alarm rate of 0.2, that takes 20 people and 4 samples (" in ran.out
    monkeypatch.setattr(false_alarms, "LEAST_IDENTITIES", 2)
    answer = json.loads(reid("query", one_query(enrolled), "--false-alarm-rate", "0.2", "--json").out)
    assert 0 < answer["false_alarm_rate"] <= 0.2
    assert all(each["match"] == (each["false_alarm_rate"] <= 0.2) for each in answer["identities"])
    first = reid("query", one_query(enrolled), "--false-alarm-rate", "0.2").out.splitlines()[0]
    shown = f"threshold {answer['threshold']:.3f}, which {answer['false_alarm_rate']:.1%} of strangers reach in this"
    assert shown in first
    usual = reid("query", one_query(enrolled)).out.splitlines()[0]
    assert "threshold 0.950 at a false match rate of 0.001, which " in usual
    assert "% of strangers reach in this gallery" in usual


def test_an_empty_gallery_is_unknown(reid: Reid, data_dir: Path, market: Path) -> None:
    ran = reid("query", one_query(market))
    assert ran.code == 0
    assert ran.out.startswith("unknown: no samples to compare with")


def test_a_picture_that_cannot_be_used_is_named(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no picture")
    ran = reid("query", tmp_path / "text.jpg")
    assert ran.code == 1
    assert ran.err.startswith(f"reid: {tmp_path}/text.jpg: expected a JPEG, PNG, WebP or BMP picture")
    assert reid("query", tmp_path / "none.jpg").err == f"reid: {tmp_path}/none.jpg: No such file or directory\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--captured-after", "yesterday"], "--captured-after"),
        (["--attributes", "{"], "--attributes"),
        (["--false-match-rate", "0.5"], "--false-match-rate"),
        (["--threshold", "7"], "--threshold"),
        (["--false-alarm-rate", "0"], "--false-alarm-rate"),
        (["--top-k", "0"], "--top-k"),
        (["--sample", "01J"], "found both"),
    ],
)
def test_a_wrong_value_is_wrong_usage(
    reid: Reid, data_dir: Path, market: Path, arguments: list[str], told: str
) -> None:
    ran = reid("query", one_query(market), *arguments)
    assert ran.code == 2
    assert told in ran.err


def test_a_folder_is_no_picture(reid: Reid, data_dir: Path, tmp_path: Path) -> None:
    ran = reid("query", tmp_path)
    assert ran.code == 2
    assert "found the folder" in ran.err


def test_the_bar_shows_score_and_threshold() -> None:
    assert bar(0.5, None) == "█" * 8 + " " * 8
    assert bar(0.5, 0.75) == "█" * 8 + " " * 4 + "┃" + " " * 3
    assert bar(-0.3, 1) == " " * 15 + "┃"
