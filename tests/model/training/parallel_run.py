"""What torchrun starts in the tests: `RECIPE DATA OUT WEIGHTS`, with every step's losses in the history."""

import sys
from pathlib import Path

from model.training import train as module
from model.training.datasets.reading import read_dataset
from model.training.parallel import joined
from model.training.recipe import read_recipe

if __name__ == "__main__":
    recipe, data, out, weights = sys.argv[1:]
    module.LOGGED_STEPS = 1
    with joined("cpu"):
        module.train(read_recipe(recipe), read_dataset(Path(data)), Path(out), weights=Path(weights), device="cpu")
