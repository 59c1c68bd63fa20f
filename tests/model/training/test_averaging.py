import pytest
import torch

from model.training.averaging import Averaged
from model.training.network import ReidNetwork
from model.training.recipe import NetworkRecipe

DECAY = 0.9
NAME = "classifier.weight"


def network() -> ReidNetwork:
    return ReidNetwork(NetworkRecipe(backbone="resnet18", embedding_dim=8), 4)


def step(averaged: Averaged, value: float) -> None:
    averaged.network.get_parameter(NAME).data.fill_(value)
    averaged.update()


def test_average_follows_the_weights_by_its_decay() -> None:
    averaged = Averaged(network(), DECAY)
    expected = 5.0
    step(averaged, 5.0)
    for value in (1.0, 2.0, 3.0):
        step(averaged, value)
        expected = DECAY * expected + (1 - DECAY) * value
    assert averaged.served.get_parameter(NAME)[0, 0].item() == pytest.approx(expected)
    assert averaged.network.get_parameter(NAME)[0, 0].item() == 3.0


def test_statistics_of_batch_normalisation_are_averaged_too() -> None:
    averaged = Averaged(network(), DECAY)
    step(averaged, 0)
    averaged.network.neck.running_mean.fill_(1)  # type: ignore[operator]
    step(averaged, 0)
    assert averaged.served.state_dict()["neck.running_mean"][0].item() == pytest.approx(1 - DECAY)


def test_restored_average_goes_on_as_if_never_stopped() -> None:
    straight, stopped = Averaged(network(), DECAY), Averaged(network(), DECAY)
    for value in (1.0, 4.0):
        step(straight, value)
        step(stopped, value)
    resumed = Averaged(network(), DECAY)
    resumed.restore(stopped.state())
    step(straight, 2.0)
    step(resumed, 2.0)
    assert torch.equal(straight.served.get_parameter(NAME), resumed.served.get_parameter(NAME))


def test_without_a_decay_the_network_itself_is_served() -> None:
    averaged = Averaged(network(), 0)
    step(averaged, 1.0)
    assert averaged.served is averaged.network
    assert averaged.state() is None
