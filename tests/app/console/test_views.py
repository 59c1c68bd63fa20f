"""Each view as a whole: at a desktop's and a phone's width, light and dark."""

import itertools
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser, Route, expect

from app.application import create_app
from tests.app.console.conftest import DESKTOP, PHONE, Watched
from tests.app.console.steps import CONTRAST, HOSTILE, NAMELESS, SOON, all_pictures_are_there, enrol, picture
from tests.app.parts import tiny_settings, write_version
from tests.app.server import serving

SIZES = [
    {"viewport": dict(zip(("width", "height"), size, strict=True)), "color_scheme": scheme}
    for size, scheme in ((DESKTOP, "light"), (DESKTOP, "dark"), (PHONE, "light"), (PHONE, "dark"))
]
NAMES = ["desktop-light", "desktop-dark", "phone-light", "phone-dark"]


@pytest.mark.parametrize("watched", SIZES, ids=NAMES, indirect=True)
def test_every_view_fits_is_readable_and_named(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1], names=["anna", HOSTILE])
    page = watched.open(f"query?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    page.wait_for_selector(".verdict")
    look(watched, "query")
    steps: dict[str, Any] = {
        "verify": "text=Give two pictures",
        "enrol": "text=No pictures yet.",
        "identities": ".people .card",
        f"identities?identity=anna&gallery={gallery}": ".samples .card",
        "galleries": ".cards .card",
        "models": ".charts svg",
        "system": ".tiles",
    }
    for where, seen in steps.items():
        watched.page.goto(f"{watched.address}/#/{where if '?' in where else f'{where}?gallery={gallery}'}")
        watched.page.wait_for_selector(seen)
        look(watched, where)


def look(watched: Watched, view: str) -> None:
    page = watched.page
    all_pictures_are_there(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
    assert page.evaluate(CONTRAST) == [], view
    assert page.evaluate(NAMELESS) == [], view
    assert page.locator("h1").count() == 1
    assert page.title().endswith("· hap2s-reid")


@pytest.mark.parametrize("watched", [SIZES[2]], ids=["phone"], indirect=True)
def test_a_phone_has_the_views_in_a_menu(watched: Watched) -> None:
    page = watched.open("query")
    menu = page.get_by_role("button", name="Views")
    assert not page.get_by_role("link", name="System").is_visible()
    menu.click()
    assert menu.get_attribute("aria-expanded") == "true"
    page.keyboard.press("Escape")
    assert not page.get_by_role("link", name="System").is_visible()
    menu.click()
    page.get_by_role("link", name="System").click()
    page.wait_for_selector("text=Everything works")
    assert page.evaluate("document.activeElement.id") == "view-title"


@pytest.mark.parametrize("watched", [{"reduced_motion": "reduce"}], ids=["still"], indirect=True)
def test_nothing_moves_for_those_who_asked_for_it(watched: Watched) -> None:
    page = watched.open("query")
    page.wait_for_selector(".dropzone")
    assert page.evaluate("document.getAnimations().length") == 0
    assert page.evaluate("getComputedStyle(document.querySelector('.dropzone')).transitionDuration") == "0s"


def test_the_keyboard_reaches_everything_and_sees_where_it_is(watched: Watched) -> None:
    page = watched.open("query")
    page.wait_for_selector(".dropzone")
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate(
                "() => { const at = document.activeElement; return at.textContent.trim() || at.ariaLabel || at.id; }"
            )
        )
        width = page.evaluate(
            "() => { const at = document.activeElement;"
            "return parseFloat(getComputedStyle(at.closest('.button') ?? at).outlineWidth); }"
        )
        assert width >= 2, reached[-1]
        if reached[-1] == "Metrics":
            break
    assert reached[0] == "Skip to the content"
    for name in ("Key", "Query", "System", "Choose pictures", "Filters and threshold", "Enrol pictures", "Metrics"):
        assert name in reached, reached


def test_skip_link_goes_to_the_content(watched: Watched) -> None:
    page = watched.open("verify")
    page.wait_for_selector(".dropzone")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "view-title"
    assert page.url.endswith("#/verify")


def test_galleries_are_gone_through_by_arrow_keys(watched: Watched, service: httpx.Client, gallery: str) -> None:
    names = [f"{gallery}-{each}" for each in "abc"]
    for name in names:
        service.put(f"/galleries/{name}", json={}).raise_for_status()
    page = watched.open(f"verify?gallery={names[0]}")
    choice = page.locator("select").and_(page.get_by_label("Gallery", exact=True))
    choice.focus()
    for name in names[1:]:
        choice.evaluate("each => { each.dataset.before = ''; }")
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#gallery:not([data-before])")
        assert page.url.endswith(f"gallery={name}")
        assert page.evaluate("document.activeElement.id") == "gallery"


def test_models_show_their_cards_and_ask_before_a_change(watched: Watched) -> None:
    page = watched.open("models")
    page.get_by_text("tiny@2").click()
    activate = page.get_by_role("button", name="Activate")
    activate.click()
    dialog = page.get_by_role("dialog")
    assert "every enrolled picture is embedded again" in dialog.inner_text()
    for _ in range(6):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "Boolean(document.activeElement.closest('dialog')) || document.activeElement === document.body"
        )
    page.keyboard.press("Escape")
    dialog.wait_for(state="detached")
    assert page.evaluate("document.activeElement.textContent") == "Activate"
    assert "1 in 1,000" in page.get_by_role("region", name="Thresholds").first.inner_text()
    assert "0.95" in (page.locator("svg.chart").last.get_attribute("aria-label") or "")


