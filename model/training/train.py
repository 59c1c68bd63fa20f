"""Training, as one script to be read from top to bottom."""

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from torch import Tensor, nn
from torch.nn import functional

from model.errors import RecipeError
from model.training.augment import Augmentation, normalise
from model.training.averaging import Averaged
from model.training.checkpoint import NAME as CHECKPOINT
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.training.datasets.check import check_held_out
from model.training.datasets.dataset import Dataset
from model.training.datasets.files import check_duplicates
from model.training.datasets.images import LabelledImages, hold_out
from model.training.difference import People
from model.training.distillation import Teacher, load_teacher
from model.training.divergence import check_finite, check_spread
from model.training.evaluation import Embedded, Retrieval, evaluate_retrieval
from model.training.journal import HISTORY, Journal, Tracker, Unwritten, read_history
from model.training.losses import build_loss
from model.training.memory import keep_freed_memory
from model.training.network import CLASSIFIER, ReidNetwork, load_imagenet, load_trained
from model.training.noise import corrupt
from model.training.origin import read_origin
from model.training.parallel import distribute, gather, mean_over_processes, share
from model.training.pictures import load_pictures
from model.training.precision import use_bfloat16
from model.training.recipe import OptimiserRecipe, Recipe, differing
from model.training.report import REPORT, Trained, write_report
from model.training.sampler import IdentitySampler

CHECKPOINT_SECONDS = 60.0
SHOWN_STEPS = 5  # the bar's text waits for the device, so it is not renewed at each step
LOGGED_STEPS = 50
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Data:
    """The training images and the held-out ones, decoded at the recipe's largest input."""

    train: LabelledImages
    held_out: LabelledImages
    train_pictures: Tensor  # (N, 3, H, W) uint8
    held_out_pictures: Tensor

    @cached_property
    def sha256(self) -> str:
        """The training images' hash, for which every file is looked at: once a run."""
        return self.train.sha256()

    @cached_property
    def held_out_sha256(self) -> str:
        """The held-out images' hash, likewise."""
        return self.held_out.sha256()

    def people(self, result: Retrieval) -> People:
        """Return what each held-out person is worth by a ranking of the held-out images."""
        return People.of(result, self.held_out.identities, self.held_out_sha256)


@dataclass(frozen=True)
class Begun:
    """How far a run is, the model version that it began from, if it was one, and the hash of its teacher, if any."""

    step: int
    parent: str | None
    teacher: str | None


