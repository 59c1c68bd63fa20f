import torch

from model.training.augment import MEAN, STD, Augmentation, normalise

PICTURES = torch.randint(256, (8, 3, 24, 12), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_nothing_asked_only_normalises() -> None:
    plain = Augmentation(flip=0, pad=0, erasing=0)(PICTURES, generator())
    expected = (PICTURES[3, 1, 5, 7] / 255 - MEAN[1]) / STD[1]
    assert torch.isclose(plain[3, 1, 5, 7], expected)
    assert torch.equal(plain, normalise(PICTURES))


def test_flip_mirrors_whole_pictures() -> None:
    flipped = Augmentation(flip=1, pad=0, erasing=0)(PICTURES, generator())
    assert torch.equal(flipped, normalise(PICTURES).flip(3))
    some = Augmentation(flip=0.5, pad=0, erasing=0)(PICTURES, generator())
    plain = normalise(PICTURES)
    kinds = {torch.equal(picture, original) for picture, original in zip(some, plain, strict=True)}
    assert kinds == {True, False}


def test_crop_shifts_each_picture_within_its_padding() -> None:
    pad = 2
    cropped = Augmentation(flip=0, pad=pad, erasing=0)(PICTURES, generator())
    padded = torch.nn.functional.pad(normalise(PICTURES), [pad] * 4)
    for picture, source in zip(cropped, padded, strict=True):
        windows = [source[:, y : y + 24, x : x + 12] for y in range(2 * pad + 1) for x in range(2 * pad + 1)]
        assert any(torch.equal(picture, window) for window in windows)


def test_erasing_blanks_one_rectangle_of_the_stated_area() -> None:
    plain = normalise(PICTURES) + 10  # nothing is 0 by chance
    erased = Augmentation(flip=0, pad=0, erasing=1)._erase(plain, generator())
    for picture in erased:
        blank = (picture == 0).all(dim=0)
        rows, columns = blank.any(dim=1), blank.any(dim=0)
        assert torch.equal(blank, rows[:, None] & columns[None, :])
        assert 0 < blank.float().mean() < 0.5


def test_same_generator_same_pictures() -> None:
    augment = Augmentation(flip=0.5, pad=3, erasing=0.5)
    assert torch.equal(augment(PICTURES, generator(4)), augment(PICTURES, generator(4)))
    assert not torch.equal(augment(PICTURES, generator(4)), augment(PICTURES, generator(5)))
