import math
from dataclasses import replace

import pytest
import torch

from model.training.augment import MEAN, STD, Augmentation, normalise
from model.training.parallel import Share

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


def denormalise(images: torch.Tensor) -> torch.Tensor:
    return (images * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)) * 255


@pytest.mark.parametrize("grayscale", [0.0, 0.5])
def test_jitter_is_gain_then_saturation_then_contrast_of_each_picture(grayscale: float) -> None:
    jitter = 0.6
    augment = Augmentation(flip=0, pad=0, erasing=0, jitter=jitter, grayscale=grayscale)
    found = denormalise(augment(PICTURES, generator()))
    drawn = torch.rand(7, len(PICTURES), generator=generator()).tolist()
    greyed = 0
    for number, picture in enumerate(PICTURES):
        exposure, contrast, saturation, *gains = (math.exp(jitter * (2 * row[number] - 1)) for row in drawn[:6])
        if drawn[6][number] < grayscale:
            saturation, greyed = 0, greyed + 1
        rows: list[list[float]] = []
        for pixel in picture.reshape(3, -1).T.tolist():
            red, green, blue = (value * gain * exposure for value, gain in zip(pixel, gains, strict=True))
            grey = 0.299 * red + 0.587 * green + 0.114 * blue
            rows.append([grey + saturation * (value - grey) for value in (red, green, blue)])
        mean = sum(0.299 * red + 0.587 * green + 0.114 * blue for red, green, blue in rows) / len(rows)
        expected = [[min(max(mean + contrast * (value - mean), 0), 255) for value in row] for row in rows]
        assert torch.allclose(found[number].reshape(3, -1).T, torch.tensor(expected), atol=0.01)
    assert 0 < greyed < len(PICTURES) or not grayscale


def test_grayscale_leaves_no_colour_and_no_other_change() -> None:
    grey = denormalise(Augmentation(flip=0, pad=0, erasing=0, grayscale=1)(PICTURES, generator()))
    luma = 0.299 * PICTURES[:, 0] + 0.587 * PICTURES[:, 1] + 0.114 * PICTURES[:, 2]
    assert torch.allclose(grey, luma[:, None].expand_as(grey), atol=0.01)


def test_erasing_blanks_one_rectangle_of_the_stated_area() -> None:
    plain = normalise(PICTURES) + 10  # nothing is 0 by chance
    erased = Augmentation(flip=0, pad=0, erasing=1)._erase(plain, torch.rand(5, len(plain), generator=generator()))
    for picture in erased:
        blank = (picture == 0).all(dim=0)
        rows, columns = blank.any(dim=1), blank.any(dim=0)
        assert torch.equal(blank, rows[:, None] & columns[None, :])
        assert 0 < blank.float().mean() < 0.5


def test_same_generator_same_pictures() -> None:
    augment = Augmentation(flip=0.5, pad=3, erasing=0.5, jitter=0.2, grayscale=0.1)
    assert torch.equal(augment(PICTURES, generator(4)), augment(PICTURES, generator(4)))
    assert not torch.equal(augment(PICTURES, generator(4)), augment(PICTURES, generator(5)))


def test_what_is_drawn_stays_what_it_was_so_that_runs_can_be_repeated() -> None:
    augment = Augmentation(flip=0.5, pad=3, erasing=0.5, jitter=0.2, grayscale=0.1)
    one_by_one = generator()
    expected = [torch.rand(count, len(PICTURES), generator=one_by_one) for count in (7, 1, 2, 5)]
    assert all(map(torch.equal, augment._draw(PICTURES, generator()), expected))
    halves = [replace(augment, share=Share(rank, 2))._draw(PICTURES[:4], generator()) for rank in range(2)]
    for whole, *parts in zip(expected, *halves, strict=True):
        assert torch.equal(torch.cat(parts, dim=1), whole)
