"""Distillation: a small network learns from a trained one, the teacher, beside its own losses.

Hinton, Vinyals, Dean. "Distilling the Knowledge in a Neural Network", 2015 (identity logits).
Park, Kim, Lu, Cho. "Relational Knowledge Distillation", CVPR 2019, equations 3-5 (distances between embeddings).
"""

import hashlib
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from model.errors import RecipeError
from model.training.network import ReidNetwork
from model.training.origin import read_origin
from model.training.parallel import gather
from model.training.recipe import DistillationRecipe, NoiseRecipe, Recipe, validate


class Teacher:
    """A trained network that is asked about the student's own augmented images.

    `size` is the input `(height, width)` that it was trained at; the student's images are resized to it. `sha256` tells
    it from any other.
    """

    def __init__(self, network: ReidNetwork, size: tuple[int, int], recipe: DistillationRecipe) -> None:
        self.network = network.eval().requires_grad_(False)
        self.size = size
        self.recipe = recipe
        self.sha256 = _hash(network, size)

    def __call__(self, images: Tensor, feature: Tensor, logits: Tensor) -> Tensor:
        """Return how far the student is from the teacher, a scalar.

        `images` `(N, 3, H, W)` and `logits` `(N, identities)` are this process's, `feature` `(P·K, D)` is gathered.
        """
        with torch.no_grad():
            taught, answers = self.network(self._fitted(images))
            taught = gather(taught)
        return self.recipe.logits * answer_loss(logits, answers, self.recipe.temperature) + (
            self.recipe.distances * distance_loss(feature, taught)
        )

    def _fitted(self, images: Tensor) -> Tensor:
        if images.shape[2:] == self.size:
            return images
        return functional.interpolate(images, self.size, mode="bilinear", antialias=True)


def answer_loss(logits: Tensor, answers: Tensor, temperature: float) -> Tensor:
    """Return the divergence of the student's softened identities from the teacher's, both logits `(N, identities)`.

    It is multiplied by the squared temperature, so that its gradient keeps its size beside the other losses.
    """
    student = functional.log_softmax(logits.float() / temperature, dim=1)
    teacher = functional.log_softmax(answers.float() / temperature, dim=1)
    divergence = functional.kl_div(student, teacher, log_target=True, reduction="batchmean")
    return temperature**2 * divergence


def distance_loss(feature: Tensor, taught: Tensor) -> Tensor:
    """Return the Huber loss between the distances of all pairs, each network's in units of its mean.

    The embeddings `(N, D)` and `(N, D')` may differ in dimension.
    """
    return functional.smooth_l1_loss(_relative_distances(feature), _relative_distances(taught))


def _relative_distances(embeddings: Tensor) -> Tensor:
    distances = functional.pdist(embeddings.float())  # (N·(N-1)/2,)
    return distances / distances.mean().clamp_min(1e-6)


def _hash(network: ReidNetwork, size: tuple[int, int]) -> str:
    """Hash what a teacher's answers depend on."""
    digest = hashlib.sha256(repr(size).encode())
    for name, value in network.state_dict().items():
        digest.update(name.encode() + value.cpu().numpy().tobytes())
    return digest.hexdigest()


def load_teacher(
    folder: Path, recipe: DistillationRecipe, data_sha256: str, device: str, *, noise: NoiseRecipe | None = None
) -> Teacher:
    """Return a run's or a version's network as teacher of a student with `noise` in its labels.

    Raises `RecipeError` when it was trained on other images, or with other people taken out by noise, or for a version
    without weights.
    """
    origin = read_origin(folder)
    if origin.data_sha256 != data_sha256:
        raise RecipeError(
            f"{origin.version or folder} was trained on other images, so its identities are not the student's; "
            "give a teacher of the same data, held_out_identities and seed"
        )
    taught = validate(Recipe, f"the teacher's recipe in {folder}", origin.recipe)
    if _taken_out(taught.noise) != _taken_out(noise):
        raise RecipeError(
            f"noise.kind stranger takes other people out of {folder} than out of the student, so its identities are "
            "not the student's; give a teacher of the same [noise]"
        )
    network = ReidNetwork(taught.network, len(origin.weights["classifier.weight"]))
    network.load_state_dict(origin.weights)
    stage = taught.stages[-1]
    network = network.to(device).to(memory_format=torch.channels_last)
    return Teacher(network, (stage.height, stage.width), recipe)


def _taken_out(noise: NoiseRecipe | None) -> NoiseRecipe | None:
    """Return the noise if it takes whole identities out, by which those that stay are numbered anew."""
    return noise if noise is not None and noise.kind == "stranger" and noise.share else None