def train(
    recipe: Recipe,
    dataset: Dataset,
    out: Path,
    *,
    weights: Path | None,
    device: str,
    teacher: Path | None = None,
    cache: Path | None = None,
    mlflow: str | None = None,
) -> Retrieval:
    """Train a network by the recipe and leave checkpoint, history and report in `out`; go on when a run is there.

    Where processes train together, the first validates and writes; losses and weights are those of one process.

    Returns the retrieval metrics of the held-out identities. Raises `RecipeError` and `DatasetError` for what does
    not fit, among it a run folder of another recipe or other data, and for a run that is lost: a loss that is not a
    number any more, embeddings that have collapsed. `teacher` is the folder of the run or version that a recipe with
    distillation learns from, `cache` the folder that keeps decoded pictures, `mlflow` the address of a server that
    records the run.
    """
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # a stage's pictures are all of one size
    data = read_data(recipe, dataset, cache)
    out.mkdir(parents=True, exist_ok=True)
    labelled = corrupt(data.train, recipe.noise).identities
    names, labels = np.unique(labelled, return_inverse=True)
    torch.manual_seed(recipe.seed)
    network = ReidNetwork(recipe.network, len(names)).to(device).to(memory_format=torch.channels_last)
    optimiser = build_optimiser(network, recipe.optimiser)
    averaged = Averaged(network, recipe.averaging)
    tutor = find_teacher(teacher, recipe, data, device)
    taught_by = None if tutor is None else tutor.sha256
    begun = resume(averaged, optimiser, recipe, data, taught_by, out)
    begun = begun or Begun(0, start(network, recipe, data, weights), taught_by)
    step = begun.step

    mine = share()
    tracker = track(mlflow, out, recipe, data) if mlflow and mine.first else None
    part = mine.slice(recipe.batch.identities * recipe.batch.images)
    forward = compiled(distribute(network), recipe)
    metric_loss = build_loss(recipe.loss)
    targets = torch.from_numpy(labels).to(device)
    pictures = data.train_pictures.to(device)
    sampler = IdentitySampler(labelled, p=recipe.batch.identities, k=recipe.batch.images, seed=recipe.seed)
    per_epoch = sampler.batches_per_epoch
    total = recipe.epochs * per_epoch
    autocast = torch.autocast(device, torch.bfloat16, enabled=use_bfloat16(recipe, device))

    network.train()
    saved = time.monotonic()
    with (
        progress_bar(total, step, shown=mine.first) as advance,
        Journal(out, step, tracker) if mine.first else Unwritten() as journal,
    ):
        while step < total:
            epoch = step // per_epoch
            stage = recipe.stage_of(epoch)
            if network.freeze(epoch):  # which parameters are synchronised is settled when it is distributed
                forward = compiled(distribute(network), recipe)
            augment = Augmentation(stage.flip, stage.pad, stage.erasing, stage.jitter, stage.grayscale, mine)
            batches = torch.from_numpy(sampler.epoch(epoch)).to(device)  # at once: each copy waits for the device
            for batch in batches[step % per_epoch :]:
                set_rate(optimiser, recipe, step / per_epoch)
                generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
                images = fit(pictures[batch[part]], stage.height, stage.width)  # (P·K / processes, 3, H, W)
                images = augment(images, generator).contiguous(memory_format=torch.channels_last)
                identity = targets[batch]  # (P·K,)
                with autocast:
                    feature, logits = forward(images)
                feature = gather(feature)  # (P·K, D)
                metric = metric_loss(feature, identity)
                classification = functional.cross_entropy(
                    logits, identity[part], label_smoothing=recipe.loss.label_smoothing
                )
                loss = recipe.loss.weight * metric + recipe.loss.identity_weight * classification
                if tutor is not None:
                    with autocast:
                        loss = loss + tutor(images, feature, logits)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                averaged.update()
                step += 1
                advance(epoch, len(batch), metric, classification)
                if step % LOGGED_STEPS == 0:
                    check_finite(loss, step)
                    check_spread(feature, step)
                    losses = {"metric": metric.item(), "identity": mean_over_processes(classification.detach()).item()}
                    journal.training(step, step / per_epoch, {**losses, "rate": optimiser.param_groups[0]["lr"]})
                validated = step % (per_epoch * recipe.validate_every) == 0 and step < total
                if validated:  # before it is saved: a run that goes on from there does not come back to it
                    held_out = validate(averaged.served, data, recipe, epoch, device)
                    result = evaluate_retrieval(held_out, held_out)
                    journal.validation(step, epoch + 1, result, data.people(result))
                if validated or step == total or time.monotonic() - saved >= CHECKPOINT_SECONDS:
                    check_finite(loss, step)
                    if mine.first:
                        save_checkpoint(snapshot(averaged, optimiser, recipe, data, replace(begun, step=step)), out)
                    saved = time.monotonic()
        held_out = validate(averaged.served, data, recipe, recipe.epochs - 1, device)
        result = evaluate_retrieval(held_out, held_out)
        journal.validation(step, recipe.epochs, result, data.people(result))
    if mine.first:
        write_report(Trained(recipe, read_history(out), data.held_out, held_out), out / REPORT)
    if tracker is not None:
        tracker.finish((out / REPORT, out / HISTORY))
    return result


def read_data(recipe: Recipe, dataset: Dataset, cache: Path | None = None) -> Data:
    """Check and decode the training split, and hold identities out of it."""
    images = dataset.require("train")
    check_duplicates(images, published=dataset.release is not None)
    kept, held_out = hold_out(images, recipe.held_out_identities, recipe.seed)
    check_held_out(held_out)
    height = max(stage.height for stage in recipe.stages)
    width = max(stage.width for stage in recipe.stages)
    return Data(kept, held_out, *(load_pictures(part.paths, height, width, cache=cache) for part in (kept, held_out)))


