"""How well the few held-out people tell versions apart: python -m benchmarks.held_out DATA --version A --version B

The held-out people of the versions' cards, ranked among themselves, as a training measures them, and among all images
that were trained on besides: there are as many others then as in a test split, but people whom the network has seen.
Each version's mAP, and its lead over the one before with a 95 % interval, by people. Versions are of one recipe's
`held_out_identities` and seed.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import describe
from model.registry import Registry
from model.training.datasets.images import hold_out
from model.training.datasets.reading import read_dataset
from model.training.difference import People, difference
from model.training.embedding import embed_images
from model.training.evaluation import Embedded, evaluate_retrieval


def joined(first: Embedded, second: Embedded) -> Embedded:
    """Return the images of both."""
    fields = ("embeddings", "identities", "cameras")
    return Embedded(*(np.concatenate([getattr(first, name), getattr(second, name)]) for name in fields))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the data that the versions were trained on")
    parser.add_argument("--models", type=Path, default=Path("data/models"), help="the registry")
    parser.add_argument("--version", action="append", required=True, help="one of several, in the order to compare")
    given = parser.parse_args()
    registry = Registry(given.models)
    train = read_dataset(given.data).require("train")
    console = Console(width=110, highlight=False)
    console.print(describe())
    table = Table("version", "mAP among themselves", "lead", "among all trained on", "lead", box=None)
    before: list[People | None] = [None, None]
    for version in given.version:
        card = registry.card(version)
        trained, held_out = hold_out(train, card.recipe["held_out_identities"], card.seed)
        asked, others = (embed_images(registry.open(version), images) for images in (held_out, trained))
        results = [evaluate_retrieval(asked, gallery) for gallery in (asked, joined(asked, others))]
        people = [People.of(result, held_out.identities, held_out.sha256()) for result in results]
        leads = [str(difference(*both)) if all(both) else "" for both in zip(people, before, strict=True)]
        figures = [f"{100 * result.mAP:.1f}" for result in results]
        table.add_row(version, figures[0], leads[0], figures[1], leads[1])
        before = [*people]
    console.print(table)


if __name__ == "__main__":
    main()
