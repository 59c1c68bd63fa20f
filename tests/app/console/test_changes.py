"""The views that change something: enrol, identities, galleries."""

import json
import re
from pathlib import Path
from typing import Any

import httpx
from playwright.sync_api import Route

from tests.app.console.conftest import Watched
from tests.app.console.steps import (
    HELD,
    HOSTILE,
    a_file,
    a_person_is_shown,
    all_pictures_are_there,
    arrive,
    enrol,
    identities,
    picture,
    samples,
    with_a_key,
)
from tests.app.parts import person


def test_files_are_named_by_their_names_and_each_has_an_outcome(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(
        [
            picture(0, name="0002_c1s1_000451_03.jpg"),
            picture(1, name="0003_c2s1_000451_03.jpg"),
            picture(2, name="0000_c2s1_000007_01.jpg"),
            picture(3, name="-1_c1s1_000451_03.jpg"),
            a_file("0004_c1s1_000001_01.jpg", b"no picture"),
        ]
    )
    assert page.get_by_label("Identity comes").input_value() == "names"
    page.wait_for_selector("text=4 ready · 1 left out")
    page.get_by_role("button", name="Enrol 4 pictures").click()
    page.wait_for_selector("text=3 enrolled · 1 failed")
    failed = page.locator(".files li", has_text="0004_c1")
    assert re.search(r"Expected a JPEG.+\. Use a JPEG, PNG, WebP or BMP picture\.", failed.inner_text())
    assert identities(service, gallery) == {"0002": 1, "0003": 1, "distractor-c2s1_000007_01": 1}
    assert samples(service, gallery, "0002")[0]["camera"] == "c1"
    page.get_by_role("button", name="Clear what is enrolled").click()
    assert page.locator(".files li").count() == 1


def test_a_folder_names_its_people(watched: Watched, service: httpx.Client, gallery: str, tmp_path: Path) -> None:
    for place, name in enumerate(("anna", "Jürgen")):
        (tmp_path / "people" / name).mkdir(parents=True)
        (tmp_path / "people" / name / "front.jpg").write_bytes(person(place))
    (tmp_path / "people" / "notes.txt").write_text("no picture")
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "people")
    page.wait_for_selector("text=2 ready · 1 left out")
    page.get_by_role("button", name="Enrol 2 pictures").click()
    page.wait_for_selector("text=2 enrolled")
    assert identities(service, gallery) == {"Jürgen": 1, "anna": 1}


