"""Correcting and deleting single samples."""

import json

import httpx
import pytest

from tests.app.console.conftest import Watched
from tests.app.console.steps import BERLIN, samples
from tests.app.parts import person

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
