"""Correcting and deleting single samples."""

import json

import httpx
import pytest
from playwright.sync_api import expect

from tests.app.console.conftest import Watched
from tests.app.console.steps import BERLIN, a_person_is_shown, all_pictures_are_there, samples
from tests.app.parts import person

SLOW = 30_000  # machines may be busy
# Fields for a time show neither fractions, nor which of two hours in autumn it was, nor the year 10,000 of Berlin.
ODD_TIMES = ("2026-05-01T10:00:00.250000Z", "2026-10-25T01:30:00Z", "9999-12-31T23:59:59Z")


@pytest.mark.parametrize("watched", [BERLIN], ids=["berlin"], indirect=True)
def test_a_correction_leaves_the_time_alone(watched: Watched, service: httpx.Client, gallery: str) -> None:
    metadata = [{"identity": "anna", "camera": "c0", "captured_at": each} for each in ODD_TIMES]
    files = [("image", ("x.jpg", person(0, view))) for view in range(len(ODD_TIMES))]
    form = {"gallery": gallery, "metadata": json.dumps(metadata)}
    service.post("/gallery", files=files, data=form).raise_for_status()
    before = {each["sample_id"]: each["captured_at"] for each in samples(service, gallery, "anna")}
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    for place in range(len(ODD_TIMES)):
        page.get_by_role("button", name="Correct").nth(place).click()
        page.get_by_role("dialog").get_by_label("Camera").fill(f"gate {place}")
        page.get_by_role("dialog").get_by_role("button", name="Save").click()
        page.locator(".samples .card", has_text=f"gate {place}").wait_for()
    after = samples(service, gallery, "anna")
    assert {each["camera"] for each in after} == {"gate 0", "gate 1", "gate 2"}
    assert {each["sample_id"]: each["captured_at"] for each in after} == before


def test_a_deletion_leaves_the_others_and_goes_on_with_the_next(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    metadata = [{"identity": "anna", "camera": f"c{each}"} for each in range(50)]
    files = [("image", ("x.jpg", person(0))) for _ in metadata]
    form = {"gallery": gallery, "metadata": json.dumps(metadata)}
    service.post("/gallery", files=files, data=form).raise_for_status()
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    page.wait_for_selector(".headline >> text=50 samples")
    page.get_by_role("button", name="More samples").press("Enter")
    cards = page.locator(".samples .card")
    expect(cards).to_have_count(50, timeout=SLOW)
    expect(cards.nth(48)).to_be_focused(timeout=SLOW)
    all_pictures_are_there(page)
    following = cards.nth(49).locator(".name").inner_text()
    cards.nth(48).get_by_role("button", name="Delete").press("Enter")
    page.get_by_role("dialog").get_by_role("button", name="Delete").press("Enter")
    page.wait_for_selector(".headline >> text=49 samples")
    assert cards.count() == 49
    expect(cards.last).to_be_focused(timeout=SLOW)
    assert cards.last.locator(".name").inner_text() == following
    cards.last.get_by_role("button", name="Correct").press("Enter")
    page.get_by_role("dialog").get_by_label("Camera").fill("gate")
    page.get_by_role("dialog").get_by_label("Camera").press("Enter")
    expect(cards.last.locator(".name")).to_have_text("gate", timeout=SLOW)
    expect(cards.last).to_be_focused(timeout=SLOW)
    assert cards.count() == 49


def test_a_persons_last_sample_leaves_the_focus_above(watched: Watched, service: httpx.Client, gallery: str) -> None:
    service.post(
        "/gallery", files={"image": person(0)}, data={"gallery": gallery, "identity": "anna"}
    ).raise_for_status()
    page = watched.open(f"identities?gallery={gallery}&identity=anna")
    a_person_is_shown(page)
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_selector("text=Nobody here is called anna")
    expect(page.get_by_role("link", name="All identities")).to_be_focused(timeout=SLOW)
