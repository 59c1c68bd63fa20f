import re
import time

import httpx
import pytest

from tests.app.console.conftest import PHONE, Watched
from tests.app.console.steps import (
    CONTRAST,
    HELD,
    NAMELESS,
    all_pictures_are_there,
    enrol,
    identities,
    samples,
    with_a_key,
)


def plant(service: httpx.Client, gallery: str) -> None:
    """Enrol three people by three views, of which one view of the first is the second's, and one under two names."""
    for view in (1, 2, 3):
        enrol(service, gallery, [0, 1, 2], view=view)
    enrol(service, gallery, [0], names=["p1"], view=4)
    enrol(service, gallery, [2], names=["double"], view=4)


def look(watched: Watched, service: httpx.Client, gallery: str) -> None:
    page = watched.open(f"identities?gallery={gallery}")
    page.get_by_role("link", name="Likely wrong labels").click()
    page.get_by_role("button", name="Look for wrong labels").click()
    page.wait_for_selector(".suspects .card")


@pytest.mark.parametrize(
    "watched",
    [
        {},
        {"color_scheme": "dark"},
        {"viewport": {"width": PHONE[0], "height": PHONE[1]}},
    ],
    ids=["desktop", "dark", "phone"],
    indirect=True,
)
def test_findings_fit_are_readable_and_named(watched: Watched, service: httpx.Client, gallery: str) -> None:
    plant(service, gallery)
    look(watched, service, gallery)
    page = watched.page
    page.wait_for_selector("text=may have a wrong label")
    assert "Enrolled as p1" in page.locator(".suspects").first.inner_text()
    all_pictures_are_there(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS) == []


def test_what_cannot_be_judged_is_told(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1, 2])
    for name in ("p0", "p1", "p2"):
        sample_id = samples(service, gallery, name)[0]["sample_id"]
        service.delete(f"/gallery/{sample_id}", params={"gallery": gallery}).raise_for_status()
    page = watched.open(f"identities?gallery={gallery}&suspects=")
    page.get_by_role("button", name="Look for wrong labels").click()
    page.wait_for_selector("text=No label could be judged")
    page.wait_for_selector("text=3 samples are their identity's only one: there is nothing to compare them with.")


def test_a_sample_is_moved_and_two_people_are_merged(watched: Watched, service: httpx.Client, gallery: str) -> None:
    plant(service, gallery)
    service.post("/suspects", params={"gallery": gallery, "threshold": "0.8"}).raise_for_status()
    page = watched.open(f"identities?gallery={gallery}&suspects=")
    page.wait_for_selector(".suspects .card")
    wrong = page.locator(".suspects .card", has_text="Enrolled as p1")
    before = wrong.count()
    wrong.first.get_by_role("button", name="Move to p0").click()
    page.wait_for_function(
        "count => [...document.querySelectorAll('.suspects .card')]"
        ".filter(each => each.textContent.includes('Enrolled as p1')).length < count",
        arg=before,
    )
    assert len(samples(service, gallery, "p0")) == 7
    twins = page.get_by_role("region", name="Identities").locator(".card", has_text="double")
    twins.get_by_role("button", name="Merge into p2").click()
    page.get_by_role("dialog").get_by_role("button", name="Merge").click()
    twins.wait_for(state="detached")
    assert identities(service, gallery)["p2"] == 8
    assert "double" not in identities(service, gallery)


