"""Embeddings like a real model's, for galleries of any size: python -m benchmarks.simulator DATA

A simulated embedding is a person, the shift of a camera and what differs from picture to picture, each Gaussian with
the variances that were measured along the 512 principal directions of a real model's embeddings, brought to unit
length. People share looks (clothes, build): each is a mixture of one of some looks and of their own. Pictures differ
in quality: what is not the person's is scaled by a lognormal number. How many looks, how much of them and how uneven
the quality is was fitted to the scores' quantiles, which this command prints beside the real ones.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

STATISTICS = Path(__file__).with_name("simulator.json")
_LOOKS = 100
_LOOKS_CONCENTRATION = 0.7  # of the Dirichlet distribution that people's looks are drawn from
_SHARED = 0.4  # the mean part of a person's variance that is their look's
_UNEVENNESS = 0.4  # the deviation of the logarithm of a picture's quality


@dataclass(frozen=True, slots=True)
class Statistics:
    """The mean, and the variances of people, of cameras and of what is neither, by principal direction, (D,) each."""

    version: str
    mean: list[float]
    people: list[float]
    cameras: list[float]
    pictures: list[float]


def measured() -> Statistics:
    """Return the statistics that were measured."""
    return Statistics(**json.loads(STATISTICS.read_text(encoding="ascii")))


class Simulator:
    """A world of people and cameras that pictures can be taken of."""

    def __init__(self, statistics: Statistics, people: int, cameras: int, seed: int = 0) -> None:
        self._random = np.random.default_rng(seed)
        self._mean = np.array(statistics.mean, dtype=np.float32)
        self._deviation = np.sqrt(np.array(statistics.pictures, dtype=np.float32))
        self.dim = len(self._mean)
        self.cameras = self._normal(cameras) * np.sqrt(np.array(statistics.cameras, dtype=np.float32))
        self.people = self._draw_people(people) * np.sqrt(np.array(statistics.people, dtype=np.float32))

    def pictures(self, people: Ints, cameras: Ints) -> Floats:
        """Return the unit embeddings, (N, D), of pictures of people by cameras, (N,) each."""
        quality: Floats = np.exp(_UNEVENNESS * self._normal(len(people), 1) - np.float32(_UNEVENNESS**2))
        vectors: Floats = self._mean + self.people[people] + self.cameras[cameras]
        vectors = vectors + quality * self._normal(len(people)) * self._deviation
        return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)

    def crowd(self, count: int, block: int) -> Iterator[tuple[Floats, Ints, Ints]]:
        """Yield `count` pictures of random people by random cameras: embeddings, people and cameras, in blocks."""
        for start in range(0, count, block):
            size = min(block, count - start)
            people = self._random.integers(len(self.people), size=size)
            cameras = self._random.integers(len(self.cameras), size=size)
            yield self.pictures(people, cameras), people, cameras

    def _draw_people(self, count: int) -> Floats:
        looks = self._normal(_LOOKS)
        parts = self._random.dirichlet(np.full(_LOOKS, _LOOKS_CONCENTRATION))
        look = self._random.choice(_LOOKS, size=count, p=parts)
        shared = self._random.beta(1.2, 1.2 * (1 / _SHARED - 1), size=(count, 1)).astype(np.float32)
        return np.asarray(np.sqrt(shared) * looks[look] + np.sqrt(1 - shared) * self._normal(count), dtype=np.float32)

    def _normal(self, rows: int, columns: int | None = None) -> Floats:
        return self._random.standard_normal((rows, columns or self.dim), dtype=np.float32)


def measure(version: str, vectors: Floats, people: Ints, cameras: Ints) -> Statistics:
    """Measure unit embeddings, (N, D), of people with several pictures each."""
    _, person = np.unique(people, return_inverse=True)
    _, camera = np.unique(cameras, return_inverse=True)
    counts = np.bincount(person)
    centres = np.stack([vectors[person == each].mean(axis=0) for each in range(len(counts))])
    rest = vectors - centres[person]
    shifts = np.stack([rest[camera == each].mean(axis=0) for each in range(camera.max() + 1)])
    rest -= shifts[camera]
    within = rest.T @ rest / (len(rest) - len(counts))
    between = np.cov(centres.T) - within * np.mean(1 / counts)
    directions = np.linalg.eigh(np.cov(vectors.T))[1][:, ::-1]

    def along(matrix: Floats) -> list[float]:
        return _rounded(np.clip(np.diag(directions.T @ matrix @ directions), 0, None))

    return Statistics(
        version,
        _rounded(vectors.mean(axis=0) @ directions),
        along(between),
        along(shifts.T @ shifts / len(shifts)),
        along(within),
    )


def quantiles(vectors: Floats, people: Ints) -> dict[str, list[float]]:
    """Return what tells two galleries apart: quantiles of scores of one person, of two, and of the nearest others."""
    chosen = np.random.default_rng(0).permutation(len(vectors))[:500]
    scores = vectors[chosen] @ vectors.T
    same = people[chosen][:, None] == people[None]
    scores[np.arange(len(chosen)), chosen] = np.nan
    others = np.sort(np.where(same, -1.0, np.nan_to_num(scores, nan=-1.0)), axis=1)
    genuine = scores[same & ~np.isnan(scores)]
    return {
        "one person: 1 %, 10 %, 50 %, 90 %": _rounded(np.quantile(genuine, [0.01, 0.1, 0.5, 0.9])),
        "two people: 50 %, 99 %, 99.9 %, 99.99 %": _rounded(np.quantile(scores[~same], [0.5, 0.99, 0.999, 0.9999])),
        "nearest other: 10 %, 50 %, 90 %": _rounded(np.quantile(others[:, -1], [0.1, 0.5, 0.9])),
        "tenth nearest other: 10 %, 50 %, 90 %": _rounded(np.quantile(others[:, -10], [0.1, 0.5, 0.9])),
    }


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [float(f"{value:.3g}") for value in values]


def main() -> None:
    """Measure the bundled model's embeddings of a data set's gallery; write the statistics and compare."""
    from model.registry import Registry  # torch comes with these, which a benchmark of the gallery does without
    from model.training.datasets.reading import read_dataset
    from model.training.evaluate import embed_test

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--version", help="default: the active one")
    given = parser.parse_args()
    registry = Registry(Path("data/models"))
    embedder = registry.open(given.version or registry.active())
    _, gallery = embed_test(embedder, read_dataset(given.data))
    names, counts = np.unique(gallery.identities, return_counts=True)
    people = np.isin(gallery.identities, names[(counts >= 4) & (names > 0)])  # neither distractors nor junk
    vectors, labels = gallery.embeddings[people], gallery.identities[people]
    statistics = measure(embedder.version, vectors, labels, gallery.cameras[people])
    STATISTICS.write_text(json.dumps(asdict(statistics)) + "\n", encoding="ascii")
    world = Simulator(statistics, len(np.unique(labels)), len(np.unique(gallery.cameras)))
    [(simulated, people_of, _)] = world.crowd(len(vectors), len(vectors))
    real, like = quantiles(vectors, labels), quantiles(simulated, people_of)
    for name in real:
        print(f"{name}\n  real      {real[name]}\n  simulated {like[name]}")


if __name__ == "__main__":
    main()
