"""Training steps of networks for sequences: the folded layer against its definition, convolutions and attention.

All networks are whole (an embedding, three layers of the same width, heads) and are given the same batches of tokens, a
quarter of the positions padded; their steps alternate. A step is forward, losses, backward and AdamW, on one thread,
timed by the process: other work on the machine counts little.

- ``ms``: of a step of the folded network, the median;
- ``reference``: how many times longer the layer written by its definition takes, each primitive in turn, group after
  group, task after task;
- ``convolutions``: how many times longer the folded step takes than that of an ordinary network of convolutions over
  three positions, which shares everything;
- ``attention``: how many times longer a network of attention of four heads takes that shares everything, too, each
  layer with its norm and skip, without a perceptron after it.

    python benchmarks/sequences.py [--batch N] [--steps N] [--csv FOLDER]
"""

import argparse
import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from measured import Table, add_option
from mtl_search import Architecture, build_model
from mtl_search.networks.inputs import TokenEmbedding, mask_of, opened, pooled, without_padding
from mtl_search.networks.paths import PathNetwork
from mtl_search.spaces.architecture import LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage
from mtl_search.tasks import Classification
from vectors import step_times

TOKENS, WIDTH, LAYERS, HEADS, RATIO = 1000, 64, 3, 4, 0.5
LENGTHS, TASKS, BANKS = (64, 128, 512), (2, 8), ("sequence_local", "sequence", "sequence_mixing")
COLUMNS = {
    "bank": "",
    "length": "",
    "tasks": "",
    "ms": ".0f",
    "reference": ".1f",
    "convolutions": ".1f",
    "attention": ".1f",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=7)
    add_option(parser)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    table = Table(COLUMNS, arguments.csv, same={"batch": arguments.batch})
    for bank, length, count in itertools.product(BANKS, LENGTHS, TASKS):
        tasks = [Classification(f"task{number}") for number in range(count)]
        models, inputs = made_models(bank, length, tasks), made_batch(arguments.batch, length)
        folded, reference, convolutions, attention = step_times(models, tasks, inputs, arguments.steps)
        table.add(bank, length, count, 1000 * folded, reference / folded, folded / convolutions, attention / folded)


def made_batch(samples: int, length: int) -> Tensor:
    """Tokens ``[samples, length]`` of lengths between half of that and all of it."""
    tokens = torch.randint(0, TOKENS, (samples, length))
    lengths = torch.linspace(length // 2, length, samples).long()
    return tokens.masked_fill(torch.arange(length) >= lengths[:, None], -1)


def made_models(bank: str, length: int, tasks: Sequence[Classification]) -> dict[str, nn.Module]:
    """The networks by their kinds, in the order of the columns."""
    backbone = Backbone((Stage(WIDTH, LAYERS),), "sequence", embedding=WIDTH)
    architecture = Architecture(backbone, (LayerChoice(bank, RATIO),) * LAYERS)
    shape = (length, TOKENS)
    return {
        "folded": build_model(architecture, tasks, shape),
        "reference": build_model(architecture, tasks, shape, implementation="reference"),
        "convolutions": PathNetwork(backbone, [(0,) * LAYERS] * len(tasks), tasks, shape),
        "attention": Attention(tasks),
    }


class Attention(nn.Module):
    """A network of attention for several tasks, which shares everything but the heads."""

    def __init__(self, tasks: Sequence[Classification]) -> None:
        super().__init__()
        self.embedding = TokenEmbedding(TOKENS, WIDTH, torch.Generator())
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(LAYERS))
        self.layers = nn.ModuleList(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True) for _ in range(LAYERS))
        self.heads = nn.ModuleDict({task.name: nn.Linear(2 * WIDTH, task.outputs) for task in tasks})

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        mask = mask_of(x)
        assert mask is not None
        features = self.embedding(opened(x)[0], mask)[:, :, 0].mT
        for norm, layer in zip(self.norms, self.layers, strict=True):
            normed = norm(features)
            features = features + layer(normed, normed, normed, key_padding_mask=~mask[:, 0, 0], need_weights=False)[0]
        read = pooled(without_padding(features.mT[:, :, None], mask), 1, True, mask).flatten(1)
        return {name: head(read) for name, head in self.heads.items()}


if __name__ == "__main__":
    main()
