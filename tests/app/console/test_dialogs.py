"""What closes a dialog, and what it is called."""

from playwright.sync_api import FloatRect, Locator

from tests.app.console.conftest import Watched


def box(place: Locator) -> FloatRect:
    found = place.bounding_box()
    assert found is not None
    return found


def test_only_a_click_beside_a_dialog_closes_it(watched: Watched) -> None:
    page = watched.open("galleries")
    page.get_by_role("button", name="Make a gallery").click()
    dialog = page.get_by_role("dialog")
    name = dialog.get_by_label("Name")
    name.fill("warehouse-7")
    edge, typed = box(dialog), box(name)
    page.mouse.click(edge["x"] + 8, edge["y"] + edge["height"] / 2)  # its padding
    page.mouse.move(typed["x"] + 90, typed["y"] + typed["height"] / 2)
    page.mouse.down()  # and a selection that is drawn out of it
    page.mouse.move(edge["x"] - 60, typed["y"] + typed["height"] / 2)
    page.mouse.up()
    assert dialog.is_visible()
    assert name.input_value() == "warehouse-7"
    page.mouse.click(edge["x"] - 60, edge["y"] + edge["height"] / 2)
    dialog.wait_for(state="detached")


def test_a_dialog_over_another_has_its_own_name(watched: Watched) -> None:
    watched.refusals = {401}
    page = watched.open("galleries")
    page.wait_for_selector(".cards .card")
    page.wait_for_selector("#gallery option", state="attached")  # all that was asked by itself
    page.get_by_role("button", name="Make a gallery").click()
    dialog = page.get_by_role("dialog", name="Make a gallery")
    dialog.get_by_label("Name").fill("warehouse-7")
    refusal = {"code": "unauthorized", "detail": "expected a key"}
    page.route("**/galleries", lambda route: route.fulfill(status=401, json=refusal))
    dialog.get_by_role("button", name="Make").click()
    page.get_by_role("dialog", name="Enter a key").wait_for()
