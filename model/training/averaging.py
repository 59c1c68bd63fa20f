"""Weights averaged over a run's steps (EMA), which are measured and exported in place of the last ones.

Tarvainen, Valpola. "Mean teachers are better role models", NeurIPS 2017.
"""

import copy
from itertools import chain

from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from model.training.network import ReidNetwork


class Averaged:
    """A network and, where `decay` is not 0, the running average of its weights and batch statistics."""

    def __init__(self, network: ReidNetwork, decay: float) -> None:
        self.network = network
        self._average = copy.deepcopy(network) if decay else None
        self._move = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
        self._started = False

    @property
    def served(self) -> ReidNetwork:
        """The network to measure: the average where there is one."""
        return self.network if self._average is None else self._average

    def update(self) -> None:
        """Take the weights after a step into the average, which the first step's weights begin."""
        if self._average is None:
            return
        if self._started:  # not by AveragedModel, which sends its count in each step and so waits for a GPU
            self._move(_numbers(self._average), _numbers(self.network), None)
        else:
            self.restore(self.network.state_dict())

    def state(self) -> dict[str, Tensor] | None:
        """Return the averaged weights, if any."""
        return None if self._average is None else self._average.state_dict()

    def restore(self, state: dict[str, Tensor] | None) -> None:
        """Take the average up again."""
        if self._average is not None and state is not None:
            self._average.load_state_dict(state)
            self._started = True


def _numbers(network: ReidNetwork) -> list[Tensor]:
    """Return weights and batch statistics, without the counts of batches, which nothing reads."""
    return [each.detach() for each in chain(network.parameters(), network.buffers()) if each.is_floating_point()]
