"""From a training run to a version's folder: ONNX files, parity, thresholds, figures, card."""

import subprocess
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from model.card import (
    CARD_NAME,
    FILES,
    WEIGHTS,
    Baseline,
    Card,
    DataSummary,
    InputContract,
    Metrics,
    OutputContract,
    Parity,
    Precision,
    created_now,
    read_card,
    write_card,
)
from model.errors import ContractError, DatasetError, ExportError, VersionDamaged
from model.parity import shortfalls
from model.registry import sha256
from model.runtime import Embedder
from model.training.augment import normalise
from model.training.calibration import calibrate
from model.training.checkpoint import Checkpoint, load_checkpoint
from model.training.datasets.dataset import Dataset
from model.training.datasets.images import LabelledImages, hold_out
from model.training.embedding import balance_by_camera, embed_images
from model.training.evaluate import WHITE_BALANCE, as_metrics, evaluate_version
from model.training.evaluation import PROTOCOL, Embedded, Retrieval, evaluate_retrieval
from model.training.network import ReidNetwork
from model.training.open_set import measure_open_set
from model.training.origin import write_weights
from model.training.pictures import load_pictures
from model.training.pixels import check_pixels
from model.training.quantise import quantise
from model.training.recipe import EmbeddingKind, override
from model.training.reference import held_out_reference
from model.training.serving import write_onnx

BATCH_SIZES = (1, 3, 8, 32)
QUANTISATION_CROPS = 256
PRECISIONS: tuple[Precision, ...] = ("fp32", "int8")  # int8 is made from fp32


@dataclass(frozen=True)
class Running:
    """A version at work, and what it computes in."""

    embedder: Embedder
    precision: Precision


@dataclass(frozen=True)
class Exported:
    """What every precision is measured against: the network's own embeddings of the held-out images."""

    run: Checkpoint
    network: ReidNetwork
    train: LabelledImages
    held_out: LabelledImages
    reference: Embedded
    contract: InputContract
    output: OutputContract
    folder: Path


