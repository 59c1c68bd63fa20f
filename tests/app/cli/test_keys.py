import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from index.keys import Keys
from tests.app.cli.conftest import Reid


def made(reid: Reid, *arguments: object) -> dict[str, object]:
    ran = reid("keys", "create", *arguments, "--json")
    assert ran.code == 0, ran.err
    told: dict[str, object] = json.loads(ran.out)
    return told


def test_a_key_is_told_once(reid: Reid, tmp_path: Path) -> None:
    told = made(reid, "--scope", "enroll", "--scope", "query", "--gallery", "default", "--label", "door", "--rate", 5)
    assert set(told) == {"id", "key", "scopes", "gallery"}
    assert (told["scopes"], told["gallery"]) == (["query", "enroll"], "default")
    [item] = json.loads(reid("keys", "list", "--json").out)["items"]
    assert (item["id"], item["scopes"], item["gallery"]) == (told["id"], told["scopes"], "default")
    assert (item["label"], item["rate"], item["last_used_at"], item["revoked_at"]) == ("door", 5.0, None, None)
    secret = str(told["key"])[18:]
    assert all(secret not in reid("keys", "list", *more).out for more in ([], ["--json"]))
    with Keys.open(f"sqlite:///{tmp_path}/data/reid.db") as keys:
        assert keys.verify(str(told["key"])) is not None


def test_the_key_alone_is_on_stdout(reid: Reid, data_dir: Path) -> None:
    ran = reid("keys", "create", "--scope", "admin")
    assert (ran.out.count("\n"), ran.err.count("\n")) == (1, 2)
    with Keys.open(f"sqlite:///{data_dir}/reid.db") as keys:
        assert keys.verify(ran.out.strip()) is not None


FIRST = "this is the first key: from now on the service asks every caller for one, the console too\n"
NO_ADMIN = "no key administers all galleries over HTTP yet: make one with reid keys create --scope admin\n"
KEEP = "keep it now: it is not shown again\n"


def test_what_the_first_keys_change_for_others_is_told(reid: Reid, data_dir: Path) -> None:
    ran = reid("keys", "create", "--scope", "query", "--json")
    assert (json.loads(ran.out)["scopes"], ran.err) == (["query"], FIRST + NO_ADMIN)
    assert reid("keys", "create", "--scope", "admin", "--gallery", "default").err == NO_ADMIN + KEEP
    ran = reid("keys", "create", "--scope", "admin", "--json")
    assert ran.err == ""
    assert reid("keys", "create", "--scope", "query").err == KEEP
    reid("keys", "revoke", json.loads(ran.out)["id"])
    assert reid("keys", "create", "--scope", "query").err == NO_ADMIN + KEEP


def test_revoking(reid: Reid) -> None:
    key_id = made(reid, "--scope", "query")["id"]
    first = json.loads(reid("keys", "revoke", key_id, "--json").out)
    assert (first["id"], first["revoked_at"] is None) == (key_id, False)
    assert json.loads(reid("keys", "revoke", key_id, "--json").out) == first
    assert f"{key_id} is revoked since" in reid("keys", "revoke", key_id).out
    assert "query" in reid("keys", "list").out
    assert json.loads(reid("keys", "list", "--json").out)["items"][0]["revoked_at"] == first["revoked_at"]
    unknown = reid("keys", "revoke", "0" * 12)
    assert (unknown.code, unknown.err) == (1, f"reid: no key has the id {'0' * 12}: reid keys list shows them\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], 2), (["--scope", "everything"], 2), (["--scope", "query", "--gallery", "../x"], 1),
     (["--scope", "query", "--rate", "0"], 1), (["--scope", "query", "--rate", "1e9"], 2)],
)  # fmt: skip
def test_what_cannot_be_a_key_is_refused(reid: Reid, arguments: list[str], code: int) -> None:
    assert reid("keys", "create", *arguments).code == code
    assert json.loads(reid("keys", "list", "--json").out)["items"] == []


def test_a_gallery_that_is_not_there_yet_is_told(reid: Reid) -> None:
    assert "has not been made yet" in reid("keys", "create", "--scope", "query", "--gallery", "shop").err
    assert "has not been made yet" not in reid("keys", "create", "--scope", "query", "--gallery", "default").err


def test_no_model_is_needed(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom app.cli import main\n"
        "try: main(['keys', 'create', '--scope', 'query', '--json'])\n"
        "except SystemExit: pass\n"
        "print('loaded', *({'faiss', 'onnxruntime', 'torch'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = {**os.environ, "REID_DATA_DIR": str(tmp_path / "data")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert (json.loads(done.stdout)["scopes"], done.stderr.splitlines()[-1]) == (["query"], "loaded")


def test_the_audit_shows_keys(reid: Reid, data_dir: Path) -> None:
    key_id = made(reid, "--scope", "query")["id"]
    [entry] = json.loads(reid("gallery", "audit", "--json").out)["entries"]
    assert (entry["action"], entry["key_id"], entry["actor"]) == ("create_key", key_id, None)
    assert str(key_id) in reid("gallery", "audit").out


def test_a_restore_says_which_keys_are_good(
    reid: Reid, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id = made(reid, "--scope", "query")["id"]
    reid("gallery", "backup", tmp_path / "kept")
    reid("keys", "revoke", key_id)
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / "new"))
    assert f"Good are {key_id}\n" in reid("gallery", "restore", tmp_path / "kept").out
