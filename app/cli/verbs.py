"""The verbs by name. A verb's module is imported when it runs, so none pays for another's imports."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb: what it is called, where it is (`module:attribute`), and its line in `reid --help`."""

    name: str
    target: str
    summary: str


VERBS = (
    Verb("serve", "app.cli.serve:serve", "Serve the HTTP API and the console."),
    Verb("ingest", "app.cli.ingest:ingest", "Enrol a folder in Market-1501's layout, or a CSV manifest."),
    Verb("query", "app.cli.query:query", "Rank a gallery's identities against pictures of one person."),
    Verb("demo", "app.cli.demo:demo", "Render synthetic people to try the service with."),
    Verb("models", "app.cli.models:models", "List, compare, import, export, activate and remove model versions."),
    Verb("migrations", "app.cli.migrations:migrations", "List, show and end moves to another model version."),
    Verb("keys", "app.cli.keys:keys", "Make, list and revoke the keys that callers need."),
    Verb("gallery", "app.cli.gallery:gallery", "Make, check, count, audit, expire, back up and export galleries."),
    Verb("data", "model.training.data:data", "Check a data set and every picture in it. Needs the train extra."),
    Verb(
        "recipe", "model.training.recipe_text:recipe", "Print a recipe with all of its settings. Needs the train extra."
    ),
    Verb("train", "model.training.run_commands:train", "Train a network with the HAP2S loss. Needs the train extra."),
    Verb(
        "study", "model.training.run_commands:study", "Train many times with one thing changed. Needs the train extra."
    ),
    Verb(
        "audit",
        "model.training.version_commands:audit",
        "List likely wrong labels of training images. Needs the train extra.",
    ),
    Verb("compare", "model.training.run_commands:compare", "Put training runs side by side. Needs the train extra."),
    Verb(
        "interpolate",
        "model.training.run_commands:interpolate",
        "Find weights between those of two runs. Needs the train extra.",
    ),
    Verb(
        "evaluate",
        "model.training.version_commands:evaluate",
        "Measure a model: CMC, mAP, mINP. Needs the train extra.",
    ),
    Verb(
        "export",
        "model.training.version_commands:export",
        "Write a checkpoint as a model version in ONNX. Needs the train extra.",
    ),
)


class LazyCommand(TyperCommand):
    """A verb that has a name and a summary, and becomes the real command when it is called."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(verb.name, help=verb.summary)
        self.verb = verb

    def make_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - typer keeps its types to itself
        """Parse the arguments by the real command, which the context then carries and invokes."""
        return load(self.verb).make_context(*args, **kwargs)


def load(verb: Verb) -> TyperCommand | TyperGroup:
    """Import a verb's function, or its own group of verbs, and return the command."""
    module, _, attribute = verb.target.partition(":")
    target: Callable[..., object] | typer.Typer = getattr(importlib.import_module(module), attribute)
    group = target if isinstance(target, typer.Typer) else typer.Typer(add_completion=False)
    if not isinstance(target, typer.Typer):
        group.command(verb.name)(target)
    return cast(TyperCommand | TyperGroup, get_command(group))
