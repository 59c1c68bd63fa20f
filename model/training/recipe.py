"""Training recipes: TOML files that say everything about a run but its data and its folder."""

import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from model.comparison import flatten
from model.errors import RecipeError
from model.training.hap2s import PointToSet

Parsed = TypeVar("Parsed", bound=BaseModel)
EmbeddingKind: TypeAlias = Literal["whitened", "neck", "feature"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkRecipe(_Section):
    """Backbone, pooling and the layers between the pooled feature and the embedding."""

    backbone: Literal[
        "resnet18",
        "resnet34",
        "resnet50",
        "mobilenet_v3_small",
        "mobilenet_v3_large",
        "convnext_tiny",
        "vit_b_16",
    ] = Field(description="torchvision's")
    instance_norm: bool = Field(False, description="IBN-a, of the ResNets")
    pooling: Literal["gem", "average"] = Field("gem", description="of the last feature map")
    last_stride: Literal[1, 2] = Field(1, description="of a ResNet's last stage; 1 keeps twice the detail")
    embedding_dim: int = Field(0, ge=0, description="0: the pooled feature is the embedding")
    bottleneck: bool = Field(True, description="BNNeck between the metric feature and the classifier")
    embedding: EmbeddingKind = Field(
        "whitened", description="the metric feature half whitened, after the neck as BoT has it, or as it is"
    )
    hidden_dim: int = Field(0, ge=0, description="a layer before the embedding, as the paper's FC-1024")
    frozen: tuple[str, ...] = Field((), description="the backbone's modules that keep their ImageNet weights")
    opened: dict[str, float] = Field(
        {}, description="modules frozen at first: the epoch, from 0, at which each begins to train"
    )

    @property
    def openings(self) -> dict[str, float]:
        """The epoch at which each module that is not trained from the start opens, infinite for a frozen one."""
        return {**self.opened, **dict.fromkeys(self.frozen, math.inf)}


class LossRecipe(_Section):
    """The metric loss, HAP2S or a rival, and the identity cross-entropy beside it."""

    kind: Literal["hap2s", "agw", "triplet", "contrastive", "multi-similarity", "circle"] = Field(
        "hap2s", description="a rival has the parameters below, and none of form to detach_weights"
    )
    parameters: dict[str, float] = Field({}, description="a rival's own, by pytorch-metric-learning's names")
    form: PointToSet = Field(
        PointToSet.EXPONENTIAL, description="HAP2S_E, HAP2S_P, or their limits; extreme: batch-hard"
    )
    sigma: float = Field(0.5, gt=0, description="of the exponential form: the smaller, the more the hardest count")
    alpha: float = Field(10.0, gt=0, description="of the polynomial form: the larger, the more the hardest count")
    margin: float = Field(0.3, ge=0, description="of the hinge; added within the softplus too")
    softplus: bool = Field(False, description="a soft margin instead of the hinge")
    normalised: bool = Field(False, description="compare embeddings of unit length")
    detach_weights: bool = Field(True, description="no gradient through the weights of HAP2S")
    weight: float = Field(1.0, ge=0, description="of the metric loss")
    identity_weight: float = Field(1.0, ge=0, description="of the identity cross-entropy")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="of the identity cross-entropy")


class BatchRecipe(_Section):
    """P identities × K images."""

    identities: int = Field(16, ge=2, description="P, in a batch")
    images: int = Field(4, ge=2, description="K, of each identity")


class OptimiserRecipe(_Section):
    """Optimiser and learning rate schedule."""

    name: Literal["adam", "adamw", "sgd"] = Field("adam", description="sgd with a momentum of 0.9")
    rate: float = Field(3.5e-4, gt=0, description="the highest one")
    head_factor: float = Field(1.0, gt=0, description="the new layers' rate over the backbone's")
    weight_decay: float = Field(5e-4, ge=0, description="L2; of adamw, decoupled")
    warmup_epochs: float = Field(0, ge=0, description="of a linear rise")
    warmup_start: float = Field(0.01, gt=0, le=1, description="of the rate")
    schedule: Literal["cosine", "steps"] = Field("cosine", description="after the warm-up")
    steps: tuple[float, ...] = Field((), description="of the schedule steps: epochs at which the rate falls to a tenth")

    @model_validator(mode="after")
    def _steps_belong_to_their_schedule(self) -> Self:
        if (self.schedule == "steps") != bool(self.steps):
            raise ValueError("`steps` are the epochs of the schedule `steps`: give both, or neither")
        return self


