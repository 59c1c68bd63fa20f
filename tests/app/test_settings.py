import os
import re
from pathlib import Path

import pytest
from sqlalchemy import make_url

from app.errors import SettingsInvalid
from app.settings import READ_ELSEWHERE, TOLD, Settings, is_loopback, load_settings, unknown_variables


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOST", "PORT", "DATA_DIR", "DATABASE_URL", "BLOB_URL", "REGISTRY_DIR", "MODEL", "THREADS"):
        monkeypatch.delenv(f"REID_{name}", raising=False)


def test_everything_follows_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path))
    settings = load_settings()
    assert settings.database_url == f"sqlite:///{tmp_path}/reid.db"
    assert settings.blob_url == str(tmp_path / "pictures")
    assert settings.registry_dir == tmp_path / "models"


@pytest.mark.parametrize("name", ["feature%2Fx", "My%20Project", "2026? spring", "100%", "a#b&c=d", "me:you@home"])
def test_the_catalogue_lies_in_the_data_folder_whatever_its_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setenv("REID_DATA_DIR", str(tmp_path / name))
    assert make_url(load_settings().database_url).database == str(tmp_path / name / "reid.db")


def test_data_folder_is_absolute_wherever_the_process_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_DATA_DIR", "somewhere")
    assert load_settings().data_dir == Path.cwd() / "somewhere"


@pytest.mark.parametrize("name", [name.upper() for name in Settings.model_fields])
def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    without = load_settings()
    monkeypatch.setenv(f"REID_{name}", "")
    assert load_settings() == without


def test_a_variable_that_nothing_reads_is_told_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("REID_")]:
        monkeypatch.delenv(name)
    for name in ("DATA_DIR", "DATADIR", "MAX_BATCHES", "SERVICE_HOST", "PORT_8000_TCP", *READ_ELSEWHERE):
        monkeypatch.setenv(f"REID_{name}", "x")
    assert unknown_variables() == [
        "REID_DATADIR is no setting; did you mean REID_DATA_DIR?",
        "REID_MAX_BATCHES is no setting; did you mean REID_MAX_BATCH?",
        "REID_PORT_8000_TCP is no setting",
        "REID_SERVICE_HOST is no setting",
    ]


def test_every_variable_in_code_and_files_is_known() -> None:
    root = Path(__file__).parents[2]
    folders = ("app", "benchmarks", "docker", "index", "model", "reid_client")
    files = [root / "docker-compose.yml", *(each for folder in folders for each in (root / folder).rglob("*"))]
    texts = [file.read_text() for file in files if file.suffix in {".py", ".yml", ".sh", ".Dockerfile"}]
    found = {name for text in texts for name in re.findall(r"REID_([A-Z_]*[A-Z])\b", text)}
    known = {*map(str.upper, Settings.model_fields), *READ_ELSEWHERE}
    assert found - known <= {"SERVICE_HOST"}  # of Kubernetes
    assert {"DATA_DIR", *READ_ELSEWHERE} <= found


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("REID_PORT", "http", "a port from 0"),
        ("REID_PORT", "65536", "a port from 0"),
        ("REID_THREADS", "0", "a number of threads"),
        ("REID_DATABASE_URL", "reid.db", "a file such as"),
        ("REID_DATABASE_URL", "mysql://host/reid", "a file such as sqlite:////data/reid.db or a server such as"),
        ("REID_DATABASE_URL", "postgresql+asyncpg://host/reid", "a file such as"),
        ("REID_DATABASE_URL", "sqlite://", "a file such as"),
        ("REID_DATABASE_URL", "sqlite:///:memory:", "a file such as"),
        ("REID_INDEX_URL", "milvus://host", "faiss"),
        ("REID_MODEL", "latest", "a version such as"),
        ("REID_PROVIDERS", " , ", "separated by commas"),
        ("REID_MAX_QUEUE", "-1", "a number of pictures"),
        ("REID_MAX_WAIT_MS", "nan", "milliseconds"),
        ("REID_REQUEST_TIMEOUT_S", "0", "seconds up to 3600"),
        ("REID_EXPIRY_INTERVAL_S", "-1", "seconds from 0 (never)"),
        ("REID_METRICS_PORT", "0", "a port from 1"),
        ("REID_OTLP_ENDPOINT", "collector:4318", "the address of an OTLP/HTTP collector"),
        ("REID_PRECISION", "fp16", "int8 or fp32"),
        ("REID_DRAIN_S", "301", "seconds from 0 to 300"),
        ("REID_LOG_LEVEL", "loud", "debug, info"),
        ("REID_LOG_FORMAT", "xml", "text or json"),
    ],
)
def test_wrong_value_names_variable_value_and_expectation(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, expected: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsInvalid) as caught:
        load_settings()
    text = str(caught.value)
    assert text.startswith(f"{variable}={value}: expected ")
    assert expected in text
    assert "\n" not in text
    assert text.count("expected") == 1


