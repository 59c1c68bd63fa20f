"""The embedding network: a torchvision backbone, pooling, BNNeck and an identity classifier.

Luo, Gu, Liao, Lai, Jiang. "Bag of Tricks and A Strong Baseline for Deep Person Re-identification", CVPRW 2019.
"""

import lzma
import math
from pathlib import Path

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional

from model.errors import RecipeError
from model.training.backbones import build_backbone, without_classifier
from model.training.instance_norm import split_norms
from model.training.recipe import EmbeddingKind, NetworkRecipe

# Parts of the mean and of the deviation's logarithm that are taken off. Chosen on the held-out people of five networks,
# of which each had 2 to 5 points more mAP than after the neck; without either, ranking is as good and verifying worse.
CENTRING = 0.8
WHITENING = 0.5
CLASSIFIER = "classifier.weight"


class GeM(nn.Module):
    """Pool `(N, C, H, W)` to `(N, C)` by a generalised mean with a learned exponent.

    Radenović, Tolias, Chum. "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2018.
    """

    def __init__(self, exponent: float = 3.0, least: float = 1e-6) -> None:
        super().__init__()
        self.exponent = nn.Parameter(torch.tensor(exponent))
        self.least = least

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features, in float32."""
        with torch.autocast(features.device.type, enabled=False):
            # (mean x^p)^(1/p) as exp(log-mean-exp(p log x) / p): pow's gradient takes three times as long on a CPU
            logarithms = features.float().clamp_min(self.least).log()
            count = features.shape[2] * features.shape[3]
            total = (self.exponent * logarithms).logsumexp(dim=(2, 3))
            return ((total - math.log(count)) / self.exponent).exp()


class AveragePooling(nn.Module):
    """Pool `(N, C, H, W)` to `(N, C)` by the mean."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the pooled features, in float32."""
        return features.float().mean(dim=(2, 3))


class ReidNetwork(nn.Module):
    """Map normalised images `(N, 3, H, W)` to embeddings, and while training to identity logits as well.

    The metric loss shapes the feature before the neck, the identity loss the one after it. What the neck does for a
    cosine, to take off the mean and let no channel outweigh the others, is worth having; done in full, and with the
    scales that suit a classifier of the training's people, it loses of what the metric loss has learnt.
    """

    def __init__(self, recipe: NetworkRecipe, identities: int) -> None:
        super().__init__()
        self.backbone, channels = build_backbone(recipe)
        self.pooling = GeM() if recipe.pooling == "gem" else AveragePooling()
        self.reduction, self.dim = _reduction(recipe, channels)
        self.neck = _bottleneck(self.dim) if recipe.bottleneck else nn.Identity()
        self._embedding: EmbeddingKind = recipe.embedding if recipe.bottleneck else "feature"
        self.classifier = nn.Linear(self.dim, identities, bias=False)
        nn.init.normal_(self.classifier.weight, std=0.001)
        self._frozen: tuple[nn.Module, ...] = ()
        self._openings = recipe.openings
        self.freeze(0)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the metric feature `(N, D)` and the identity logits `(N, identities)`, both float32."""
        feature = self._feature(images)
        with torch.autocast(images.device.type, enabled=False):  # bfloat16 keeps three digits of a logit
            return feature, self.classifier(self.neck(feature))

    def embed(self, images: Tensor) -> Tensor:
        """Return unit embeddings `(N, D)`: the metric feature, half whitened, after the neck or as it is."""
        feature = self._feature(images)
        if self._embedding == "neck":
            feature = self.neck(feature)
        elif self._embedding == "whitened":
            feature = self._whiten(feature)
        return functional.normalize(feature, dim=1)

    def _whiten(self, feature: Tensor) -> Tensor:
        """Give all features `(N, D)` one length, take off most of their mean, and divide by the root of the deviation.

        Attenuated whitening as in Mukundan et al. "Understanding and Improving Kernel Local Descriptors", IJCV 2019,
        of each channel by itself, by the statistics of the training images that the neck has.
        """
        mean = self.neck.get_buffer("running_mean")
        variance = self.neck.get_buffer("running_var").clamp_min(1e-6)  # a channel may never have been active
        length = (mean.square().sum() + variance.sum()).sqrt()
        return (functional.normalize(feature, dim=1) * length - CENTRING * mean) * variance.pow(-WHITENING / 2)

    def _feature(self, images: Tensor) -> Tensor:
        feature: Tensor = self.reduction(self.pooling(self.backbone(images)))
        return feature.float()

    def train(self, mode: bool = True) -> "ReidNetwork":
        """Switch to training; frozen modules keep their batch statistics."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def freeze(self, epoch: float) -> bool:
        """Train what is open at an epoch, and return whether that changed; frozen modules keep their statistics too."""
        shut = [name for name, opening in self._openings.items() if epoch < opening]
        before = self._frozen
        self.backbone.requires_grad_(True)
        self._frozen = tuple(self.backbone.get_submodule(name) for name in shut)
        for module in self._frozen:
            module.requires_grad_(False)
        self.train(self.training)
        return self._frozen != before

    def head_parameters(self) -> list[nn.Parameter]:
        """Return the parameters that do not come from ImageNet."""
        return [p for name, p in self.named_parameters() if not name.startswith("backbone.")]

    def backbone_parameters(self) -> list[nn.Parameter]:
        """Return the backbone's parameters that are trained sooner or later."""
        never = {name for name, opening in self._openings.items() if math.isinf(opening)}
        frozen = {p for name in never for p in self.backbone.get_submodule(name).parameters()}
        return [p for p in self.backbone.parameters() if p not in frozen]


