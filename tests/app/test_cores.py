from pathlib import Path

import pytest

from app.cores import cgroup_quota, usable_cores


def write_group(root: Path, own: str, limits: dict[str, str]) -> Path:
    for folder, text in limits.items():
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / "cpu.max").write_text(text)
    of_self = root / "self"
    of_self.write_text(f"0::{own}\n")
    return of_self


def test_quota_is_read_in_cores(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, write_group(tmp_path, "/", {".": "150000 100000\n"})) == 1.5


def test_tightest_group_on_the_way_up_counts(tmp_path: Path) -> None:
    limits = {".": "max 100000\n", "a": "200000 100000\n", "a/b": "400000 100000\n"}
    assert cgroup_quota(tmp_path, write_group(tmp_path, "/a/b", limits)) == 2.0


@pytest.mark.parametrize("text", ["max 100000\n", "", "a b\n", "1 0\n"])
def test_no_usable_quota_is_none(tmp_path: Path, text: str) -> None:
    assert cgroup_quota(tmp_path, write_group(tmp_path, "/", {".": text})) is None


def test_no_cgroup_is_none(tmp_path: Path) -> None:
    assert cgroup_quota(tmp_path, tmp_path / "missing") is None


def test_quota_limits_the_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(8)))
    monkeypatch.setattr("app.cores.CGROUP_ROOT", tmp_path)
    monkeypatch.setattr("app.cores.CGROUP_OF_SELF", write_group(tmp_path, "/", {".": "250000 100000\n"}))
    assert usable_cores() == 3