def test_what_is_right_is_not_shown_again_and_what_is_wrong_can_go(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    plant(service, gallery)
    look(watched, service, gallery)
    page = watched.page
    cards = page.get_by_role("region", name="Samples").locator(".card")
    before = cards.count()
    cards.first.get_by_role("button", name="It is right").click()
    page.wait_for_function(
        "count => document.querySelectorAll('[aria-label=Samples] .card').length < count", arg=before
    )
    page.get_by_role("button", name="Look again").click()
    time.sleep(0.2)
    page.wait_for_selector("text=may have a wrong label")
    assert cards.count() == before - 1
    page.reload()
    page.wait_for_selector(".suspects .card")
    assert cards.count() == before - 1
    page.get_by_role("button", name="Ask again about 1 answer").click()
    page.wait_for_function(
        "count => document.querySelectorAll('[aria-label=Samples] .card').length === count", arg=before
    )
    all_pictures_are_there(page)
    total = sum(identities(service, gallery).values())
    cards.first.get_by_role("button", name="Delete the sample").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_function(
        "count => document.querySelectorAll('[aria-label=Samples] .card').length < count", arg=before
    )
    assert sum(identities(service, gallery).values()) == total - 1


def test_a_decision_leaves_the_other_cards_and_their_pictures(
    watched: Watched, service: httpx.Client, gallery: str
) -> None:
    plant(service, gallery)
    service.post("/suspects", params={"gallery": gallery, "threshold": "0.8"}).raise_for_status()
    watched.page.add_init_script(HELD)
    page = watched.open("verify")
    with_a_key(page)
    page.evaluate("where => { location.hash = where; }", f"#/identities?suspects=&gallery={gallery}")
    page.wait_for_selector(".suspects .card")
    page.wait_for_function("() => held.urls === document.querySelectorAll('.suspects img').length")
    page.evaluate("document.querySelectorAll('.suspects .card').forEach(each => { each.kept = true; })")
    before = page.locator(".suspects .card").count()
    page.get_by_role("button", name="They are two").first.click()
    page.wait_for_function("count => document.querySelectorAll('.suspects .card').length === count", arg=before - 1)
    assert page.evaluate("[...document.querySelectorAll('.suspects .card')].every(each => each.kept)")
    assert page.evaluate("held.urls === document.querySelectorAll('.suspects img').length")


def test_the_keyboard_goes_on_with_the_next_card(watched: Watched, service: httpx.Client, gallery: str) -> None:
    plant(service, gallery)
    look(watched, service, gallery)
    page = watched.page
    page.get_by_role("status").get_by_text("may have a wrong label").wait_for()
    cards = page.locator(".suspects .card")
    for left in range(cards.count() - 1, -1, -1):
        following = cards.nth(1 if left else 0).locator("p").first.inner_text()
        cards.first.get_by_role("button", name=re.compile("It is right|They are two")).press("Enter")
        page.wait_for_function("count => document.querySelectorAll('.suspects .card').length === count", arg=left)
        at = page.evaluate("document.activeElement.closest('.card, [aria-label=Audit]')?.innerText ?? ''")
        assert (following if left else "may have a wrong label") in at
    page.get_by_role("button", name="Look again").press("Enter")
    page.wait_for_selector("text=Nothing is left to look at")
    assert page.evaluate("Boolean(document.activeElement.closest('[aria-label=Audit]'))")


def test_cameras_that_are_far_off_are_told(watched: Watched, service: httpx.Client, gallery: str) -> None:
    enrol(service, gallery, [0, 1])
    page = watched.open(f"system?gallery={gallery}")
    page.wait_for_selector(".cameras summary")
    assert "too few yet" in page.locator(".cameras summary").first.inner_text()
    reference, recent = [0.0] * 32, [0.0] * 32
    reference[20], recent[5], recent[6] = 500, 300, 320
    measure = {
        "measure": "brightness", "low": 0, "high": 256, "counted": 1120, "compared_with": "first", "psi": 11.2,
        "state": "far off", "psi_first": 11.2, "reference": reference, "recent": recent,
    }  # fmt: skip
    beside_card = {**measure, "measure": "contrast", "compared_with": "card", "psi_first": 0.04}
    measures = [measure, beside_card]
    answer = service.get("/drift", params={"gallery": gallery}).json()
    page.route(
        re.compile(r"/drift(\?|$)"),
        lambda route: route.fulfill(
            json={**answer, "card_reference": "held-out people", "cameras": [{"camera": "c1", "measures": measures}]}
        ),
    )
    watched.open(f"system?gallery={gallery}")
    page.wait_for_selector(".cameras .histogram")
    assert "far off" in page.locator(".cameras summary").inner_text()
    assert [each.get_attribute("aria-label") for each in page.locator(".histogram").all()] == [
        "Brightness: far off, beside those at first, PSI 11.20",
        "Contrast: far off, beside those in the model's card, PSI 11.20, 0.04 to its own first",
    ]
    assert "The card's: held-out people." in page.locator(".cameras").inner_text()
    assert page.evaluate(CONTRAST) == []
    assert page.evaluate(NAMELESS) == []
