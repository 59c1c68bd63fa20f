"""Weights between those of two runs, one of which began from the other.

Wortsman et al. "Robust fine-tuning of zero-shot models", CVPR 2022: on the line between both a network keeps most of
what each is better at.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model.errors import RecipeError
from model.training.checkpoint import NAME, Checkpoint, load_checkpoint, save_checkpoint
from model.training.compare import names_apart
from model.training.datasets.dataset import Dataset
from model.training.datasets.images import LabelledImages, hold_out
from model.training.difference import Difference, People, difference
from model.training.embedding import balance_by_camera
from model.training.evaluation import Embedded, Retrieval, evaluate_retrieval
from model.training.journal import Journal, read_history
from model.training.network import ReidNetwork
from model.training.pictures import load_pictures
from model.training.precision import use_bfloat16
from model.training.report import REPORT, Trained, write_report
from model.training.train import embed_pictures


@dataclass(frozen=True)
class Between:
    """What the held-out people are worth with a share of the second run's weights, and where white balance differs."""

    share: float
    plain: Retrieval
    balanced: Retrieval


@dataclass(frozen=True)
class Line:
    """Two runs of one network and one data set, and their held-out images."""

    first: Checkpoint
    second: Checkpoint
    names: list[str]
    held_out: LabelledImages
    pictures: Tensor  # (N, 3, H, W) uint8
    balanced: Tensor  # (N, 3, H, W) uint8
    device: str

    @classmethod
    def read(cls, first: Path, second: Path, dataset: Dataset, *, device: str, cache: Path | None = None) -> Self:
        """Read both runs; raise `RecipeError` where they are one, not of one network, or not of these images."""
        one, other = load_checkpoint(first), load_checkpoint(second)
        shapes = [{name: value.shape for name, value in run.served.items()} for run in (one, other)]
        if shapes[0] != shapes[1]:
            raise RecipeError(f"{first} and {second} are of two networks, and there is nothing between their weights")
        recipe = other.recipe
        train, held_out = hold_out(dataset.require("train"), recipe.held_out_identities, recipe.seed)
        for run, checkpoint in ((first, one), (second, other)):
            if checkpoint.data_sha256 != train.sha256():
                raise RecipeError(
                    f"{run} was trained on other images than {dataset.name} has but for the people that {second} holds "
                    "out; give the same --data, and runs of the same held_out_identities and seed"
                )
        stage = recipe.stages[-1]
        pictures = load_pictures(held_out.paths, stage.height, stage.width, cache=cache)
        balanced = balance_by_camera(pictures.permute(0, 2, 3, 1).numpy(), held_out.cameras)
        names = names_apart((first, second))
        return cls(one, other, names, held_out, pictures, torch.from_numpy(balanced).permute(0, 3, 1, 2), device)

    def network(self, share: float) -> ReidNetwork:
        """Return the network with `share` of the second run's weights and statistics, and the rest of the first's."""
        network = ReidNetwork(self.second.recipe.network, self.second.identities)
        network.load_state_dict(
            {
                name: torch.lerp(self.first.served[name], value, share) if value.is_floating_point() else value
                for name, value in self.second.served.items()
            }
        )
        return network.to(self.device).to(memory_format=torch.channels_last)

    def embed(self, network: ReidNetwork, pictures: Tensor) -> Embedded:
        """Embed held-out pictures."""
        bfloat16 = use_bfloat16(self.second.recipe, self.device)
        embeddings = embed_pictures(network, pictures, self.device, bfloat16=bfloat16).numpy()
        return Embedded(embeddings, self.held_out.identities, self.held_out.cameras)

    def measure(self, shares: Iterable[float]) -> Iterator[Between]:
        """Yield what each share is worth."""
        for share in shares:
            network = self.network(share)
            plain, balanced = (self.embed(network, pictures) for pictures in (self.pictures, self.balanced))
            yield Between(share, evaluate_retrieval(plain, plain), evaluate_retrieval(balanced, balanced))

    def against_best(self, results: Sequence[Retrieval]) -> list[Difference | str]:
        """Return by how much each result's mAP is under the best one's, or why that is not known."""
        images = self.held_out.sha256()
        people = [People.of(result, self.held_out.identities, images) for result in results]
        best = people[int(np.argmax([result.mAP for result in results]))]
        return [difference(each, best) for each in people]

    def write(self, share: float, out: Path) -> None:
        """Write the network of a share as a run of its own, to be exported or trained on from; its recipe tells both.

        Raises `RecipeError` when a run is there.
        """
        if (out / NAME).exists():
            raise RecipeError(f"{out} holds a run; give another --out")
        out.mkdir(parents=True, exist_ok=True)
        network = self.network(share)
        embedded = self.embed(network, self.pictures)
        second = self.second.recipe
        told = f"{second.description} Then {share:g} of the weights of {self.names[1]} and the rest {self.names[0]}'s."
        recipe = second.model_copy(update={"description": told})
        with Journal(out, self.second.step) as journal:
            result = evaluate_retrieval(embedded, embedded)
            people = People.of(result, self.held_out.identities, self.held_out.sha256())
            journal.validation(self.second.step, recipe.epochs, result, people)
        write_report(Trained(recipe, read_history(out), self.held_out, embedded), out / REPORT)
        weights = network.to(memory_format=torch.contiguous_format).cpu().state_dict()
        save_checkpoint(replace(self.second, recipe=recipe, network=weights, averaged=None, optimiser={}), out)
