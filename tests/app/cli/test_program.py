import re
import subprocess
import sys
import tomllib
from importlib.abc import MetaPathFinder
from importlib.metadata import version
from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from fsspec.registry import _registry

from app.cli import main
from app.cli.failures import EXTRAS, CommandError, explain
from app.cli.verbs import VERBS
from index.errors import SampleNotFound
from model.errors import VersionNotFound
from tests.app.cli.conftest import Reid
from tests.deploy.engine import ROOT

PIP = f"{sys.executable} -m pip install"
HEAVY = {"torch", "onnxruntime", "faiss", "numpy", "fastapi", "sqlalchemy", "PIL"}


def loaded_by(statement: str) -> set[str]:
    """Return the heavy packages that a fresh interpreter has loaded after a statement."""
    code = f"import sys\ntry:\n    {statement}\nexcept SystemExit: pass\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return HEAVY & set(done.stderr.split())


def test_version_is_the_distribution_s(reid: Reid) -> None:
    ran = reid("--version")
    assert (ran.code, ran.out) == (0, f"reid {version('hap2s-reid')}\n")


def test_help_names_every_verb_and_loads_none() -> None:
    assert loaded_by("from app.cli import main; main(['--help'])") == set()


def test_help_lists_the_verbs(reid: Reid) -> None:
    ran = reid("--help")
    assert ran.code == 0
    assert all(verb.name in ran.out for verb in VERBS)


def test_serve_never_loads_torch() -> None:
    assert "torch" not in loaded_by("import app.cli.serve")


@pytest.mark.parametrize("arguments", [["nonsense"], ["query"], ["ingest", "x", "--batch-size", "0"], []])
def test_wrong_usage_is_2(reid: Reid, arguments: list[str]) -> None:
    assert reid(*arguments).code == 2


def test_a_wrong_setting_is_told_in_one_line(reid: Reid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REID_PORT", "eighty")
    ran = reid("models", "list")
    assert ran.code == 1
    assert ran.err == "reid: REID_PORT=eighty: expected a port from 0 (any free one) to 65535\n"


def test_a_variable_that_is_no_setting_is_told_once(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REID_DATADIR", "/x")
    ran = reid("keys", "list")
    assert (ran.code, ran.err) == (0, "reid: REID_DATADIR is no setting; did you mean REID_DATA_DIR?\n")


class Without(MetaPathFinder):
    """Finds a package nowhere; None in its place would be a module to who only looks there, as scipy does."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, *_: object) -> None:
        if name == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_without_torch_the_extra_is_named(reid: Reid, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Without("torch"), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("model.training")]:
        monkeypatch.delitem(sys.modules, name)
    ran = reid("train", "--help")
    assert ran.code == 1
    assert ran.err == f"reid: this needs torch, which is not installed: {PIP} 'hap2s-reid[train]'\n"


@pytest.mark.parametrize("error", [CommandError("a\n b"), SampleNotFound("a b"), VersionNotFound("a  b")])
def test_errors_of_the_packages_are_told_as_they_are(error: Exception) -> None:
    assert explain(error) == "a b"


def test_a_system_error_names_the_file() -> None:
    assert explain(FileNotFoundError(2, "", "/nowhere")) == "/nowhere: No such file or directory"
    assert explain(OSError(28, "", "/full")) == "/full: no space left on the disk"


def test_an_unforeseen_error_is_one_line_and_says_how_to_see_more(reid: Reid, monkeypatch: pytest.MonkeyPatch) -> None:
    import app.cli.models as verb

    def break_down() -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(verb, "_open", break_down)
    quiet = reid("models", "list")
    assert quiet.code == 1
    expected = "reid: unexpected ZeroDivisionError: two lines (REID_LOG_LEVEL=debug prints the trace)\n"
    assert quiet.err == expected
    monkeypatch.setenv("REID_LOG_LEVEL", "debug")
    assert "Traceback" in reid("models", "list").err


MODULES = {
    "faiss-cpu": "faiss",
    "faiss-gpu-cu12": "faiss",
    "mlflow-skinny": "mlflow",
    "onnxruntime-gpu": "onnxruntime",
    "opentelemetry-exporter-otlp-proto-http": "opentelemetry",
    "opentelemetry-sdk": "opentelemetry",
    "scikit-learn": "sklearn",
}


def test_whatever_comes_with_an_extra_is_told_with_that_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    asked = [(re.split(r"[\[>=<]", each)[0], extra) for extra in extras if extra != "dev" for each in extras[extra]]
    assert len(asked) > 15
    for name, extra in asked:
        module = MODULES.get(name, name.replace("-", "_"))
        told = explain(ModuleNotFoundError(f"No module named {module!r}", name=f"{module}.part"))
        assert told == f"this needs {module}, which is not installed: {PIP} 'hap2s-reid[{EXTRAS[module]}]'"
        assert {extra, EXTRAS[module]} in ({extra}, {"cpu", "gpu"}, {"cpu", "train"})


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("s3://bucket/p", f"this needs s3fs, which is not installed: {PIP} 'hap2s-reid[scale]'"),
        ("gs://bucket/p", "Please install gcsfs to access Google Storage"),
        ("s4://bucket/p", "REID_BLOB_URL: expected a folder or an address such as s3://bucket/pictures, found s4://"),
    ],
)
def test_pictures_at_an_address_that_needs_more_say_what(
    reid: Reid, data_dir: Path, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    monkeypatch.delitem(sys.modules, "s3fs", raising=False)
    monkeypatch.delitem(_registry, "s3", raising=False)  # there, once another test has opened one
    monkeypatch.setattr(sys, "meta_path", [Without("s3fs"), *sys.meta_path])
    monkeypatch.setenv("REID_BLOB_URL", url)
    ran = reid("gallery", "stats")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert ran.err.startswith(f"reid: {told}")


def test_what_the_terminal_cannot_show_is_escaped(monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> None:
    monkeypatch.setenv("REID_DATA_DIR", str(data_dir))
    terminal = TextIOWrapper(BytesIO(), encoding="latin-1")
    monkeypatch.setattr(sys, "stdout", terminal)
    with pytest.raises(SystemExit) as ended:
        main(["gallery", "stats"])  # without a retention it prints a dash
    terminal.flush()
    assert (ended.value.code, b"\\u2013" in terminal.detach().getvalue()) == (0, True)