def export(
    run: Path,
    dataset: Dataset,
    out: Path,
    *,
    version: str,
    terms: str,
    command: str,
    keep: Collection[Precision] = tuple(FILES),
    weights: bool | None = None,
    baseline: Running | None = None,
    embedding: EmbeddingKind | None = None,
) -> Card:
    """Write a run's network to `out` as fp32 and int8 with its card, ready for `reid models import`.

    An fp32 file that is not to be kept is measured all the same, and removed; an int8 one is not made. The weights
    that training can go on from are in it where `weights` says so, and otherwise where fp32 is. `baseline` is another
    version, measured on the same data. An `embedding` takes the place of the recipe's.

    The pictures as served are compared with training's own decoding, and the files with the network, on real crops at
    several batch sizes, and on the test split where there is one. Raises `ExportError` for what differs by more than
    its tolerance; then `out` is left as it was.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}-", dir=out.parent) as name:
        folder = Path(name)
        try:
            exported = begin(run, dataset, folder, embedding)
            card = write_version(
                exported, dataset, version=version, terms=terms, command=command, keep=keep, baseline=baseline
            )
            if "fp32" in keep if weights is None else weights:
                card = add_weights(exported, card)
            check_card(folder)
        except (ContractError, VersionDamaged) as exc:
            raise ExportError(str(exc)) from exc
        deliver(folder, out, card)
    return card


def write_version(
    exported: Exported,
    dataset: Dataset,
    *,
    version: str,
    terms: str,
    command: str,
    keep: Collection[Precision],
    baseline: Running | None,
) -> Card:
    """Write the files one by one, each measured before the next is made, and the card last."""
    folder = exported.folder
    parities: list[Parity] = []
    metrics: list[Metrics] = []
    for precision in PRECISIONS if "int8" in keep else PRECISIONS[:1]:
        embedder = write_file(exported, precision, version)
        served = embed_images(embedder, exported.held_out)  # in the end by int8, where it is kept
        parities.append(check_parity(exported, embedder, served, precision))
        metrics += measure(Running(embedder, precision), exported.held_out, served, dataset, command)
    card = Card(
        version=version,
        created=created_now(),
        loss=exported.run.recipe.loss.model_dump(mode="json"),
        recipe=exported.run.recipe.model_dump(mode="json"),
        data=summarise(exported.train, dataset),
        seed=exported.run.recipe.seed,
        commit=current_commit(),
        metrics=tuple(metrics),
        calibration=calibrate(served),
        open_set=measure_open_set(served),
        input=exported.contract,
        output=exported.output,
        parity=tuple(parities),
        files={name: sha256(folder / name) for precision, name in FILES.items() if precision in keep},
        terms=f"{dataset.terms} {terms}",
        parent=exported.run.parent,
        baseline=None if baseline is None else measure_baseline(baseline, exported.held_out, dataset, command),
        reference=held_out_reference(exported.held_out, served, exported.contract),
    )
    write_card(card, folder / CARD_NAME)
    return card


def measure(
    running: Running, images: LabelledImages, held_out: Embedded, dataset: Dataset, command: str
) -> list[Metrics]:
    """Return a version's figures on the held-out images, and on the test split where there is one.

    The held-out images, embedded by the version as they are, are also shown as cameras would that see colours
    otherwise: those of users are not those that it was trained on.
    """
    balanced = embed_images(running.embedder, images, view=balance_by_camera)
    rows = [
        as_metrics(
            rank_all(embedded), precision=running.precision, command=command, split="held-out", protocol=protocol
        )
        for embedded, protocol in ((held_out, PROTOCOL), (balanced, f"{PROTOCOL}; {WHITE_BALANCE}"))
    ]
    if len(dataset.query):
        test = evaluate_version(running.embedder, dataset)
        rows.append(as_metrics(test, precision=running.precision, command=command))
    return rows


def measure_baseline(running: Running, held_out: LabelledImages, dataset: Dataset, command: str) -> Baseline:
    """Measure another version on the same images; what it was trained on itself makes it look better there."""
    rows = measure(running, held_out, embed_images(running.embedder, held_out), dataset, command)
    return Baseline(version=running.embedder.version, metrics=tuple(rows))


def add_weights(exported: Exported, card: Card) -> Card:
    """Write the network's weights beside the files, and into the card."""
    path = exported.folder / WEIGHTS
    write_weights(exported.run.served, path)
    card = card.model_copy(update={"files": {**card.files, WEIGHTS: sha256(path)}})
    write_card(card, exported.folder / CARD_NAME)
    return card


def begin(run: Path, dataset: Dataset, folder: Path, embedding: EmbeddingKind | None) -> Exported:
    """Read the run, check the pixels that are served, and embed the held-out images with the network itself."""
    checkpoint = load_checkpoint(run)
    if embedding not in (None, "feature") and not checkpoint.recipe.network.bottleneck:
        raise ExportError(f"expected a network with a bottleneck for the embedding {embedding}, found one without")
    if embedding is not None:
        checkpoint = replace(checkpoint, recipe=override(checkpoint.recipe, {"network.embedding": embedding}))
    recipe = checkpoint.recipe
    train, held_out = hold_out(dataset.require("train"), recipe.held_out_identities, recipe.seed)
    if train.sha256() != checkpoint.data_sha256:
        raise DatasetError(f"{run} was trained on other files than those of {dataset.name}; give the same --data")
    network = ReidNetwork(recipe.network, checkpoint.identities)
    network.load_state_dict(checkpoint.served)
    stage = recipe.stages[-1]
    contract = InputContract(height=stage.height, width=stage.width)
    check_pixels(held_out.paths, contract)
    reference = embed_with(network, held_out, contract)
    output = OutputContract(dim=network.dim)
    return Exported(checkpoint, network, train, held_out, reference, contract, output, folder)


