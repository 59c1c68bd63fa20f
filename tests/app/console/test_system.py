"""The System view, and the page of the routes."""

import itertools
import re

import httpx
from playwright.sync_api import Page, expect

from tests.app.console.conftest import Watched
from tests.app.console.steps import HELD, SOON


def test_system_tells_health_load_and_refusals(watched: Watched, service: httpx.Client) -> None:
    service.post("/query", files={"image": b"text"})
    page = watched.open("system")
    page.wait_for_selector("text=Everything works")
    tiles = page.locator(".tiles").inner_text()
    assert "tiny@1" in tiles
    assert "CPU" in tiles
    assert "unsupported_media" in page.get_by_role("region", name="Refused").inner_text()
    assert "POST /query" in page.get_by_role("region", name="Requests by route").inner_text()


def test_a_view_that_looks_again_and_again_holds_no_more(watched: Watched) -> None:
    watched.page.add_init_script(HELD)
    watched.page.add_init_script(SOON)
    page = watched.open("system")
    page.wait_for_selector(".tiles")
    looked: list[str] = []
    page.on("request", lambda request: looked.append(request.url))
    looks(page, looked, 10)
    before = page.evaluate("held.listeners")
    looks(page, looked, 30)
    assert page.evaluate("held.listeners") <= before + 2  # of requests under way


def looks(page: Page, looked: list[str], count: int) -> None:
    while len(looked) < count:
        page.wait_for_timeout(50)


def test_what_the_catalogue_does_not_tell_is_not_known(watched: Watched) -> None:
    text = "reid_gallery_samples NaN\nreid_queue_pictures 0.0\n"
    watched.page.route("**/metrics", lambda route: route.fulfill(body=text, content_type="text/plain"))
    page = watched.open("system")
    page.wait_for_selector(".tiles")
    assert page.locator(".tile", has_text="Samples enrolled").text_content() == "Samples enrollednot known"
    assert page.locator(".tile", has_text="Pictures waiting").text_content() == "Pictures waiting0"


def test_system_looks_again_without_taking_the_focus(watched: Watched) -> None:
    watched.page.add_init_script(SOON)
    page = watched.open("system")
    page.wait_for_selector("text=Everything works")  # health and numbers come one before the other or the other way
    page.get_by_role("link", name="All metrics").focus()
    page.evaluate(
        "() => { window.told = 0; new MutationObserver(all => { told += all.length; })"
        ".observe(document.querySelector('[role=status]'), {childList: true, characterData: true, subtree: true}); }"
    )
    answered = page.get_by_role("region", name="Requests by route").locator("tr", has_text="GET /metrics")
    expect(answered).not_to_have_text(answered.inner_text(), timeout=30_000)
    assert page.evaluate("document.activeElement.textContent") == "All metrics"
    assert page.evaluate("told") == 0


def test_system_says_where_a_mean_time_is_of_several_methods(watched: Watched) -> None:
    text = (
        'reid_requests_total{route="/gallery",method="GET",status="200"} 9\n'
        'reid_requests_total{route="/gallery",method="POST",status="201"} 1\n'
        'reid_requests_total{route="/query",method="POST",status="200"} 1\n'
        'reid_request_seconds_count{route="/gallery"} 10\nreid_request_seconds_sum{route="/gallery"} 0.5\n'
        'reid_request_seconds_count{route="/query"} 1\nreid_request_seconds_sum{route="/query"} 0.02\n'
    )
    watched.page.route("**/metrics", lambda route: route.fulfill(body=text, content_type="text/plain"))
    page = watched.open("system")
    page.wait_for_selector(".tiles")
    rows = page.get_by_role("region", name="Requests by route").locator("tbody tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [
        ["GET /gallery", "9", "50 ms, all methods"],
        ["POST /gallery", "1", "50 ms, all methods"],
        ["POST /query", "1", "20 ms"],
    ]