@pytest.mark.parametrize("name", ["REID_PORT", "REID_METRICS_PORT"])
def test_who_sets_a_port_to_an_address_is_told(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "tcp://10.3.2.1:8000")
    with pytest.raises(SettingsInvalid, match=f"^{name}=tcp://10.3.2.1:8000: expected a port .*Kubernetes sets it"):
        load_settings()


def test_wrong_override_is_told_like_a_variable() -> None:
    with pytest.raises(SettingsInvalid, match="REID_PORT=70000: expected a port"):
        load_settings(port=70000)


def test_override_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PORT", "1")
    assert load_settings(port=2).port == 2


def test_providers_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PROVIDERS", "CUDAExecutionProvider, CPUExecutionProvider")
    assert load_settings().providers == ("CUDAExecutionProvider", "CPUExecutionProvider")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://me:secret@host/reid", "postgresql+psycopg://me:***@host/reid"),
        ("postgresql://host/reid?user=me&password=secret", "postgresql://host/reid?user=me&password=***"),
        ("sqlite:////data/reid.db", "sqlite:////data/reid.db"),
    ],
)
def test_secrets_are_masked_where_settings_are_shown(url: str, shown: str) -> None:
    assert load_settings(database_url=url).shown()["REID_DATABASE_URL"] == shown


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///reid.db",
        "sqlite+pysqlite:////data/reid.db",
        "postgresql://host/reid",
        "postgresql+psycopg://host/reid",
    ],
)
def test_databases_that_are_known(url: str) -> None:
    assert load_settings(database_url=url).database_url == url


@pytest.mark.parametrize("setting", ["model", "database_url"])
def test_secret_is_masked_in_an_error_too(setting: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"://me:\*\*\*@host: expected ") as caught:
        load_settings(**{setting: "mysql://me:secret@host"})
    assert "secret" not in str(caught.value)


def test_every_field_is_shown_under_its_variable() -> None:
    shown = load_settings(port=8123, log_format="json").shown()
    assert shown["REID_PORT"] == "8123"
    assert shown["REID_LOG_FORMAT"] == "json"
    assert shown["REID_MODEL"] == ""
    assert shown["REID_PROVIDERS"] == "CPUExecutionProvider"
    assert len(shown) == 24


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("[::1]", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("192.168.1.2", False),
        ("localhost.example.org", False),
        ("::ffff:10.0.0.1", False),
    ],
)
def test_loopback_addresses(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_each_setting_is_told_or_kept_back_on_purpose(tmp_path: Path) -> None:
    kept_back = {"otlp_endpoint", "data_dir", "database_url", "blob_url", "registry_dir"}
    assert {*TOLD, *kept_back} == set(Settings.model_fields)
    settings = load_settings(data_dir=tmp_path, database_url="postgresql://reid:secret@host/reid", max_batch=3)
    told = {each["name"]: each["value"] for each in settings.told()}
    assert told["REID_MAX_BATCH"] == 3
    assert "secret" not in str(told)
    assert str(tmp_path) not in str(told)
