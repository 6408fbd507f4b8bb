"""Small networks to test on: tasks, architectures made by hand and by lot, and what is asserted of them."""

import copy
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtl_search.kernels import operations
from mtl_search.networks.bank_inputs import banks_for
from mtl_search.networks.network import Implementation, MultiTaskNetwork, build_model
from mtl_search.spaces.architecture import Architecture, LayerChoice, Routing, Specific
from mtl_search.spaces.backbone import DECODER, Backbone, Kind, Stage
from mtl_search.tasks import Classification, Task

SHAPE = (3, 16, 18)
BATCH = 16
WIDTHS = (8, 12)
SEQUENCE = (9, 5)
"""Positions; channels, or different tokens."""
IMAGE_BANKS, VECTOR_BANKS, SEQUENCE_BANKS = banks_for("images"), banks_for("rows"), banks_for("sequences")
"""Every single name that a layer can ask for."""


def made_tasks(count: int = 2) -> tuple[Classification, ...]:
    """Tasks ``a``, ``b``, ... of 3, 4, ... classes."""
    return tuple(Classification("abcdefghij"[number], classes=3 + number) for number in range(count))


KINK = {torch.float64: 1e-14, torch.float32: 3e-6}
"""How near to 0 rounding moves a normalised value from one side to the other."""


def made_architecture(
    bank: str | Sequence[str] = "paper",
    ratio: float | Sequence[float] = 0.5,
    depth: int | Sequence[int] = 1,
    *,
    widths: Sequence[int] = WIDTHS,
    strides: Sequence[int] = (1, 2),
    dilation: int = 1,
    kind: Kind = "plain",
    stem: int = 0,
    stem_stride: int = 1,
    head_pool: int = 1,
    decoder: int = DECODER,
    embedding: int = 0,
    specific: Specific = "nlp",
    routing: Routing = "strict",
) -> Architecture:
    """One layer for each width; what is given once holds for all layers. The last one has the dilation."""
    steps = list(zip(widths, strides, strict=True))
    stages = (
        *(Stage(width, 1, stride) for width, stride in steps[:-1]),
        Stage(*steps[-1][:1], 1, steps[-1][1], dilation),
    )
    banks = [bank] * len(stages) if isinstance(bank, str) else bank
    ratios = [ratio] * len(stages) if isinstance(ratio, int | float) else ratio
    depths = [depth] * len(stages) if isinstance(depth, int) else depth
    layers = tuple(LayerChoice(*choice) for choice in zip(banks, ratios, depths, strict=True))
    backbone = Backbone(stages, kind, stem, stem_stride, head_pool, decoder, embedding)
    return Architecture(backbone, layers, 1.0, specific, routing)


def random_architecture(seed: int) -> Architecture:
    """An architecture drawn by lot: two to four layers, anything that an architecture may hold."""
    rng = random.Random(seed)
    layers = rng.randint(2, 4)
    return made_architecture(
        [rng.choice(IMAGE_BANKS) for _ in range(layers)],
        [rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]) for _ in range(layers)],
        [rng.choice([0, 1, 1, 2, 3]) for _ in range(layers)],
        widths=[rng.choice([8, 12]) for _ in range(layers)],
        strides=[rng.choice([1, 1, 2, 3]) for _ in range(layers)],
        kind=rng.choice(["plain", "residual"]),
        stem=rng.choice([0, 6]),
        stem_stride=rng.choice([1, 2]),
        head_pool=rng.choice([1, 2]),
        specific=rng.choice(["nlp", "conv"]),
        routing=rng.choice(["strict", "strict", "mixed"]),
    )


def random_vector_architecture(seed: int) -> Architecture:
    """As :func:`random_architecture`, for the rows of a table."""
    rng = random.Random(seed)
    layers = rng.randint(2, 4)
    return made_architecture(
        [rng.choice([*VECTOR_BANKS, "vector", "projection*2+fourier*2"]) for _ in range(layers)],
        [rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]) for _ in range(layers)],
        [rng.choice([0, 1, 1, 2, 3]) for _ in range(layers)],
        widths=[rng.choice([8, 11, 16, 24]) for _ in range(layers)],
        strides=[1] * layers,
        kind="vector",
        stem=rng.choice([0, 10]),
        specific=rng.choice(["nlp", "conv"]),
        routing=rng.choice(["strict", "strict", "mixed"]),
    )