def write_file(exported: Exported, precision: Precision, version: str) -> Embedder:
    """Write one ONNX file, int8 from fp32, and open it by the contract that goes into the card."""
    path, source = exported.folder / FILES[precision], exported.folder / FILES["fp32"]
    if precision == "fp32":
        write_onnx(exported.network, exported.contract, path)
    else:
        crops = np.random.default_rng(0).permutation(len(exported.train))[:QUANTISATION_CROPS]
        quantise(source, path, exported.contract, tuple(exported.train.paths[i] for i in crops))
    return Embedder(path, exported.contract, exported.output, version)


def check_card(folder: Path) -> None:
    """Open the kept files by the card as it lies on the disk; raise `ContractError` where it does not fit them."""
    card = read_card(folder / CARD_NAME)
    for name in card.model_files:
        Embedder(folder / name, card.input, card.output, card.version)


def deliver(folder: Path, out: Path, card: Card) -> None:
    """Move the kept files to `out`, in place of an older version's, and the card last."""
    out.mkdir(exist_ok=True)
    for name in (CARD_NAME, WEIGHTS, *FILES.values()):
        (out / name).unlink(missing_ok=True)
    for name in (*card.files, CARD_NAME):
        (folder / name).replace(out / name)


def embed_with(network: ReidNetwork, images: LabelledImages, contract: InputContract) -> Embedded:
    """Return the network's own float32 embeddings."""
    pictures = load_pictures(images.paths, contract.height, contract.width)
    network.eval()
    with torch.inference_mode():
        parts = [network.embed(normalise(part)) for part in torch.split(pictures, BATCH_SIZES[-1])]
    return Embedded(functional.normalize(torch.cat(parts), dim=1).numpy(), images.identities, images.cameras)


def check_parity(exported: Exported, embedder: Embedder, embedded: Embedded, precision: Precision) -> Parity:
    """Compare a file with the network; raise `ExportError` when it is further off than its tolerance."""
    cosine = (embedded.embeddings * exported.reference.embeddings).sum(axis=1)
    for size in BATCH_SIZES:
        again = embed_images(embedder, exported.held_out.first(2 * size), batch=size).embeddings
        if not np.allclose(again, embedded.embeddings[: len(again)], atol=1e-3):
            raise ExportError(f"{precision}: an image's embedding depends on the batch, at size {size}")
    network, file = rank_all(exported.reference), rank_all(embedded)
    parity = Parity(
        precision=precision,
        images=len(embedded),
        batch_sizes=BATCH_SIZES,
        least_cosine=float(cosine.min()),
        mean_cosine=float(cosine.mean()),
        rank1_difference=100 * (file.rank(1) - network.rank(1)),
        mAP_difference=100 * (file.mAP - network.mAP),
    )
    judge(parity)
    return parity


def judge(parity: Parity) -> None:
    """Raise `ExportError` for the first figure out of its precision's tolerance."""
    advice = "; --fp32-only exports without int8" if parity.precision == "int8" else ""
    for shortfall in shortfalls(parity):
        raise ExportError(f"{shortfall}{advice}")


def rank_all(images: Embedded) -> Retrieval:
    """Rank the images against each other."""
    return evaluate_retrieval(images, images)


def summarise(images: LabelledImages, dataset: Dataset) -> DataSummary:
    """Return what the card says of the training data."""
    return DataSummary(
        name=images.name,
        images=len(images),
        identities=len(np.unique(images.identities)),
        cameras=0 if dataset.protocol == "retrieval" else len(np.unique(images.cameras)),
        file_list_sha256=images.sha256(),
        terms=dataset.terms,
    )


def current_commit() -> str:
    """Return the source's git commit, or `unknown` outside a checkout."""
    git = ["git", "rev-parse", "HEAD"]
    try:
        asked = subprocess.run(git, cwd=Path(__file__).parent, capture_output=True, check=True, text=True)  # noqa: S603
        return asked.stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