def _reduction(recipe: NetworkRecipe, channels: int) -> tuple[nn.Module, int]:
    if not recipe.embedding_dim:
        return nn.Identity(), channels
    if not recipe.hidden_dim:
        layer = nn.Linear(channels, recipe.embedding_dim, bias=False)
        nn.init.orthogonal_(layer.weight)
        return layer, recipe.embedding_dim
    hidden = nn.Linear(channels, recipe.hidden_dim)
    return nn.Sequential(
        hidden,
        nn.BatchNorm1d(recipe.hidden_dim),
        nn.ReLU(inplace=True),
        nn.Linear(recipe.hidden_dim, recipe.embedding_dim),
    ), recipe.embedding_dim


def _bottleneck(dim: int) -> nn.Module:
    neck = nn.BatchNorm1d(dim)
    nn.init.zeros_(neck.bias)
    neck.bias.requires_grad_(False)
    return neck


def load_trained(network: ReidNetwork, trained: dict[str, Tensor]) -> None:
    """Load the weights of a trained network of the same build.

    The classifier stays new where `trained` has none, or one of another number of identities. Raises `RecipeError`
    when it is another build.
    """
    fresh = network.classifier.weight.detach()
    if len(trained.get(CLASSIFIER, ())) != len(fresh):
        trained = {**trained, CLASSIFIER: fresh}
    try:
        network.load_state_dict(trained)
    except RuntimeError as exc:
        raise RecipeError(
            "the run or version to start from has another network than the recipe: give one with the same [network]"
        ) from exc


def load_imagenet(network: ReidNetwork, backbone: str, weights: Path | None) -> None:
    """Load ImageNet weights in torchvision's layout into the backbone.

    They come from `weights` (`.safetensors`, `.safetensors.xz` or `.pth`), or, without it, by torchvision's own
    download. Raises `RecipeError` when the file cannot be read or is of another network.
    """
    state = _download(backbone) if weights is None else _read_state(weights)
    state = without_classifier({name: value.float() for name, value in state.items()})
    try:
        missing, unexpected = network.backbone.load_state_dict(split_norms(network.backbone, state), strict=False)
    except RuntimeError as exc:
        raise RecipeError(f"{weights}: expected the weights of a {backbone}, found other shapes") from exc
    lost = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise RecipeError(
            f"{weights}: expected the weights of a {backbone}; {len(lost)} are missing, {len(unexpected)} unknown"
        )


def _download(backbone: str) -> dict[str, Tensor]:
    try:
        state: dict[str, Tensor] = torchvision.models.get_model_weights(backbone).IMAGENET1K_V1.get_state_dict()
    except OSError as exc:
        raise RecipeError(f"could not download the ImageNet weights of {backbone} ({exc}); give --weights") from exc
    return state


def _read_state(path: Path) -> dict[str, Tensor]:
    try:
        if path.name.endswith(".safetensors.xz"):
            return safetensors.torch.load(lzma.decompress(path.read_bytes()))
        if path.suffix == ".safetensors":
            return safetensors.torch.load(path.read_bytes())
        state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, lzma.LZMAError, safetensors.SafetensorError, RuntimeError, ValueError) as exc:
        raise RecipeError(f"cannot read weights from {path}: {exc}") from exc
    return state