def random_sequence_architecture(seed: int) -> Architecture:
    """As :func:`random_architecture`, for sequences: of tokens where it has an embedding."""
    rng = random.Random(seed)
    layers, entry = rng.randint(2, 3), rng.choice(["embedding", "stem", ""])
    alone = [bank for bank in SEQUENCE_BANKS if bank != "relu_projection"]  # of few channels it may give nothing but 0
    banks = [*alone, "identity+relu_projection", "random*3+mixing*2", "mixing+identity+shift"]
    return made_architecture(
        [rng.choice(banks) for _ in range(layers)],
        [rng.choice([0.0, 0.25, 0.5, 0.75, 1.0]) for _ in range(layers)],
        [rng.choice([0, 1, 1, 2, 3]) for _ in range(layers)],
        widths=[rng.choice([4, 8, 11]) for _ in range(layers)],
        strides=[1] * layers,
        dilation=rng.choice([1, 1, 2]),
        kind="sequence",
        specific=rng.choice(["nlp", "conv"]),
        routing=rng.choice(["strict", "strict", "mixed"]),
        **({entry: 6} if entry else {}),
    )


def made_sequences(
    architecture: Architecture, batch: int = BATCH, dtype: torch.dtype = torch.float64, seed: int = 2
) -> Tensor:
    """Sequences of :data:`SEQUENCE` positions at most and of all lengths, tokens or vectors, as it reads them."""
    rng = torch.Generator().manual_seed(seed)
    length, values = SEQUENCE
    gone = torch.arange(length) >= 1 + torch.arange(batch)[:, None] % length
    if architecture.backbone.embedding:
        return torch.randint(0, values, (batch, length), generator=rng).masked_fill(gone, -1)
    return torch.randn(batch, length, values, generator=rng).to(dtype).masked_fill(gone[:, :, None], torch.nan)


def generic_model(
    architecture: Architecture,
    tasks: Sequence[Task],
    shape: tuple[int, ...] = SHAPE,
    implementation: Implementation = "fused",
    dtype: torch.dtype = torch.float64,
) -> MultiTaskNetwork:
    """A network none of whose values is special: scales and offsets, too, and running statistics are drawn by lot."""
    model = build_model(architecture, tasks, shape, 0, implementation)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=rng))
        for name, buffer in model.named_buffers():
            if "running" in name:
                buffer.add_(0.2 * torch.rand(buffer.shape, generator=rng))
    return model.to(dtype)


def made_inputs(
    dtype: torch.dtype = torch.float64, batch: int = BATCH, shape: Sequence[int] = SHAPE, seed: int = 2
) -> Tensor:
    return torch.randn(batch, *shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def inputs_off_kinks(reference: MultiTaskNetwork, dtype: torch.dtype) -> Tensor:
    """Inputs for which no ReLU reads a value that rounding can move over 0, where gradients jump."""
    exact = copy.deepcopy(reference).double().train()
    nearest: list[float] = []

    def watched(x: Tensor, inplace: bool = False) -> Tensor:
        nearest.append(float(x[x != 0].abs().min()))
        return relu(x, inplace)

    relu = F.relu
    for seed in range(2, 30):
        nearest.clear()
        with pytest.MonkeyPatch.context() as patch, torch.no_grad():
            patch.setattr(F, "relu", watched)
            exact(made_inputs(torch.float64, seed=seed))
        if min(nearest, default=1) > KINK[dtype]:
            return made_inputs(dtype, seed=seed)
    raise AssertionError("every input is on a kink")


def weighted_sum(outputs: dict[str, Tensor]) -> Tensor:
    """A loss in which every output counts, each differently."""
    rng = torch.Generator().manual_seed(3)
    return sum(
        ((output * torch.randn(output.shape, generator=rng).to(output.dtype)).sum() for output in outputs.values()),
        torch.zeros((), dtype=torch.float64),
    )


def gradients(model: MultiTaskNetwork, x: Tensor) -> dict[str, Tensor]:
    """The gradient of :func:`weighted_sum` for every parameter, after one forward pass in training mode."""
    model.train()
    model.zero_grad()
    weighted_sum(model(x)).backward()
    missing = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    assert not missing, f"no output depends on {missing}"
    return {name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None}


@contextmanager
def by_torch() -> Iterator[None]:
    """What networks do meanwhile is done by torch's operations, as where there is no compiler."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "trains", lambda x: False)
        yield


WAYS = {nullcontext: 1.0, by_torch: 2.0}
"""With kernels in C, where there are any, and without -> in what tolerances: in single precision torch's own operations
are up to 1.3 times as far from the exact gradients as kernels may be, as the reference is, too."""


def single_threaded() -> Iterator[None]:
    """A fixture: networks this small gain nothing by a second thread, and wait for it where processors are busy."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
