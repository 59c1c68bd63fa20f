from pathlib import Path

import numpy as np
import pytest

from model.training.datasets.images import LabelledImages
from model.training.noise import corrupt
from model.training.recipe import NoiseRecipe


def images(identities: int = 20, each: int = 10, cameras: int = 4) -> LabelledImages:
    rng = np.random.default_rng(0)
    names = np.repeat(np.arange(100, 100 + identities), each)
    paths = tuple(Path(f"{index}.jpg") for index in range(len(names)))
    return LabelledImages("made up", paths, names, rng.integers(cameras, size=len(names)), listed=True)


@pytest.mark.parametrize("kind", ["symmetric", "camera", "stranger"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_the_share_of_images_is_wrong(kind: str, share: float) -> None:
    clean = images()
    noisy = corrupt(clean, NoiseRecipe.model_validate({"kind": kind, "share": share}))
    assert np.mean(noisy.identities != clean.identities) == pytest.approx(share)
    assert noisy.paths == clean.paths
    assert noisy.listed == clean.listed
    assert (noisy.cameras == clean.cameras).all()
    assert set(noisy.identities) <= set(clean.identities)


def test_a_seed_gives_the_same_and_another_gives_others() -> None:
    first, again, other = (corrupt(images(), NoiseRecipe(share=0.2, seed=seed)).identities for seed in (1, 1, 2))
    assert (first == again).all()
    assert (first != other).any()


def test_within_a_camera_only_who_it_sees_is_confused() -> None:
    clean = images(cameras=40)
    noisy = corrupt(clean, NoiseRecipe(kind="camera", share=0.5))
    for index in np.flatnonzero(noisy.identities != clean.identities).tolist():
        seen = clean.identities[clean.cameras == clean.cameras[index]]
        assert noisy.identities[index] in seen


def test_an_identity_alone_on_its_camera_keeps_its_name() -> None:
    clean = images(identities=2, each=3)
    alone = LabelledImages(clean.name, clean.paths, clean.identities, clean.identities)  # one camera each
    noisy = corrupt(alone, NoiseRecipe(kind="camera", share=0.9))
    assert (noisy.identities == alone.identities).all()


def test_strangers_are_whole_identities_that_have_no_name_of_their_own() -> None:
    clean = images()
    noisy = corrupt(clean, NoiseRecipe(kind="stranger", share=0.3))
    gone = set(clean.identities) - set(noisy.identities)
    assert len(gone) == 6
    wrong = noisy.identities != clean.identities
    assert set(clean.identities[wrong]) == gone
    assert (np.isin(clean.identities, sorted(gone)) == wrong).all()