class DistillationRecipe(_Section):
    """How a student listens to its teacher, beside the other losses."""

    logits: float = Field(1.0, ge=0, description="weight of the teacher's softened logits")
    distances: float = Field(10.0, ge=0, description="weight of the distances between the teacher's embeddings")
    temperature: float = Field(4.0, gt=0, description="by which logits are softened")


class NoiseRecipe(_Section):
    """Wrong labels put into the training images on purpose."""

    kind: Literal["symmetric", "camera", "stranger"] = Field(
        "symmetric", description="any other identity; one that the same camera sees; whole identities given to others"
    )
    share: float = Field(0.0, ge=0, lt=1, description="of the training images")
    seed: int = Field(0, ge=0, description="of which images")


class Stage(_Section):
    """Some epochs at one input size, with their augmentation."""

    epochs: int = Field(gt=0, description="over all training images")
    height: int = Field(ge=32, description="of the input in pixels")
    width: int = Field(ge=16, description="of the input in pixels")
    flip: float = Field(0.5, ge=0, le=1, description="chance of the mirror image")
    pad: int = Field(0, ge=0, description="pixels on each side, of which a part is cropped again")
    erasing: float = Field(0, ge=0, le=1, description="chance of random erasing")
    jitter: float = Field(
        0, ge=0, le=1, description="exposure, contrast, saturation and white balance each by a factor of e^±jitter"
    )
    grayscale: float = Field(0, ge=0, le=1, description="chance of losing all colour")


class Recipe(_Section):
    """One way to train a network."""

    name: str = Field(description="of the run's version, where none is given")
    description: str = Field(description="what it is for")
    seed: int = Field(1, ge=0, description="of everything that is drawn")
    held_out_identities: int = Field(50, ge=2, description="whole identities kept for validation")
    validate_every: int = Field(5, gt=0, description="epochs")
    precision: Literal["auto", "float32", "bfloat16"] = Field("auto", description="auto: bfloat16 where it is fast")
    compiled: bool = Field(False, description="torch.compile: slow to start, faster a step; needs a C++ compiler")
    network: NetworkRecipe
    loss: LossRecipe
    batch: BatchRecipe
    optimiser: OptimiserRecipe
    noise: NoiseRecipe = NoiseRecipe()
    distillation: DistillationRecipe | None = None
    averaging: float = Field(
        0.0, ge=0, lt=1, description="decay a step of the averaged weights (EMA); 0: none are kept"
    )
    stages: tuple[Stage, ...] = Field(min_length=1)

    @property
    def epochs(self) -> int:
        """The number of epochs over all stages."""
        return sum(stage.epochs for stage in self.stages)

    def stage_of(self, epoch: int) -> Stage:
        """Return the stage that epoch `epoch`, counted from 0, belongs to."""
        for stage in self.stages:
            if epoch < stage.epochs:
                return stage
            epoch -= stage.epochs
        return self.stages[-1]

    @model_validator(mode="after")
    def _inputs_are_whole_patches(self) -> Self:
        for stage in self.stages:
            if self.network.backbone == "vit_b_16" and (stage.height % 16 or stage.width % 16):
                raise ValueError(f"vit_b_16 takes multiples of 16 pixels, and not {stage.height}×{stage.width}")
        return self

    @model_validator(mode="after")
    def _modules_open_in_time(self) -> Self:
        late = [name for name, epoch in self.network.opened.items() if epoch > self.epochs - 1]
        if late:
            raise ValueError(
                f"network.opened: {', '.join(late)} would open after the last of {self.epochs} epochs began"
            )
        if both := sorted(set(self.network.opened) & set(self.network.frozen)):
            raise ValueError(f"network.opened and network.frozen both name {', '.join(both)}; keep one")
        return self

    @model_validator(mode="after")
    def _something_is_learnt(self) -> Self:
        if self.distillation is None and not self.loss.weight and not self.loss.identity_weight:
            raise ValueError("loss.weight and loss.identity_weight are both 0, so that nothing would be learnt")
        if self.network.hidden_dim and not self.network.embedding_dim:
            raise ValueError("network.hidden_dim is a layer before that of network.embedding_dim, which is 0; set both")
        return self

    @model_validator(mode="after")
    def _warmup_fits(self) -> Self:
        if self.optimiser.warmup_epochs >= self.epochs:
            raise ValueError(f"warm-up of {self.optimiser.warmup_epochs} epochs leaves nothing of {self.epochs} epochs")
        return self


