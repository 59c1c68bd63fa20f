import json
import shlex
import shutil
from pathlib import Path

import pytest

from app.cli.demo import draw
from tests.app.cli.conftest import Reid


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn people, in a folder whose name the shell would split."""
    return draw(tmp_path_factory.mktemp("drawn") / "a demo")


def test_the_pictures_are_two_of_one_person_by_two_cameras(reid: Reid, drawn: Path) -> None:
    told = json.loads(reid("demo", drawn, "--json").out)
    enrol, query = Path(told["enrol"]), Path(told["query"])
    assert enrol.is_file()
    assert query.is_file()
    assert enrol.name[:4] == query.name[:4] == told["identity"]
    assert enrol.name[5:7] != query.name[5:7]


def test_the_lines_can_be_typed_as_they_are(reid: Reid, drawn: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PORT", "8130")
    lines = [shlex.split(line) for line in reid("demo", drawn).out.splitlines() if "curl" in line]
    assert [line[-1] for line in lines] == ["http://127.0.0.1:8130/gallery", "http://127.0.0.1:8130/query"]
    for line in lines:
        assert Path(next(word for word in line if word.startswith("image=@"))[7:]).is_file()


def test_a_folder_that_has_them_is_left_as_it_is(reid: Reid, drawn: Path) -> None:
    stamps = {path: path.stat().st_mtime_ns for path in drawn.rglob("*.jpg")}
    assert reid("demo", drawn).code == 0
    assert {path: path.stat().st_mtime_ns for path in drawn.rglob("*.jpg")} == stamps


def test_a_folder_of_other_files_is_left_alone(reid: Reid, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    ran = reid("demo", tmp_path)
    assert ran.code == 1
    assert "letter.txt" not in ran.out
    assert (tmp_path / "letter.txt").read_text() == "dear"


def test_drawing_that_was_cut_short_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def write(path: Path, data: bytes) -> int:
        if len(written) == 30:
            raise KeyboardInterrupt
        written.append(path)
        with path.open("wb") as file:
            return file.write(data)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", write)
        with pytest.raises(KeyboardInterrupt):
            draw(tmp_path / "demo")
    assert [path.name for path in tmp_path.rglob("*")] == ["demo"]
    assert len(list(draw(tmp_path / "demo").rglob("*.jpg"))) > len(written)


def test_ingest_enrols_them(reid: Reid, data_dir: Path, drawn: Path) -> None:
    ran = reid("demo", drawn, "--ingest")
    assert ran.code == 0
    assert "all of them are enrolled now" in ran.out
    assert "0 rejected" in ran.out
    assert json.loads(reid("gallery", "stats", "--json").out)["galleries"][0]["samples"] > 12


def test_the_readme_has_these_lines(reid: Reid, drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(drawn, "demo")
    lines = [line.strip() for line in reid("demo").out.splitlines() if "curl" in line]
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert [line for line in lines if f"$ {line}\n" not in readme] == []
