"""A recipe written out in full, and the verb that prints it: what may be set is told by the settings themselves."""

import enum
import inspect
import json
from collections.abc import Iterator
from typing import Annotated, Literal, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from model.training.recipe import Recipe, bundled_recipes, override, parse_settings, read_recipe


def recipe(
    name: Annotated[str, typer.Argument(help=f"{', '.join(bundled_recipes())}, or a TOML file")] = "cpu",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="change a setting of the recipe, such as loss.alpha=5"),
    ] = None,
) -> None:
    """Print a recipe as TOML with every setting, its default too, and what each means: to keep, change and train by."""
    typer.echo(as_toml(override(read_recipe(name), parse_settings(settings or ()))), nl=False)


def as_toml(recipe: Recipe) -> str:
    """Return the recipe with all settings as a TOML text, which reads as the same recipe; what is off is commented."""
    return "".join(f"{line}\n" for line in _section(recipe))


def _section(section: BaseModel) -> Iterator[str]:
    values = section.model_dump(mode="json")
    parts: list[tuple[str, BaseModel, str]] = []
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            parts.append((f"[{name}]", value, ""))
        elif value is None:
            (kind,) = (each for each in get_args(field.annotation) if each is not type(None))
            parts.append((f"[{name}]", kind(), "# "))
        elif isinstance(value, tuple) and value and isinstance(value[0], BaseModel):
            parts += [(f"[[{name}]]", each, "") for each in value]
        else:
            yield f"{name} = {_value(values[name])}  # {_meaning(field)}"
    for heading, part, off in parts:
        yield ""
        yield f"{off}{heading}  # {inspect.getdoc(part)}"
        yield from (off + line for line in _section(part))


def _meaning(field: FieldInfo) -> str:
    kind = field.annotation
    choices: tuple[object, ...] = ()
    if get_origin(kind) is Literal:
        choices = get_args(kind)
    elif isinstance(kind, enum.EnumType):
        choices = tuple(each.value for each in kind)
    return "; ".join(filter(None, (" | ".join(map(str, choices)), field.description)))


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_value(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False)