def build_optimiser(network: ReidNetwork, recipe: OptimiserRecipe) -> torch.optim.Optimizer:
    """Return the optimiser, with the new layers in groups of their own: GeM's exponent has no weight decay."""
    exponent = list(network.pooling.parameters())  # the first of the head's: older checkpoints have it there
    others = [p for p in network.head_parameters()[len(exponent) :] if p.requires_grad]
    groups = [
        {"params": network.backbone_parameters(), "factor": 1.0},
        {"params": exponent, "factor": recipe.head_factor, "weight_decay": 0.0},
        {"params": others, "factor": recipe.head_factor},
    ]
    match recipe.name:
        case "adam":
            return torch.optim.Adam(groups, lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True)
        case "adamw":
            return torch.optim.AdamW(groups, lr=recipe.rate, weight_decay=recipe.weight_decay, fused=True)
        case "sgd":
            return torch.optim.SGD(groups, lr=recipe.rate, weight_decay=recipe.weight_decay, momentum=0.9)


def set_rate(optimiser: torch.optim.Optimizer, recipe: Recipe, epoch: float) -> None:
    """Set the learning rates for a moment of the run; `epoch` may lie between two."""
    rate = recipe.optimiser.rate * rate_factor(recipe.optimiser, epoch, recipe.epochs)
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def rate_factor(recipe: OptimiserRecipe, epoch: float, epochs: int) -> float:
    """Return the share of the highest rate: linear warm-up, then a cosine to 0 or steps of a tenth."""
    if epoch < recipe.warmup_epochs:
        return recipe.warmup_start + (1 - recipe.warmup_start) * epoch / recipe.warmup_epochs
    if recipe.schedule == "steps":
        return float(0.1 ** sum(epoch >= step for step in recipe.steps))
    done = (epoch - recipe.warmup_epochs) / (epochs - recipe.warmup_epochs)
    return 0.5 * (1 + math.cos(math.pi * done))


def compiled(network: nn.Module, recipe: Recipe) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
    """Return the network's forward pass, compiled where the recipe asks for it; the network itself stays as it is."""
    return torch.compile(network) if recipe.compiled else network