def test_it_says_how_many_people_a_folder_is_taken_for(watched: Watched, gallery: str, tmp_path: Path) -> None:
    (tmp_path / "car park").mkdir()
    for place, name in enumerate(("anna 1", "anna 2", "bert 1")):
        (tmp_path / "car park" / f"{name}.jpg").write_bytes(person(place // 2, place))
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_text("one person in each, cut out from head to feet").wait_for()
    page.get_by_label("Choose a folder").set_input_files(tmp_path / "car park")
    page.get_by_role("button", name="Enrol 3 pictures of 1 person", exact=True).wait_for()
    page.get_by_label("Choose pictures").set_input_files([picture(3, name="0004_c1s1_000001_01.jpg")])
    page.get_by_role("button", name="Enrol 4 pictures of 2 people", exact=True).wait_for()


def test_what_failed_is_sent_again(watched: Watched, service: httpx.Client, gallery: str) -> None:
    watched.refusals = {503}
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files([picture(0), picture(1)])
    page.wait_for_selector("text=2 no name")
    page.get_by_label("Identity", exact=True).fill("anna")
    page.get_by_label("Camera").fill("gate")
    page.get_by_label("Taken").fill("2026-05-01T10:00:00")
    problem = {"status": 503, "code": "not_ready", "detail": "the store cannot be used"}
    page.route("**/gallery", lambda route: route.fulfill(status=503, json=problem), times=1)
    page.get_by_role("button", name="Enrol 2 pictures").click()
    page.wait_for_selector("text=2 failed")
    page.get_by_role("button", name="Send 2 failed again").click()
    page.wait_for_selector("text=2 enrolled")
    assert {each["camera"] for each in samples(service, gallery, "anna")} == {"gate"}
    assert all(each["captured_at"] for each in samples(service, gallery, "anna"))


def test_many_files_go_in_requests_of_bounded_size(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    sent: list[int] = []
    page.on("request", lambda request: sent.append(1) if request.method == "POST" else None)
    page.get_by_label("Choose pictures").set_input_files(
        [picture(each % 9, each // 9, name=f"{each}.jpg") for each in range(70)]
    )
    page.get_by_label("Identity", exact=True).fill("crowd")
    page.get_by_role("button", name="Enrol 70 pictures").click()
    page.wait_for_selector("text=70 enrolled")
    assert len(sent) == 3
    assert identities(service, gallery) == {"crowd": 70}
    page.get_by_label("Choose pictures").set_input_files([picture(0)])
    page.get_by_role("button", name="Enrol 1 picture").click()
    page.wait_for_selector("text=1 already there")


def test_what_is_being_sent_keeps_its_name(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    held: list[Route] = []
    page.route("**/gallery", lambda route: held.append(route), times=1)
    page.get_by_label("Choose pictures").set_input_files([picture(0, each, name=f"{each}.jpg") for each in range(40)])
    page.get_by_label("Identity", exact=True).fill("anna")
    page.get_by_label("Taken").fill("2026-05-01T10:00:00")
    page.get_by_role("button", name="Enrol 40 pictures").click()
    page.wait_for_selector(".files li:last-child >> text=Queued")
    assert not page.locator(".files li").last.get_by_role("button").is_visible()
    page.get_by_label("Identity", exact=True).fill("bert")
    page.get_by_label("Taken").fill("")
    arrive(page, "paste", "body", person(1))
    page.wait_for_selector(".files li:last-child >> text=bert")
    held[0].continue_()
    page.wait_for_selector("text=1 ready · 40 enrolled")
    assert identities(service, gallery) == {"anna": 40}
    assert all(each["captured_at"] for each in samples(service, gallery, "anna"))
    page.get_by_role("button", name="Enrol 1 picture").click()
    page.wait_for_selector("text=41 enrolled")
    assert identities(service, gallery) == {"anna": 40, "bert": 1}


def test_many_pictures_are_cleared_in_one_step(watched: Watched, gallery: str) -> None:
    page = watched.open(f"enrol?gallery={gallery}")
    page.wait_for_selector(".dropzone")
    arrive(page, "paste", "body", *[b"x"] * 300)
    page.wait_for_selector("text=300 no name")
    page.evaluate(
        "() => { window.told = 0; new MutationObserver(all => { told += all.length; })"
        ".observe(document.querySelector('[role=status]'), {childList: true}); }"
    )
    page.get_by_role("button", name="Clear all").click()
    page.wait_for_selector("text=No pictures yet.")
    assert page.locator(".files li").count() == 0
    assert page.evaluate("told") == 1


def test_a_busy_service_is_asked_again_after_a_while(watched: Watched, service: httpx.Client, gallery: str) -> None:
    watched.refusals = {429}
    page = watched.open(f"enrol?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files([picture(0)])
    page.get_by_label("Identity", exact=True).fill("anna")
    busy = {"status": 429, "code": "overloaded", "detail": "expected at most 8 enrolments at once"}
    page.route("**/gallery", lambda route: route.fulfill(status=429, json=busy, headers={"Retry-After": "1"}), times=1)
    page.get_by_role("button", name="Enrol 1 picture").click()
    page.wait_for_selector("text=1 enrolled")


def test_people_are_paged_and_found_by_name(watched: Watched, service: httpx.Client, gallery: str) -> None:
    metadata = [{"identity": f"n{each:02d}"} for each in range(50)]
    files = [("image", ("x.jpg", person(0))) for _ in metadata]
    service.post(
        "/gallery", files=files, data={"gallery": gallery, "metadata": json.dumps(metadata)}
    ).raise_for_status()
    page = watched.open(f"identities?gallery={gallery}")
    page.wait_for_selector("text=n47")
    page.get_by_role("link", name="Next page").click()
    page.wait_for_selector("text=n49")
    assert page.locator(".people .card").count() == 2
    page.go_back()
    page.wait_for_selector("text=n00")
    page.get_by_role("searchbox", name="Name").fill("n33")
    page.keyboard.press("Enter")
    page.wait_for_selector(".headline >> text=n33")
    page.locator("text=All identities").click()
    page.get_by_role("searchbox", name="Name").fill("nobody")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Nobody here is called nobody")


def test_a_person_is_renamed_and_merged_only_after_a_warning(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0, 1], names=["anna", "bert"])
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    page.get_by_role("button", name="Rename or merge").click()
    page.get_by_role("dialog").get_by_label("New name").fill("a/b #%")
    page.keyboard.press("Enter")
    page.wait_for_selector(".headline >> text=a/b #%")
    assert identities(service, gallery) == {"a/b #%": 2, "bert": 2}
    page.get_by_role("button", name="Rename or merge").click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.type("bert")  # takes the old name's place
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Merge two people?")
    dialog.wait_for()
    assert "bert exists already" in dialog.inner_text()
    assert identities(service, gallery) == {"a/b #%": 2, "bert": 2}
    dialog.get_by_role("button", name="Merge").click()
    page.wait_for_selector(".headline >> text=4 samples")
    assert identities(service, gallery) == {"bert": 4}


def test_a_sample_is_corrected_and_deleted(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=["anna"])
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    a_person_is_shown(page)
    page.get_by_role("button", name="Correct").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Camera").fill("")
    dialog.get_by_label("Taken").fill("2026-06-01T10:00:00")
    dialog.get_by_label("Attributes").fill('{"bag": tru')
    dialog.get_by_role("button", name="Save").click()
    dialog.get_by_role("alert").wait_for()
    dialog.get_by_label("Attributes").fill('{"bag": true}')
    dialog.get_by_role("button", name="Save").click()
    page.wait_for_selector("text=no camera")
    changed = next(each for each in samples(service, gallery, "anna") if each["camera"] is None)
    assert changed["captured_at"].startswith("2026-06-01")
    assert changed["attributes"] == {"bag": True}
    all_pictures_are_there(page)
    page.get_by_role("button", name="Delete").first.click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector(".headline >> text=1 sample")
    assert len(samples(service, gallery, "anna")) == 1


def test_a_persons_pictures_are_let_go_when_drawn_anew(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=["anna"])
    watched.page.add_init_script(HELD)
    page = watched.open("verify")
    with_a_key(page)
    page.evaluate("where => { location.hash = where; }", f"#/identities?identity=anna&gallery={gallery}")
    a_person_is_shown(page)
    page.get_by_role("button", name="Correct").first.click()
    page.get_by_role("dialog").get_by_label("Camera").fill("")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.wait_for_selector("text=no camera")
    all_pictures_are_there(page)
    assert page.evaluate("held.urls") == 2


def test_a_person_is_erased_after_the_name_was_typed(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1], names=[HOSTILE, "bert"], view=40)
    page = watched.open(f"identities?gallery={gallery}")
    page.locator(".people a", has_text="onerror").click()
    a_person_is_shown(page)
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog")
    act = dialog.get_by_role("button", name="Erase")
    assert act.is_disabled()
    dialog.get_by_label("Type the name to confirm").fill("bert")
    assert act.is_disabled()
    dialog.get_by_label("Type the name to confirm").fill(HOSTILE)

    def with_backup(route: Any) -> None:  # noqa: ANN401 - Playwright's
        if route.request.method != "DELETE":
            route.continue_()
            return
        answer = route.fetch()
        route.fulfill(response=answer, json={**answer.json(), "backups": ["2026-05-01T02-00"]})

    page.route("**/identities/**", with_backup)
    act.click()
    told = page.get_by_role("dialog", name="Erased")
    told.wait_for()
    assert "2 samples, 2 pictures, 2 embeddings" in told.inner_text()
    assert "none of these samples is left" in told.inner_text()
    assert "stays there" not in told.inner_text()
    assert "false" not in told.inner_text()
    assert "2026-05-01T02-00" in told.inner_text()
    told.get_by_role("button", name="Close").click()
    page.wait_for_selector(".people .card")
    assert identities(service, gallery) == {"bert": 2}


def test_an_erasure_says_what_fewer_pictures_than_samples_may_mean(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0], names=["anna"])
    enrol(service, gallery, [0], names=["bert"])
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    a_person_is_shown(page)
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog", name="Erase this person?")
    dialog.get_by_label("Type the name to confirm").fill("anna")
    dialog.get_by_role("button", name="Erase").click()
    told = page.get_by_role("dialog", name="Erased")
    told.wait_for()
    assert "2 samples, 0 pictures, 2 embeddings" in told.inner_text()
    assert "may mean that the gallery keeps none, that one was enrolled several times, or that" in told.inner_text()
    assert "enrolled under another name too, or in another gallery, and stays there" in told.inner_text()


def test_more_of_a_persons_samples_come_once_or_say_why_not(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    files = [("image", ("x.jpg", person(0))) for _ in range(50)]
    metadata = json.dumps([{"identity": "anna", "camera": f"c{each}"} for each in range(50)])
    service.post("/gallery", files=files, data={"gallery": gallery, "metadata": metadata}).raise_for_status()
    watched.refusals = {503}
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    more = page.get_by_role("button", name="More samples")
    more.wait_for()
    problem = {"status": 503, "code": "not_ready", "detail": "the store cannot be used"}
    page.route("**/gallery?*cursor*", lambda route: route.fulfill(status=503, json=problem), times=1)
    more.click()
    page.get_by_role("alert").wait_for()
    more.evaluate("each => { each.click(); each.click(); }")
    more.wait_for(state="detached")
    assert page.locator(".samples .card").count() == 50
    assert page.get_by_role("alert").count() == 0


def test_an_erasure_under_way_is_not_left(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=["anna"])
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    a_person_is_shown(page)
    held: list[Route] = []
    page.route(
        "**/identities/anna?*",
        lambda route: held.append(route) if route.request.method == "DELETE" else route.continue_(),
    )
    page.get_by_role("button", name="Erase").click()
    dialog = page.get_by_role("dialog", name="Erase this person?")
    dialog.get_by_label("Type the name to confirm").fill("anna")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('dialog :disabled')")
    assert dialog.get_by_role("button", name="Cancel").is_disabled()
    for _ in range(3):
        page.keyboard.press("Escape")
    page.mouse.click(5, 5)
    assert dialog.is_visible()
    held[0].continue_()
    page.get_by_role("dialog", name="Erased").wait_for()


def test_a_name_that_browsers_cannot_ask_for_is_told(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=[".."])
    page = watched.open(f"identities?gallery={gallery}")
    page.locator(".people a").click()
    page.wait_for_selector("text=Browsers cannot ask for the name “..”")
    assert page.locator(".samples .card").count() == 2


def test_a_gallery_is_made_set_and_deleted(watched: Watched, service: httpx.Client) -> None:
    page = watched.open("galleries")
    page.get_by_role("button", name="Make a gallery").click()
    dialog = page.get_by_role("dialog")
    assert "digits" in (dialog.get_by_label("Name").get_attribute("title") or "")  # browsers say it beside a wrong one
    dialog.get_by_label("Name").fill("gate-3")
    dialog.get_by_label("Days to keep").fill("30")
    dialog.get_by_label("Keep the pictures").uncheck()
    dialog.get_by_role("button", name="Make").click()
    card = page.locator(".cards .card", has_text="gate-3")
    card.wait_for()
    assert "30 days" in card.inner_text()
    assert "not kept" in card.inner_text()
    assert "gate-3" in page.get_by_label("Gallery", exact=True).locator("option").all_text_contents()
    card.get_by_role("button", name="Change").click()
    page.get_by_role("dialog").get_by_label("Days to keep").fill("")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    card.locator("text=ever").wait_for()
    page.get_by_label("Gallery", exact=True).select_option("gate-3")
    page.wait_for_url("**gallery=gate-3")
    card.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_label("Type the name to confirm").fill("gate-3")
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.get_by_role("dialog", name="Deleted").get_by_role("button", name="Close").click()
    card.wait_for(state="detached")
    page.wait_for_url("**/galleries")
    page.get_by_role("link", name="Identities").click()  # of a gallery that is there
    page.wait_for_url("**/identities")
    assert "gate-3" not in [each["name"] for each in service.get("/galleries").json()["items"]]


def test_another_gallery_is_chosen_above(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0], names=["only-here"])
    page = watched.open("identities")
    # a select once the list is there; until then the name is typed
    choice = page.locator("select").and_(page.get_by_label("Gallery", exact=True))
    choice.select_option(gallery)
    page.wait_for_selector("text=only-here")
    page.get_by_role("link", name="Enrol", exact=True).first.click()
    page.wait_for_selector("text=No pictures yet.")
    assert f"gallery={gallery}" in page.url
