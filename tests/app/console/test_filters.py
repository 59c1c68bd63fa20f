"""The times that narrow a query, in its fields and in the address."""

import httpx
import pytest
from playwright.sync_api import Request

from tests.app.console.conftest import Watched
from tests.app.console.steps import BERLIN, enrol, samples

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