def fit(images: Tensor, height: int, width: int) -> Tensor:
    """Resize uint8 images `(N, 3, H, W)` to a stage's input size, if they are of another."""
    if images.shape[2:] == (height, width):
        return images
    resized = functional.interpolate(images.float(), (height, width), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def resume(
    averaged: Averaged, optimiser: torch.optim.Optimizer, recipe: Recipe, data: Data, teacher: str | None, out: Path
) -> Begun | None:
    """Take up the run in `out` if there is one; return how far it is."""
    if not (out / CHECKPOINT).is_file():
        return None
    checkpoint = load_checkpoint(out)
    if checkpoint.recipe != recipe:
        told = "; ".join(f"{name} {' → '.join(both)}" for name, both in differing([checkpoint.recipe, recipe]).items())
        raise RecipeError(f"{out} holds a run of another recipe: {told}; give its settings, or another --out")
    if checkpoint.data_sha256 != data.sha256:
        raise RecipeError(f"{out} holds a run on other data than {data.train.name}; give another --out")
    if checkpoint.teacher not in (None, teacher):  # an older checkpoint does not say whom it learnt from
        raise RecipeError(
            f"{out} holds a run that learns from another teacher: give the run that it began with as --teacher, as it "
            "was then, or another --out"
        )
    if not checkpoint.optimiser:
        raise RecipeError(
            f"{out} was joined from pieces: it can be exported and teach, but not go on; give another --out"
        )
    averaged.network.load_state_dict(checkpoint.network)
    averaged.restore(checkpoint.averaged)
    # the groups are the recipe's: those of an older checkpoint have the same parameters, in fewer groups
    optimiser.load_state_dict({**checkpoint.optimiser, "param_groups": optimiser.state_dict()["param_groups"]})
    logger.info("going on after step %d", checkpoint.step)
    return Begun(checkpoint.step, checkpoint.parent, teacher)


def start(network: ReidNetwork, recipe: Recipe, data: Data, weights: Path | None) -> str | None:
    """Give a new run its first weights: ImageNet's, or where `weights` is a version's or a run's folder, that one's.

    Returns the version that the weights come from, if they do.
    """
    if weights is None or not weights.is_dir():
        load_imagenet(network, recipe.network.backbone, weights)
        return None
    before = read_origin(weights)
    known = before.data_sha256 == data.sha256  # the classifier's rows are people of those images
    load_trained(network, {name: value for name, value in before.weights.items() if known or name != CLASSIFIER})
    if not known:
        logger.warning(
            "%s was trained on other images; where they show this run's held-out people, its "
            "held-out figures and thresholds read too well",
            before.version or weights,
        )
    return before.version


def find_teacher(folder: Path | None, recipe: Recipe, data: Data, device: str) -> Teacher | None:
    """Return the teacher that the recipe asks for; raise `RecipeError` when recipe and call disagree on having one."""
    if recipe.distillation is None and folder is None:
        return None
    if recipe.distillation is None:
        raise RecipeError(f"recipe {recipe.name} has no [distillation], so no teacher can be given")
    if folder is None:
        raise RecipeError(f"recipe {recipe.name} distils: give the teacher as --teacher, a version or a run's folder")
    return load_teacher(folder, recipe.distillation, data.sha256, device, noise=recipe.noise)


def track(uri: str, out: Path, recipe: Recipe, data: Data) -> Tracker:
    """Return the run's record on an MLflow server; raise `TrackingError` when it does not answer."""
    from model.training.tracking import MlflowRun  # here, because mlflow is no part of a plain installation

    return MlflowRun(uri, out, recipe, {"data": data.train.name, "data_sha256": data.sha256})


def snapshot(
    averaged: Averaged, optimiser: torch.optim.Optimizer, recipe: Recipe, data: Data, begun: Begun
) -> Checkpoint:
    """Return the run's state as far as it is."""
    return Checkpoint(
        recipe=recipe,
        data_sha256=data.sha256,
        identities=averaged.network.classifier.out_features,
        step=begun.step,
        network=averaged.network.state_dict(),
        optimiser=optimiser.state_dict(),
        averaged=averaged.state(),
        parent=begun.parent,
        teacher=begun.teacher,
    )


def embed_pictures(network: ReidNetwork, pictures: Tensor, device: str, *, bfloat16: bool, batch: int = 128) -> Tensor:
    """Return unit embeddings `(N, D)` float32, on the CPU, of uint8 pictures `(N, 3, H, W)`."""
    network.eval()
    with torch.inference_mode(), torch.autocast(device, torch.bfloat16, enabled=bfloat16):
        parts = [
            network.embed(normalise(part.to(device)).contiguous(memory_format=torch.channels_last)).float().cpu()
            for part in torch.split(pictures, batch)
        ]
    network.train()
    return functional.normalize(torch.cat(parts), dim=1)


def validate(network: ReidNetwork, data: Data, recipe: Recipe, epoch: int, device: str) -> Embedded:
    """Embed the held-out images at the epoch's input size."""
    stage = recipe.stage_of(epoch)
    pictures = fit(data.held_out_pictures, stage.height, stage.width)
    embeddings = embed_pictures(network, pictures, device, bfloat16=use_bfloat16(recipe, device)).numpy()
    return Embedded(embeddings, data.held_out.identities, data.held_out.cameras)


class _Advance:
    """Move the bar on by one step; where nobody watches a bar, tell a line now and then."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task = progress, task
        self.started, self.images, self.steps = time.monotonic(), 0, 0

    def __call__(self, epoch: int, images: int, metric: Tensor, classification: Tensor) -> None:
        self.images += images
        self.steps += 1
        if self.steps % SHOWN_STEPS:
            self.progress.update(self.task, advance=1)
            return
        speed = f"{self.images / (time.monotonic() - self.started):.1f} images/s"
        text = f"epoch {epoch + 1}  metric {metric.item():.3f}  identity {classification.item():.3f}"
        self.progress.update(self.task, advance=1, description=text, speed=speed)
        if not self.progress.console.is_terminal and self.steps % LOGGED_STEPS == 0:
            logger.info("%s  %s", text, speed)


@contextmanager
def progress_bar(total: int, done: int, *, shown: bool = True) -> Iterator[_Advance]:
    """Show steps, losses, images/s and the time left while training runs."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as progress:
        yield _Advance(progress, progress.add_task("training", total=total, completed=done, speed=""))