def test_system_shows_what_the_service_is_set_to(watched: Watched) -> None:
    page = watched.open("system")
    settings = page.get_by_role("region", name="Settings in effect")
    settings.wait_for()
    row = settings.locator("tr", has_text="REID_MAX_QUEUE")
    assert "512" in row.inner_text()
    assert "not set" in settings.locator("tr", has_text="REID_METRICS_PORT").inner_text()
    assert "40,000,000" in page.get_by_role("region", name="Limits of a request").inner_text()


def test_system_without_an_admin_key_says_what_shows_the_settings(watched: Watched) -> None:
    watched.refusals = {403}
    watched.page.route(
        "**/settings", lambda route: route.fulfill(status=403, json={"code": "forbidden", "detail": "no"})
    )
    page = watched.open("system")
    page.wait_for_selector("text=An admin key of all galleries shows what the service is set to.")
    assert page.get_by_role("alert").count() == 0


def test_system_is_whole_again_after_the_service_was_away(watched: Watched) -> None:
    watched.refusals = {503}
    watched.page.add_init_script(SOON)
    away = [f"**/{each}" for each in ("openapi.json", "settings", "drift")]
    for each in away:
        watched.page.route(each, lambda route: route.fulfill(status=503, json={"code": "not_ready", "detail": "no"}))
    page = watched.open("system")
    page.wait_for_selector("text=not known")
    for each in away:
        page.unroute(each)
    for name in ("Cameras", "Settings"):
        page.get_by_role("region", name=name, exact=True).get_by_role("button", name="Try again").click()
    page.wait_for_selector("text=REID_PORT")
    page.wait_for_selector("text=Nothing was queried or enrolled")
    expect(page.locator(".tile").first).not_to_contain_text("not known")


def test_system_says_once_that_it_is_not_ready(watched: Watched) -> None:
    watched.refusals = {503}
    watched.page.add_init_script(SOON)
    looks = itertools.count()
    problem = {"status": 503, "code": "not_ready", "detail": "search: the index cannot be read"}
    watched.page.route(
        "**/health/ready", lambda route: route.fulfill(status=503, json={**problem, "request_id": f"R{next(looks)}"})
    )
    page = watched.open("system")
    page.get_by_role("alert").evaluate(
        "alert => { window.told = 0; window.first = alert; new MutationObserver(all => { told += all.length; })"
        ".observe(alert, {childList: true, characterData: true, attributes: true, subtree: true}); }"
    )
    answered = page.get_by_role("region", name="Requests by route").locator("tr", has_text="GET /metrics")
    for _ in range(2):  # the second time after a whole look
        expect(answered).not_to_have_text(answered.inner_text(), timeout=30_000)
    assert page.evaluate("told") == 0
    assert page.evaluate("first.isConnected")


def test_system_says_which_part_failed(watched: Watched) -> None:
    watched.refusals = {503}
    problem = {"status": 503, "code": "not_ready", "detail": "search: the index cannot be read", "request_id": "R1"}
    watched.page.route("**/health/ready", lambda route: route.fulfill(status=503, json=problem))
    page = watched.open("system")
    page.wait_for_selector("text=Not ready")
    assert "Search: the index cannot be read." in page.get_by_role("alert").inner_text()


def test_the_page_of_routes_has_each_field_with_what_it_may_be(watched: Watched) -> None:
    watched.page.goto(f"{watched.address}/docs")

    def row(route: str, name: str, place: str) -> str:
        box = watched.page.locator("details", has=watched.page.get_by_text(route, exact=True))
        found = box.locator("tr").filter(has_text=re.compile(rf"^\s*{name}\s*{place}"))
        return found.first.text_content() or ""

    watched.page.wait_for_selector("details")
    assert "required" in row("/verify", "image_a", "multipart")
    assert "required" not in row("/verify", "threshold", "multipart")
    for place in ("multipart", "application"):
        assert "minimum -1, maximum 1" in row("/query", "threshold", place)
