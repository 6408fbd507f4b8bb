"""An architecture: every choice made. Plain data, readable as JSON, usable as a dictionary key.

``Architecture`` = a backbone (the stages, without any sharing) + one ``LayerChoice`` for each of its layers.
"""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

from mtl_search.errors import FieldError, UserError
from mtl_search.internal.characters import cut, printable
from mtl_search.internal.reading import parse_json, read_text
from mtl_search.spaces.backbone import DECODER, Backbone, Stage
from mtl_search.spaces.banks import CONVOLUTION, check_bank
from mtl_search.spaces.fields import build, build_each, check_number, check_one_of, check_whole

Specific = Literal["nlp", "conv"]
Routing = Literal["strict", "mixed"]

JSON_FORMAT = 1

LEAST_MULTIPLIER, MOST_MULTIPLIER = 1e-3, 1e3
"""Of all widths at once: beyond either no width of the literature stays one, and a slip is refused."""
MOST_DEPTH = 64
"""Sub-layers of a branch. The paper has 3 at most."""


@dataclass(frozen=True)
class LayerChoice:
    """What is chosen for one layer.

    :param bank: The non-learnable primitives: a bank, a single primitive, an expression of them
        (:mod:`mtl_search.spaces.banks`), or ``conv`` for an ordinary convolution.
    :param shared_ratio: Shared channels / all channels (gamma in the paper), 0 to 1.
    :param branch_depth: Learned sub-layers in the branch of each task. With 0 no specific channels are made: what a
        task already has is carried on. A layer that shares everything has no branch: its depth is stored as 0.
    """

    bank: str
    shared_ratio: float = 1.0
    branch_depth: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.bank, str):
            raise FieldError("bank", "must be a name", self.bank)
        check_bank(self.bank)
        check_number("shared_ratio", self.shared_ratio, 0.0, 1.0)
        check_whole("branch_depth", self.branch_depth, 0, MOST_DEPTH)
        object.__setattr__(self, "shared_ratio", float(self.shared_ratio))
        if self.shared_ratio == 1:
            object.__setattr__(self, "branch_depth", 0)

    def __str__(self) -> str:
        branch = f"/{self.branch_depth}" if self.shared_ratio < 1 else ""
        return f"{self.bank} {self.shared_ratio:.0%}{branch}"


@dataclass(frozen=True)
class Architecture:
    """A multi-task network with every choice made.

    :param backbone: Stages, widths and strides.
    :param layers: One choice per layer of the backbone.
    :param width_multiplier: Factor on every width of the backbone.
    :param specific: What a task's branch is made of: ``nlp``, primitives and a learned recombination as in the shared
        branch (the paper's wording), or ``conv``, an ordinary 3x3 convolution (what re-implementations do).
    :param routing: ``strict``: the shared branch reads shared features only, so that one pass serves all tasks.
        ``mixed``: it reads the active task's features too, which takes a pass for each task.
    """

    backbone: Backbone
    layers: tuple[LayerChoice, ...]
    width_multiplier: float = 1.0
    specific: Specific = "nlp"
    routing: Routing = "strict"

    def __post_init__(self) -> None:
        if len(self.layers) != self.backbone.layers:
            raise FieldError("layers", f"must hold {self.backbone.layers} choices, one per layer", len(self.layers))
        check_number("width_multiplier", self.width_multiplier, LEAST_MULTIPLIER, MOST_MULTIPLIER)
        check_one_of("specific", self.specific, get_args(Specific))
        check_one_of("routing", self.routing, get_args(Routing))
        object.__setattr__(self, "width_multiplier", float(self.width_multiplier))

    @cached_property
    def id(self) -> str:
        """Eight hexadecimal digits that name this architecture: of 1,000 two agree in one case of 10,000."""
        return hashlib.sha256(json.dumps(self.to_dict(), sort_keys=True).encode()).hexdigest()[:8]

    @property
    def is_hard_sharing(self) -> bool:
        """Whether every layer is shared and an ordinary convolution."""
        return all(layer.shared_ratio == 1 and layer.bank == CONVOLUTION for layer in self.layers)

    def width(self, stage: Stage) -> int:
        """Channels of a layer of ``stage``, shared and specific together."""
        return scaled(stage.width, self.width_multiplier)

    def to_dict(self) -> dict[str, Any]:
        """As plain dictionaries and lists, the form that the JSON file holds.

        Keys that came later are left out where they have their default: architectures from before keep their ids.
        """
        data = {"format": JSON_FORMAT, **asdict(self)}
        if self.backbone.decoder == DECODER:
            del data["backbone"]["decoder"]
        if not self.backbone.embedding:
            del data["backbone"]["embedding"]
        for stage in data["backbone"]["stages"]:
            if stage["dilation"] == 1:
                del stage["dilation"]
        return data

    def to_json(self) -> str:
        """As JSON text, a line per layer."""
        data = self.to_dict()
        layers = ",\n    ".join(json.dumps(layer) for layer in data.pop("layers"))
        stages = ",\n      ".join(json.dumps(stage) for stage in data["backbone"].pop("stages"))
        text = json.dumps({**data, "layers": "LAYERS"}, indent=2)
        text = text.replace('"backbone": {', f'"backbone": {{\n    "stages": [\n      {stages}\n    ],', 1)
        return text.replace('"LAYERS"', f"[\n    {layers}\n  ]") + "\n"

    @classmethod
    def from_dict(cls, data: Any) -> "Architecture":
        """The architecture that :meth:`to_dict` describes.

        :raises UserError: If a key is missing, unknown, or holds what breaks a rule; the message has the dotted key.
        """
        if not isinstance(data, dict):
            raise UserError(f"an architecture must be a JSON object, but got {type(data).__name__}.")
        data = dict(data)
        found = data.pop("format", None)
        if found != JSON_FORMAT:
            raise UserError(f"`format` must be {JSON_FORMAT}, that of this version, but got {cut(repr(found))}.")
        if "backbone" in data:
            if not isinstance(data["backbone"], dict):
                raise UserError(f"`backbone` must be an object, but got {cut(repr(data['backbone']))}.")
            backbone = dict(data["backbone"])
            if "stages" in backbone:
                backbone["stages"] = build_each(Stage, backbone["stages"], "backbone.stages")
            data["backbone"] = build(Backbone, backbone, "backbone")
        if "layers" in data:
            data["layers"] = build_each(LayerChoice, data["layers"], "layers")
        return build(cls, data, "")

    @classmethod
    def from_json(cls, text: str) -> "Architecture":
        """The architecture that a JSON text describes.

        :raises UserError: If the text is no JSON, or as :meth:`from_dict`.
        """
        return cls.from_dict(parse_json(text))

    @classmethod
    def load(cls, path: str | Path) -> "Architecture":
        """Read a JSON file.

        :raises UserError: If there is no such file, or it holds no architecture; the message begins with the path.
        """
        text = read_text(path)
        try:
            return cls.from_json(text)
        except UserError as error:
            raise UserError(f"{printable(str(path))}: {error}") from error

    def __str__(self) -> str:
        layers = " · ".join(str(layer) for layer in self.layers)
        extras = [value for value in (self.specific, self.routing) if value not in ("nlp", "strict")]
        return " ".join([f"x{self.width_multiplier:g}", f"[{layers}]", *extras])


def scaled(width: int, multiplier: float) -> int:
    """``width`` times ``multiplier``, rounded, at least 1."""
    return max(1, round(width * multiplier))
