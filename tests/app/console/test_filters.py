"""The times that narrow a query, in its fields and in the address."""

import httpx
import pytest
from playwright.sync_api import Request

from tests.app.console.conftest import Watched
from tests.app.console.steps import BERLIN, CONTRAST, arrive, enrol, picture, samples
from tests.app.parts import person

AUTUMN = "2026-10-25T01:30:00Z"  # when clocks in Berlin show 02:30 for the second time


def asked(request: Request, name: str) -> str | None:
    """Return what a query was sent in one of its fields."""
    _, _, rest = (request.post_data or "").partition(f'name="{name}"\r\n\r\n')
    return rest.split("\r\n")[0] or None


@pytest.mark.parametrize("watched", [BERLIN], ids=["berlin"], indirect=True)
def test_a_time_in_the_address_is_asked_for_as_it_is(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])
    sample_id = samples(service, gallery, "p0")[0]["sample_id"]
    with watched.page.expect_request("**/query") as first:
        page = watched.open(f"query?gallery={gallery}&sample={sample_id}&captured_before={AUTUMN}")
    assert asked(first.value, "captured_before") == AUTUMN
    page.wait_for_selector(".verdict")
    with page.expect_request("**/query") as second:
        page.get_by_label("Taken from").fill("2026-05-01T12:00:00")
    assert asked(second.value, "captured_after") == "2026-05-01T10:00:00.000Z"
    assert asked(second.value, "captured_before") == AUTUMN
    page.wait_for_selector(".verdict")


def test_an_address_may_have_a_time_with_an_offset_or_a_wrong_one(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    enrol(service, gallery, [0])
    where = f"query?gallery={gallery}&sample={samples(service, gallery, 'p0')[0]['sample_id']}"
    for after, sent, wrong in (
        ("2026-05-01T10:00:00+02:00", "2026-05-01T10:00:00+02:00", "yesterday"),
        ("2026-05-01", "2026-05-01T00:00:00.000Z", "9"),
    ):
        with watched.page.expect_request("**/query") as request:
            page = watched.open(f"{where}&captured_after={after}&captured_before={wrong}")
        assert asked(request.value, "captured_after") == sent
        assert asked(request.value, "captured_before") is None
        page.wait_for_selector(".verdict")


def test_a_date_without_a_time_of_day_asks_nothing(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0])
    page = watched.open(f"query?gallery={gallery}")
    page.get_by_label("Choose pictures").set_input_files(picture(0))
    page.wait_for_selector(".verdict")
    sent: list[Request] = []
    page.on("request", lambda request: sent.append(request) if request.method == "POST" else None)
    taken = page.get_by_label("Taken from")
    taken.focus()
    page.keyboard.type("06012026")  # the month, the day and the year
    page.get_by_label("People shown").fill("5")
    page.get_by_label("People shown").press("Tab")
    told = page.locator(".field", has=taken).get_by_role("alert")
    assert "Give the time of day too" in told.inner_text()
    assert taken.get_attribute("aria-invalid") == "true"
    assert page.evaluate(CONTRAST) == []
    arrive(page, "paste", "body", person(1))  # another way to ask
    page.get_by_text("“Taken from” holds a date without a time of day").wait_for()
    assert not sent
    taken.fill("2026-06-01T00:00:00")
    page.wait_for_selector("text=the filters leave nothing")
    assert "top_k=5" in page.url
    assert told.count() == 0