def test_a_cards_figures_are_told_apart(watched: Watched) -> None:
    def two_rows(route: Any) -> None:  # noqa: ANN401 - Playwright's
        answer = route.fetch()
        body = answer.json()
        for item in body["items"]:
            row = item["card"]["metrics"][0]
            item["card"]["metrics"] = [
                {**row, "protocol": f"single query; {rest}"}
                for rest in ("held-out", "white balance e^±0.2 by camera; held-out")
            ]
        route.fulfill(response=answer, json=body)

    watched.page.route("**/models", two_rows)
    page = watched.open("models")
    page.wait_for_selector("text=tiny@2")
    rows = page.get_by_role("region", name="Figures").first.locator("tbody tr")
    assert [row.inner_text().split("\t")[0] for row in rows.all()] == [
        "held-out, fp32",
        "white balance e^±0.2 by camera, held-out, fp32",
    ]


def test_a_card_says_among_how_many_people_strangers_were_asked_for(watched: Watched) -> None:
    rates = [{"false_alarm_rate": 0.1, "threshold": 0.591, "detection_rate": 0.954, "deviation": 0.016}]
    measured = {"protocol": "half of them enrolled", "enrolled": 25, "rates": rates}

    def with_strangers(route: Any) -> None:  # noqa: ANN401 - Playwright's
        answer = route.fetch()
        body = answer.json()
        for item in body["items"]:
            item["card"]["open_set"] = measured
        route.fulfill(response=answer, json=body)

    watched.page.route("**/models", with_strangers)
    page = watched.open("models")
    page.wait_for_selector("text=with 25 people enrolled, by half of them enrolled")