def bundled_recipes() -> list[str]:
    """Return the names of the recipes that come with the package."""
    folder = resources.files("model.training") / "recipes"
    return sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml"))


def read_recipe(name: str) -> Recipe:
    """Read a bundled recipe by name, or one from a TOML file; raise `RecipeError` when it is not one."""
    if name in bundled_recipes():
        text = (resources.files("model.training") / "recipes" / f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_text(encoding="utf-8")
    else:
        raise RecipeError(f"expected a recipe out of {', '.join(bundled_recipes())} or a TOML file, found {name}")
    return parse_toml(Recipe, f"recipe {name}", text)


def override(recipe: Recipe, changes: Mapping[str, object]) -> Recipe:
    """Return the recipe with some settings replaced, each named dotted, as in `loss.form` or `stages.0.epochs`."""
    content = recipe.model_dump(mode="json")
    if recipe.distillation is None and any(name.startswith("distillation.") for name in changes):
        content["distillation"] = DistillationRecipe().model_dump(mode="json")
    for name, value in changes.items():
        *sections, last = name.split(".")
        place: Any = content
        try:
            for section in sections:
                place = place[_key(place, section)]
            place[_key(place, last)]  # a new one would be a mistake
            place[_key(place, last)] = value
        except (KeyError, IndexError, TypeError, ValueError) as exc:
            raise RecipeError(f"expected a setting of the recipe such as loss.form, found {name}") from exc
    return validate(Recipe, f"recipe {recipe.name}", content)


def differing(recipes: Sequence[Recipe]) -> dict[str, list[str]]:
    """Return the settings that are not the same in all recipes, as `override` names them, with each one's value."""
    flat = [flatten(each.model_dump(mode="json")) for each in recipes]
    values = {name: [each.get(name, "–") for each in flat] for name in sorted(set().union(*flat))}
    return {name: row for name, row in values.items() if len(set(row)) > 1}


def _key(place: object, text: str) -> str | int:
    return int(text) if isinstance(place, list) else text


def parse_settings(texts: Iterable[str]) -> dict[str, object]:
    """Return settings given as `NAME=VALUE`, the value as in TOML, where text needs no quotes."""
    found: dict[str, object] = {}
    for text in texts:
        name, given, value = text.partition("=")
        if not given:
            raise RecipeError(f"expected a setting as NAME=VALUE, such as loss.alpha=5, found {text}")
        try:
            found[name.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[name.strip()] = value.strip()
    return found


def parse_toml(kind: type[Parsed], what: str, text: str) -> Parsed:
    """Return a TOML text as a recipe or another plan; raise `RecipeError` naming what of it is wrong."""
    try:
        return validate(kind, what, tomllib.loads(text))
    except tomllib.TOMLDecodeError as exc:
        raise RecipeError(f"{what} is not TOML: {exc}") from exc


def validate(kind: type[Parsed], what: str, content: object) -> Parsed:
    """Return content as a recipe or another plan; raise `RecipeError` naming the setting that is wrong."""
    try:
        return kind.model_validate(content)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        found = "" if isinstance(first["input"], dict) else f", found {first['input']!r}"  # a dict: all settings
        raise RecipeError(f"{what}: {where}: {first['msg'].removeprefix('Value error, ')}{found}") from exc
