"""Training on several processes, as `torchrun` starts them, with the numbers of one.

Each process embeds its share of a P × K batch. The metric loss needs the whole sets, so embeddings are gathered with
their gradient and every process computes the loss of all of them; batch normalisation takes its statistics over the
whole batch as well.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from model.errors import RecipeError


@dataclass(frozen=True)
class Share:
    """Which of `size` equal parts of a batch process `rank` works on."""

    rank: int
    size: int

    @property
    def first(self) -> bool:
        """Whether this process also validates, and writes checkpoints and reports."""
        return self.rank == 0

    def slice(self, batch: int) -> slice:
        """Return this process's part of a batch; raise `RecipeError` when it cannot be shared out evenly."""
        if batch % self.size:
            raise RecipeError(f"expected a batch that {self.size} processes can share evenly, found {batch} images")
        part = batch // self.size
        return slice(self.rank * part, (self.rank + 1) * part)


ALONE = Share(0, 1)


@contextmanager
def joined(device: str) -> Iterator[None]:
    """Join the other processes where `torchrun` has started this one; otherwise work alone."""
    if not dist.is_torchelastic_launched():
        yield
        return
    if device == "cuda":
        torch.cuda.set_device(dist.get_node_local_rank())
    dist.init_process_group("nccl" if device == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def share() -> Share:
    """Return this process's share of each batch: all of it where it works alone."""
    return Share(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else ALONE


def gather(embeddings: Tensor) -> Tensor:
    """Return the embeddings `(N, D)` of all processes `(size·N, D)`, through which gradients flow back to each.

    Each process sums the gradients that all of them have for its rows, and `DistributedDataParallel` takes the mean
    over processes: together the gradient of one process that holds the whole batch.
    """
    mine = share()
    if mine.size == 1:
        return embeddings
    whole = embeddings.new_zeros(mine.size * len(embeddings), embeddings.shape[1])
    whole[mine.slice(len(whole))] = embeddings
    return _sum_over_processes(whole)


def mean_over_processes(value: Tensor) -> Tensor:
    """Return the mean of what each process has, with gradient; alone it is the value itself."""
    return _sum_over_processes(value) / share().size if share().size > 1 else value


def _sum_over_processes(value: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(value)
    return total


class _Sum(torch.autograd.Function):
    """A sum over processes: what one puts in is in everybody's, so its gradient is the sum of everybody's."""

    @staticmethod
    def forward(_context: FunctionCtx, value: Tensor) -> Tensor:
        """Return the sum."""
        return _all_reduce(value)

    @staticmethod
    def backward(_context: FunctionCtx, gradient: Tensor) -> Tensor:
        """Return the sum of the gradients."""
        return _all_reduce(gradient)


def _all_reduce(value: Tensor) -> Tensor:
    total = value.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total


def distribute(network: nn.Module) -> nn.Module:
    """Return what training calls in place of the network; alone it is the network itself.

    Batch normalisation becomes synchronised inside the network, whose modules and parameters stay the same objects.
    """
    if share().size == 1:
        return network
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            _synchronise(module)
    return DistributedDataParallel(network)


def _synchronise(module: _BatchNorm) -> None:
    if module.weight.is_cuda:
        module.__class__ = nn.SyncBatchNorm
        module.process_group = None  # type: ignore[assignment]
    else:
        module.__class__ = SynchronisedBatchNorm


class SynchronisedBatchNorm(_BatchNorm):
    """Batch normalisation by the statistics over all processes, where PyTorch's own, for GPUs alone, does not work."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise `(N, C, …)`; in evaluation by the running statistics, as ever."""
        if not self.training:
            return super().forward(x)
        axes = [0, *range(2, x.dim())]
        wide = (1, -1, *([1] * (x.dim() - 2)))
        values = x.float()
        mean = mean_over_processes(values.mean(axes))
        centred = values - mean.view(wide)
        variance = mean_over_processes(centred.square().mean(axes))
        self._remember(mean.detach(), variance.detach(), values.numel() // values.shape[1] * share().size)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale.view(wide) + self.bias.view(wide)).to(x.dtype)

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)

    def _check_input_dim(self, x: Tensor) -> None:
        """Take any number of dimensions: 1-D and 2-D features have the same statistics."""
