"""Weights averaged over a run's steps (EMA), which are measured and exported in place of the last ones.

Tarvainen, Valpola. "Mean teachers are better role models", NeurIPS 2017.
"""

from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from model.training.network import ReidNetwork


class Averaged:
    """A network and, where `decay` is not 0, the running average of its weights and batch statistics."""

    def __init__(self, network: ReidNetwork, decay: float) -> None:
        self.network = network
        self._average = _average(network, decay) if decay else None

    @property
    def served(self) -> ReidNetwork:
        """The network to measure: the average where there is one."""
        if self._average is None:
            return self.network
        assert isinstance(self._average.module, ReidNetwork)
        return self._average.module

    def update(self) -> None:
        """Take the weights after a step into the average."""
        if self._average is not None:
            self._average.update_parameters(self.network)

    def state(self) -> dict[str, Tensor] | None:
        """Return the averaged weights, if any."""
        return None if self._average is None else self.served.state_dict()

    def restore(self, state: dict[str, Tensor] | None) -> None:
        """Take the average up again."""
        if self._average is not None and state is not None:
            self.served.load_state_dict(state)
            self._average.n_averaged.fill_(1)  # from here on the average is moved, not started


def _average(network: ReidNetwork, decay: float) -> AveragedModel:
    average = get_ema_multi_avg_fn(decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)