@pytest.mark.parametrize("watched", [SIZES[2]], ids=["phone"], indirect=True)
def test_the_pictures_of_a_result_fit_their_columns(watched: Watched, service: httpx.Client, gallery: str) -> None:
    for view in (1, 2):
        enrol(service, gallery, [0], view=view)
    page = watched.open(f"query?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    page.wait_for_selector(".ranked .sample")
    wide = page.locator(".ranked .strip > li").evaluate_all(
        "all => all.map(each => [each.offsetWidth, each.querySelector('.picture').offsetWidth])"
    )
    assert len(wide) == 4
    assert all(picture_width <= column for column, picture_width in wide), wide


MOVING = {
    "migration_id": "M1", "source": "tiny@1", "target": "tiny@2", "state": "running", "done": 120, "total": 480,
    "eta_s": 300, "validation": {}, "left_out": 0, "error": None, "created": "2026-05-01T10:00:00Z",
}  # fmt: skip


def test_a_migration_is_followed(watched: Watched) -> None:
    item = dict(MOVING)
    compared = {
        "passed": True, "problems": [], "samples": 480, "left_out": 0, "probes": 200, "same_first": 0.94,
        "same_of_ten": 0.81, "across_cameras": {"people": 90, "source": 0.9, "target": 0.956},
        "verdicts": {"source_threshold": 0.61, "target_threshold": 0.58, "match_in_both": 170, "only_source": 5,
                     "only_target": 9, "in_neither": 16},
        "embedded_again": {"pictures": 16, "least_cosine": 1.0, "milliseconds": {"source": 21.4, "target": 23.0}},
        "search_ms": {"source": 0.9, "target": 1.1},
    }  # fmt: skip
    later = {**item, "state": "switched", "done": 480, "validation": compared}
    answers = iter([item, later])
    current: dict[str, Any] = {}

    def answer(route: Any) -> None:  # noqa: ANN401 - Playwright's
        current.update(next(answers, later))
        route.fulfill(json={"items": [current]})

    watched.page.route("**/migrations", answer)
    page = watched.open("models")
    page.wait_for_selector("text=120 of 480 samples (25 %), about 5 minutes left")
    assert page.get_by_role("button", name="Cancel").is_visible()
    page.wait_for_selector("text=Switched; the way back is kept")
    assert page.get_by_role("button", name="Switch back").is_visible()
    assert page.get_by_role("button", name="Make it final").is_visible()
    told = page.locator(".changes").first.inner_text()
    assert "the same person first in 94 %; 81 % of the first ten the same" in told
    rows = [row.inner_text().split("\t") for row in page.locator(".compared tbody tr").all()]
    assert rows[:3] == [
        ["Found first across cameras", "90.0 %", "95.6 %"],
        ["Threshold", "0.610", "0.580"],
        ["Samples with a match", "175", "179"],
    ]
    page.get_by_role("button", name="Make it final").click()
    assert "no way back" in page.get_by_role("dialog").inner_text()


def test_a_late_answer_leaves_the_next_view_alone(watched: Watched) -> None:
    item = {
        "migration_id": "M1", "source": "tiny@1", "target": "tiny@2", "state": "switched", "done": 480, "total": 480,
        "eta_s": None, "validation": {}, "left_out": 0, "error": None, "created": "2026-05-01T10:00:00Z",
    }  # fmt: skip
    held: list[Route] = []
    watched.page.route("**/migrations", lambda route: route.fulfill(json={"items": [item]}))
    watched.page.route("**/rollback", lambda route: held.append(route))
    page = watched.open("models")
    page.get_by_role("button", name="Switch back").evaluate("each => { each.click(); each.click(); }")
    page.wait_for_selector("fieldset:disabled >> text=Switch back")
    assert page.get_by_role("button", name="Make it final").is_disabled()
    page.get_by_role("link", name="Verify").click()
    page.wait_for_selector("text=Give two pictures")
    assert len(held) == 1
    with page.expect_response("**/rollback"):
        held[0].fulfill(json={**item, "state": "rolled_back"})
    page.wait_for_timeout(300)
    assert page.locator(".dropzone").count() == 2
    assert page.get_by_text("Change of version").count() == 0


def test_leaving_what_a_deletion_told_stays_left(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open("verify")
    page.get_by_role("link", name="Galleries").click()
    page.get_by_role("button", name=f"Delete {gallery}").click()
    page.get_by_label("Type the name to confirm").fill(gallery)
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name="Deleted").wait_for()
    page.go_back()
    page.wait_for_selector("text=Give two pictures")
    page.wait_for_timeout(300)
    assert page.locator(".cards").count() == 0


def test_a_migration_is_followed_without_taking_the_focus(watched: Watched) -> None:
    done = itertools.count(120)
    item = {
        "migration_id": "M1", "source": "tiny@1", "target": "tiny@2", "state": "running", "total": 480,
        "eta_s": 300, "validation": {}, "left_out": 0, "error": None, "created": "2026-05-01T10:00:00Z",
    }  # fmt: skip
    earlier = {**item, "migration_id": "M0", "state": "cancelled", "done": 0}
    watched.page.add_init_script(SOON)
    watched.page.route(
        "**/migrations", lambda route: route.fulfill(json={"items": [{**item, "done": next(done)}, earlier]})
    )
    page = watched.open("models")
    page.get_by_text("1 earlier change").click()
    page.get_by_role("button", name="Cancel").focus()
    told = page.get_by_text("of 480 samples").first
    expect(told).not_to_have_text(told.inner_text(), timeout=30_000)
    assert page.evaluate("document.activeElement.textContent") == "Cancel"
    assert page.locator(".panel details").evaluate("each => each.open")
    assert page.get_by_role("progressbar").evaluate("each => each.value") > 120 / 480


AT_CHANGES = "document.activeElement.getAttribute('aria-label') === 'Changes of version'"


def test_a_change_of_version_that_ends_keeps_the_focus_at_the_changes(watched: Watched) -> None:
    item = dict(MOVING)
    watched.page.add_init_script(SOON)
    watched.page.route("**/migrations", lambda route: route.fulfill(json={"items": [item]}))
    watched.page.route("**/rollback", lambda route: route.fulfill(json=item | {"state": "rolled_back"}))
    page = watched.open("models")
    for state, told in (("validating", "Checking"), ("switched", "Switched;")):
        page.get_by_role("button", name="Cancel").focus()
        item["state"] = state
        page.wait_for_selector(f"text={told}")
        page.wait_for_function(AT_CHANGES)
    item["state"] = "rolled_back"
    page.get_by_role("button", name="Switch back").click()
    page.wait_for_selector("text=Switched back")
    page.wait_for_function(AT_CHANGES)


def test_a_change_of_version_that_ends_leaves_the_focus_elsewhere_alone(watched: Watched) -> None:
    item = dict(MOVING)
    watched.page.add_init_script(SOON)
    watched.page.route("**/migrations", lambda route: route.fulfill(json={"items": [item]}))
    page = watched.open("models")
    page.wait_for_selector("text=Embedding again")
    page.get_by_role("link", name="Verify").focus()
    item["state"] = "switched"
    page.wait_for_selector("text=Switched;")
    assert page.evaluate("document.activeElement.textContent") == "Verify"


def test_a_gallery_is_moved_and_moved_back(browser: Browser, tmp_path: Path) -> None:
    write_version(tmp_path / "models")
    write_version(tmp_path / "models", "tiny@2", shift=90.0)
    (tmp_path / "models" / "active").write_text("tiny@1")
    with serving(create_app(tiny_settings(tmp_path, model=None))) as client, browser.new_context() as context:
        enrol(client, "default", list(range(12)), names=[f"p{number}" for number in range(12)])
        watched = Watched(context, str(client.base_url).rstrip("/"))
        page = watched.open("models")
        page.locator("summary", has_text="tiny@2").click()
        page.get_by_role("button", name="Activate").click()
        page.get_by_role("dialog").get_by_role("button", name="Activate").click()
        page.wait_for_selector("text=Switched; the way back is kept")
        assert "24 samples, 24 of them searched for" in page.locator(".changes").first.inner_text()
        page.locator("summary", has_text="tiny@2").get_by_text("Active").wait_for()
        page.screenshot(path=tmp_path / "moved.png", full_page=True)
        page.get_by_role("button", name="Switch back").click()
        page.wait_for_selector("text=Switched back")
        page.locator("summary", has_text="tiny@1").get_by_text("Active").wait_for()
        assert watched.wrong == []


def test_a_service_without_migrations_shows_none(watched: Watched) -> None:
    watched.refusals = {404}
    watched.page.route(
        "**/migrations", lambda route: route.fulfill(status=404, json={"code": "not_found", "detail": "no"})
    )
    page = watched.open("models")
    page.wait_for_selector(".charts")
    assert page.get_by_role("alert").count() == 0
    assert page.get_by_text("Change of version").count() == 0
