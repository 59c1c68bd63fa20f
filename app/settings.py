"""The one settings object, and the only reader of the environment."""

import ipaddress
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.cores import usable_cores
from app.errors import SettingsInvalid
from index.records import Storage
from model.card import VERSION_PATTERN

PREFIX = "REID_"
_PASSWORD = re.compile(r"(?<=://)([^/@:]*):[^/@]*@")
_SECRET_ARGUMENT = re.compile(r"(?i)((?:password|secret|token|key)=)[^&;]*")


def _split(value: object) -> object:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _file_url(path: Path) -> str:
    """Return SQLAlchemy's address of a file; it takes `%20` for a space, and what follows a `?` for no part of it."""
    return "sqlite:///" + str(path).replace("%", "%25").replace("?", "%3F")


# What any admin may be told. Addresses may hold passwords and folders say where things lie: those are not here, and
# neither is a new setting until it is put here.
TOLD = (
    "host",
    "port",
    "metrics_port",
    "index_url",
    "index_recall",
    "index_storage",
    "index_exact_rows",
    "model",
    "precision",
    "threads",
    "providers",
    "max_queue",
    "max_batch",
    "max_wait_ms",
    "request_timeout_s",
    "drain_s",
    "expiry_interval_s",
    "log_level",
    "log_format",
)
READ_ELSEWHERE = ("URL", "KEY", "PICTURE_CACHE")  # by the client, and by the verbs of the training
Folder = Annotated[Path, AfterValidator(_absolute)]
Providers = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]


class Settings(BaseSettings):
    """Everything that can be set; each field is the variable `REID_<FIELD>`, which is not set where it is empty."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", min_length=1, description="an address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="a port from 0 (any free one) to 65535")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="a port from 1 to 65535 that answers /metrics instead of REID_PORT"
    )
    otlp_endpoint: str | None = Field(
        None,
        pattern=r"^https?://\S+$",
        description="the address of an OTLP/HTTP collector such as http://127.0.0.1:4318",
    )
    data_dir: Folder = Field(Path("data"), validate_default=True, description="a folder that can be made or written")
    database_url: str = Field(
        default_factory=lambda data: _file_url(data["data_dir"] / "reid.db"),
        pattern=r"^(sqlite(\+\w+)?:///[^:]|postgresql(\+psycopg)?://)",  # SQLite's `:memory:` would not last
        description="a file such as sqlite:////data/reid.db or a server such as "
        "postgresql+psycopg://user:password@host/reid",
    )
    index_url: Literal["faiss"] = Field("faiss", description="faiss (in the process)")
    index_recall: float = Field(
        0.99, gt=0, le=1, description="a part above 0 and up to 1 of the ten best identities that a search is to find"
    )
    index_storage: Storage = Field("float32", description="float32 or float16")
    index_exact_rows: int | None = Field(
        None, ge=0, description="a number of samples up to which a gallery is compared one by one"
    )
    blob_url: str = Field(
        default_factory=lambda data: str(data["data_dir"] / "pictures"),
        min_length=1,
        description="a folder or an fsspec URL",
    )
    registry_dir: Folder = Field(
        default_factory=lambda data: data["data_dir"] / "models",
        description="a folder",
    )
    model: str | None = Field(None, pattern=VERSION_PATTERN, description="a version such as market1501@1")
    precision: Literal["int8", "fp32"] | None = Field(
        None, description="int8 or fp32; not set, int8 where the version has it"
    )
    threads: int = Field(default_factory=usable_cores, ge=1, le=1024, description="a number of threads from 1 to 1024")
    providers: Providers = Field(
        ("CPUExecutionProvider",),
        min_length=1,
        description="names of ONNX Runtime execution providers, separated by commas",
    )
    max_queue: int = Field(512, ge=1, le=100_000, description="a number of pictures from 1 to 100000")
    max_batch: int = Field(16, ge=1, le=1024, description="a number of pictures from 1 to 1024")
    max_wait_ms: float = Field(0.0, ge=0, le=1000, description="milliseconds from 0 to 1000")
    request_timeout_s: float = Field(
        30.0, gt=0, le=3600, description="seconds up to 3600 that a request's headers may take, and its body besides"
    )
    drain_s: float = Field(
        0.0, ge=0, le=300, description="seconds from 0 to 300 between SIGTERM and the end of listening"
    )
    expiry_interval_s: float = Field(
        3600, ge=0, le=604_800, description="seconds from 0 (never) to 604800 between two runs of the expiry"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    log_format: Literal["text", "json"] = Field("text", description="text or json")

    def shown(self) -> dict[str, str]:
        """Return every variable with its value as text, secrets masked."""
        return {PREFIX + name.upper(): _mask(_text(getattr(self, name))) for name in type(self).model_fields}

    def told(self) -> list[dict[str, Any]]:
        """Return name, value and what is expected of each setting that is no address or folder."""
        fields = type(self).model_fields
        return [
            {"name": PREFIX + name.upper(), "value": getattr(self, name), "expected": fields[name].description}
            for name in TOLD
        ]


def load_settings(**overrides: object) -> Settings:
    """Read the environment; raise `SettingsInvalid` with variable, value and what was expected."""
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as exc:
        # a default that follows another variable is not itself to blame
        blamed = (error for error in exc.errors() if error["type"] != "default_factory_not_called")
        raise SettingsInvalid("; ".join(_explain(error, overrides) for error in blamed)) from exc


def unknown_variables() -> list[str]:
    """Say of each `REID_*` variable that nothing reads which one may be meant.

    A warning and no error: Kubernetes, for one, sets variables named after each service, such as `REID_SERVICE_HOST`.
    """
    known = [*map(str.upper, Settings.model_fields), *READ_ELSEWHERE]
    names = sorted(name.upper().removeprefix(PREFIX) for name in os.environ if name.upper().startswith(PREFIX))
    return [_unknown(name, get_close_matches(name, known, n=1)) for name in names if name not in known]


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _unknown(name: str, near: list[str]) -> str:
    meant = "".join(f"; did you mean {PREFIX}{each}?" for each in near)
    return f"{PREFIX}{name} is no setting{meant}"


def _explain(error: ErrorDetails, overrides: Mapping[str, object]) -> str:
    name = str(error["loc"][0])
    # a command-line override comes under its field's name, the environment's under the variable's
    field = name.removeprefix(PREFIX).removeprefix(PREFIX.lower()).lower()
    given = overrides.get(field, os.environ.get(PREFIX + field.upper(), error["input"]))
    expected = Settings.model_fields[field].description if field in Settings.model_fields else error["msg"]
    told = f"{PREFIX}{field.upper()}={_mask(str(given))}: expected {expected}"
    if field.endswith("port") and str(given).startswith("tcp://"):
        return f"{told}; Kubernetes sets it for a Service of this name: enableServiceLinks: false keeps it from that"
    return told


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


def _mask(text: str) -> str:
    return _SECRET_ARGUMENT.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))
