"""The query and verify views."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, Route

from tests.app.console.conftest import Watched
from tests.app.console.steps import HOSTILE, a_file, all_pictures_are_there, arrive, enrol, picture, ranked
from tests.app.parts import person


def ask(page: Page, *files: int) -> None:
    page.get_by_label("Choose pictures").set_input_files([picture(each) for each in files])
    page.wait_for_selector(".verdict")


def test_a_picture_ranks_people_with_verdict_line_and_pictures(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1, 2])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 1)
    assert ranked(page)[0] == "p1"
    assert page.locator(".verdict h2").inner_text() == "Match"
    verdict = page.locator(".verdict").inner_text()
    assert "threshold 0.950 · 1 in 1,000 comparisons with somebody else reach it · 6 samples were compared" in verdict
    assert "of comparisons with another person" in page.locator(".field", has_text="False matches").inner_text()
    first = page.locator(".ranked .card").first
    assert "Match" in first.inner_text()
    assert first.locator(".mark svg").is_visible()
    line = first.locator(".bar .line").bounding_box()
    bar = first.locator(".bar").bounding_box()
    assert line is not None
    assert bar is not None
    assert (line["x"] + line["width"] / 2 - bar["x"]) / bar["width"] == pytest.approx(0.95, abs=0.01)
    assert "threshold 0.950" in (first.locator(".bar").get_attribute("aria-label") or "")
    assert "c0\nMay 1" in first.inner_text()
    assert "6 samples searched in" in page.locator(".timing").inner_text()
    assert page.get_by_role("status").inner_text().startswith("Match. 3 people found. Best: p1, score ")
    all_pictures_are_there(page)


def test_others_who_match_as_well_are_told(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1, 2])
    page = watched.open(f"query?gallery={gallery}&threshold=-1")
    ask(page, 1)
    assert ", and 2 other people match" in page.locator(".verdict").inner_text()
    answer = service.post("/query", data={"gallery": gallery}, files={"image": person(1)}).json()
    best = answer["identities"][0]["score"]
    page = watched.open(f"query?gallery={gallery}&threshold={best - 1e-6}")
    ask(page, 1)
    assert page.locator(".verdict p").first.inner_text() == f"Best: p1, {best:.3f}"


def test_a_result_is_searched_on_with_and_back_and_reload_work(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    page.locator(".ranked .sample").first.click()
    page.wait_for_selector("text=Asked with an enrolled sample")
    assert "sample=" in page.url
    page.wait_for_selector("text=3 samples searched")  # all but itself
    page.reload()
    page.wait_for_selector("text=3 samples searched")
    page.go_back()
    page.wait_for_selector("text=Drop a picture of a person")  # the file itself went with the reload
    page.go_forward()
    page.wait_for_selector("text=3 samples searched")


def test_going_back_to_a_query_by_file_shows_it_again(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    page.locator(".ranked .sample").first.click()
    page.wait_for_selector("text=3 samples searched")
    page.go_back()
    page.wait_for_selector("text=4 samples searched")
    assert page.get_by_alt_text("Query picture 1").is_visible()


def test_filters_narrow_the_search_and_stay_in_the_address(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    page.get_by_role("combobox", name="Without cameras").fill("c0")
    page.get_by_role("combobox", name="Without cameras").press("Enter")
    page.wait_for_selector("text=2 samples searched")
    assert "c0" not in page.locator(".ranked").inner_text()
    page.get_by_label("Taken from").fill("2026-05-03T00:00:00")
    page.wait_for_selector("text=the filters leave nothing")
    assert page.locator(".verdict h2").inner_text() == "Unknown"
    assert "exclude_camera=c0&captured_after=2026-05-03T00" in page.url
    assert page.locator(".badge").inner_text() == "2 set"
    page.get_by_label("Taken from").fill("")
    page.get_by_role("button", name="Remove c0").click()
    page.wait_for_selector("text=4 samples searched")
    page.get_by_label("People shown").fill("1")
    page.get_by_label("People shown").press("Tab")
    page.wait_for_function("() => document.querySelectorAll('.ranked .card:not(.skeleton)').length === 1")
    page.get_by_label("Attributes").fill('{"bag": true}')
    page.get_by_label("Attributes").press("Tab")
    page.wait_for_selector("text=0 samples searched")


def test_a_threshold_of_ones_own_decides(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])
    page = watched.open(f"query?gallery={gallery}&threshold=1&rerank=true")
    ask(page, 0)
    assert page.locator(".verdict h2").inner_text() == "Unknown"
    assert "threshold 1.000 · your own" in page.locator(".verdict").inner_text()
    assert page.get_by_label("Re-rank the shortlist").is_checked()
    page.get_by_label("Threshold", exact=True).fill("0.1")
    page.get_by_label("Threshold", exact=True).press("Tab")
    page.wait_for_selector(".verdict.match")
    page.get_by_label("False matches").select_option("0.01")
    page.wait_for_selector("text=threshold 0.900 · 1 in 100 comparisons")


def test_the_line_may_be_drawn_by_who_is_not_in_the_gallery(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    assert "strangers" not in page.locator(".found").inner_text()
    page.get_by_label("False matches").select_option(label="1 in 100 strangers")
    page.wait_for_selector(".verdict.uncalibrated")
    assert "that takes 20 people and 99 samples" in page.locator(".verdict").inner_text()
    page = watched.open(f"query?gallery={gallery}&false_alarm_rate=0.2")  # which the list does not have by itself
    ask(page, 0)
    assert page.get_by_label("False matches").locator("option:checked").inner_text() == "1 in 5 strangers"
    assert "that takes 20 people and 4 samples" in page.locator(".verdict").inner_text()

    def of_many(route: Route) -> None:
        answer = route.fetch().json()
        people = [
            {**each, "match": True, "false_alarm_rate": rate}
            for each, rate in zip(answer["identities"], (0.001, 0.5), strict=True)
        ]
        told = {"verdict": "match", "threshold": 0.8, "false_alarm_rate": 0.00987, "identities": people}
        route.fulfill(json={**answer, **told})

    watched.page.route("**/query", of_many)
    page = watched.open(f"query?gallery={gallery}&false_alarm_rate=0.01")
    ask(page, 0)
    assert page.get_by_label("False matches").input_value() == "strangers-0.01"
    assert "threshold 0.800 · 1.0 % of strangers reach it in this gallery" in page.locator(".verdict").inner_text()
    cards = page.locator(".ranked .card")
    assert "0.1 % of strangers would score as much" in cards.nth(0).inner_text()
    assert "50.0 % of strangers would score as much" in cards.nth(1).inner_text()
    page.get_by_title("Search on with this sample").first.click()
    page.wait_for_url("**false_alarm_rate=0.01**")


def test_who_is_asked_for_is_shown_again_with_the_answer(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=["anna"])
    sample_id = service.get("/gallery", params={"gallery": gallery}).json()["items"][0]["sample_id"]
    watched.refusals = {503}
    refusal = {"code": "not_ready", "detail": "no"}
    for each in ("**/query", f"**/gallery/{sample_id}?*"):
        watched.page.route(each, lambda route: route.fulfill(status=503, json=refusal), times=1)
    page = watched.open(f"query?gallery={gallery}&sample={sample_id}")
    page.wait_for_selector("text=The sample cannot be shown.")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".verdict")
    page.locator(".asked").get_by_role("link", name="anna").wait_for()


def test_reranking_does_not_change_who_is_told_as_the_best(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1])
    shown = [(0.5, False), (0.9, True)]

    def reranked(route: Route) -> None:
        answer = route.fetch().json()
        people = [
            {**each, "score": score, "match": match}
            for each, (score, match) in zip(answer["identities"], shown, strict=False)
        ]
        route.fulfill(json={**answer, "verdict": "match", "threshold": 0.8, "identities": people[: len(shown)]})

    watched.page.route("**/query", reranked)
    page = watched.open(f"query?gallery={gallery}&rerank=true")
    ask(page, 0)
    second = page.locator(".ranked .card").nth(1).locator(".name").first.inner_text()
    assert f"Best: {second}, 0.900" in page.locator(".verdict").inner_text()
    assert f"Match. 2 people found. Best: {second}, score 0.900." in page.get_by_role("status").all_inner_texts()
    shown.pop()
    page.get_by_label("People shown").fill("1")
    page.get_by_label("People shown").press("Tab")
    page.wait_for_selector("text=Somebody whom re-ranking left out reaches the threshold")
    assert "Best" not in page.locator(".verdict").inner_text()


def test_a_rate_out_of_range_is_told_with_what_to_do(watched: Watched, service: httpx.Client, gallery: str) -> None:
    watched.refusals = {400}
    enrol(service, gallery, [0])
    page = watched.open(f"query?gallery={gallery}&false_match_rate=0.5")
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "Expected a rate from 0.0001 to 0.01" in alert.inner_text()
    assert "Look at the field “false match rate”." in alert.inner_text()


def test_a_rate_that_the_version_does_not_have_stays_chosen(watched: Watched) -> None:
    def one_rate(route: Route) -> None:
        answer = route.fetch()
        body = answer.json()
        for item in body["items"]:
            item["card"]["calibration"]["thresholds"] = item["card"]["calibration"]["thresholds"][:1]
        route.fulfill(response=answer, json=body)

    watched.page.route("**/models", one_rate)
    page = watched.open("query?false_match_rate=0.0001")
    page.get_by_label("Rate", exact=True).wait_for()  # hidden until the version's own rates are known
    assert page.get_by_label("False matches").locator("option:checked").inner_text() == "Another rate…"
    assert page.get_by_label("Rate", exact=True).input_value() == "0.0001"
    assert "1 in 1,000" not in page.get_by_label("False matches").inner_text()


def test_several_pictures_are_one_person(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0, 0)
    page.wait_for_selector("text=Asked with 2 pictures of one person")
    assert ranked(page)[0] == "p0"
    page.get_by_role("button", name="Remove query picture 2").click()
    page.wait_for_selector("text=Asked with this picture")
    page.wait_for_selector(".verdict")


@pytest.mark.parametrize(("how", "target"), [("paste", "body"), ("drop", ".dropzone")])
def test_pictures_are_dropped_and_pasted(
    watched: Watched, service: httpx.Client, gallery: str, how: str, target: str
) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"query?gallery={gallery}")
    page.wait_for_selector(".dropzone")
    arrive(page, how, target, person(1))
    assert ranked(page)[0] == "p1"


def test_a_bad_picture_is_told_in_words(watched: Watched, gallery: str) -> None:
    watched.refusals = {415, 422}
    page = watched.open(f"query?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(a_file("a.jpg", person(0)[:600]))
    alert = page.get_by_role("alert")
    alert.wait_for()
    assert "Copy it again, or use another picture." in alert.inner_text()
    assert "image_truncated" in alert.inner_text()


def test_a_file_over_the_limit_is_not_even_sent(watched: Watched, gallery: str, tmp_path: Path) -> None:
    large = tmp_path / "a.jpg"
    large.write_bytes(b"0" * 10_000_001)
    page = watched.open(f"query?gallery={gallery}")
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.get_by_label("Choose pictures").set_input_files(large)
    page.wait_for_selector("text=at most 10 MB, found one of 10.0 MB")
    assert not sent


def test_a_picture_that_is_gone_is_told_by_its_name(watched: Watched, gallery: str, tmp_path: Path) -> None:
    watched.refusals = {"ERR_FILE_NOT_FOUND"}
    files = [tmp_path / "a.jpg", tmp_path / "b.jpg"]
    for file in files:
        file.write_bytes(person(0))
    page = watched.open(f"query?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(files)
    page.wait_for_selector(".verdict")
    all_pictures_are_there(page)
    files[1].unlink()
    page.get_by_label("People shown").fill("5")
    page.get_by_label("People shown").press("Tab")
    page.wait_for_selector("text=/^“b.jpg” cannot be read any more/")
    page.get_by_role("link", name="Verify").click()
    page.get_by_label("First picture").set_input_files(files[0])
    all_pictures_are_there(page)
    files[0].unlink()
    page.get_by_label("Second picture").set_input_files(picture(1))
    page.wait_for_selector("text=/^“a.jpg” cannot be read any more/")


def test_a_service_that_does_not_answer_is_told(watched: Watched, gallery: str) -> None:
    page = watched.open(f"query?gallery={gallery}")
    page.route("**/query", lambda route: route.abort())
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    page.wait_for_selector("text=The service did not answer.")
    page.unroute("**/query")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".verdict")
    watched.wrong = [each for each in watched.wrong if "net::ERR_FAILED" not in each]


def test_without_a_calibration_nothing_is_decided(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])

    def uncalibrated(route: Route) -> None:
        answer = route.fetch().json()
        told = {"verdict": "uncalibrated", "threshold": None, "false_match_rate": None, "false_alarm_rate": None}
        people = [{**each, "match": None, "score": -0.25} for each in answer["identities"]]
        route.fulfill(json={**answer, **told, "identities": people})

    watched.page.route("**/query", uncalibrated)
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    assert page.locator(".verdict h2").inner_text() == "Uncalibrated"
    assert "or a threshold of your own." in page.locator(".verdict").inner_text()
    card = page.locator(".ranked .card").first
    assert "Not decided" in card.inner_text()
    assert "−0.250" in card.inner_text()
    assert card.locator(".bar .line").count() == 0
    assert card.locator(".bar .filled").evaluate("each => each.getBoundingClientRect().width") == 0


def test_a_name_is_text_wherever_it_stands(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=[HOSTILE])
    page = watched.open(f"query?gallery={gallery}")
    ask(page, 0)
    assert page.locator(".ranked .person a").first.text_content() == HOSTILE
    page.locator(".ranked .person a").first.click()
    page.wait_for_selector(".samples .card")
    assert page.locator(".headline h2").text_content() == HOSTILE
    page.get_by_role("button", name="Rename or merge").click()
    assert page.get_by_role("dialog").get_by_label("New name").input_value() == HOSTILE
    assert page.locator("img[src=x]").count() == 0


def test_two_pictures_are_compared(watched: Watched) -> None:
    page = watched.open("verify")
    page.get_by_label("First picture").set_input_files(picture(0))
    page.get_by_label("Second picture").set_input_files(picture(0))
    page.wait_for_selector("text=Same person")
    assert page.locator(".big").inner_text() == "1.000"
    page.get_by_label("Another second picture").set_input_files(picture(3, 2, 1))
    page.wait_for_selector("text=Not the same by this threshold")
    assert page.locator(".outcome .bar .line").is_visible()
    page.get_by_label("False matches").select_option("own")
    page.get_by_label("Threshold", exact=True).fill("-1")
    page.get_by_label("Threshold", exact=True).press("Tab")
    page.wait_for_selector("text=your own")
    page.wait_for_selector("text=Same person")
