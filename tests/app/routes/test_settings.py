import json
from pathlib import Path

from app.application import create_app
from app.schemas import SettingsAnswer
from tests.app.parts import VERSION, tiny_settings
from tests.app.server import serving


def test_what_is_in_effect_is_told(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path, max_queue=77))) as client:
        answer = client.get("/settings").raise_for_status().json()
    SettingsAnswer.model_validate(answer)
    values = {each["name"]: each["value"] for each in answer["settings"]}
    assert values["REID_MAX_QUEUE"] == 77
    assert values["REID_METRICS_PORT"] is None
    assert values["REID_MODEL"] == VERSION
    assert values["REID_PRECISION"] == "fp32"  # not set: what the version has
    assert values["REID_PROVIDERS"] == ["CPUExecutionProvider"]
    assert answer["limits"]["file_bytes"] == 10_000_000


def test_no_address_and_no_folder_is_told(tmp_path: Path) -> None:
    with serving(create_app(tiny_settings(tmp_path))) as client:
        text = client.get("/settings").raise_for_status().text
    assert str(tmp_path) not in text
    assert "://" not in "".join(str(each["value"]) for each in json.loads(text)["settings"])
