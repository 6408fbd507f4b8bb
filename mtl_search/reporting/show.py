"""One architecture to look at: its layers as a table, as text and as a picture."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtl_search.reporting.drawing_svg import svg_drawing
from mtl_search.reporting.drawing_text import text_drawing
from mtl_search.reporting.layer_table import LayerRow, layer_table
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.picks import Pick, pick
from mtl_search.spaces.architecture import Architecture

WITHOUT_A_RUN = ("a", "b")
"""Names of tasks in the drawing of an architecture that no run says the tasks of: two show what is shared."""
COSTS = ("learnable_parameters", "fixed_parameters", "macs")


@dataclass(frozen=True)
class ShownArchitecture:
    """An architecture to look at: what ``mtl-search show`` prints.

    :param architecture: The architecture that is shown.
    :param layers: What each of its layers is made of, from input to output.
    :param tasks: Names of the tasks, as they stand in the drawings.
    :param pick: The trial of the run that it is taken from, and why; ``None`` where it is from no run.
    """

    architecture: Architecture
    layers: tuple[LayerRow, ...]
    tasks: tuple[str, ...]
    pick: Pick | None = None

    @property
    def text(self) -> str:
        """The layers as lines of at most 80 characters, each with a bar of its channels."""
        return text_drawing(self.architecture, self.tasks)

    @property
    def svg(self) -> str:
        """The drawing of the layers as an ``<svg>`` element, for a file or a page."""
        return svg_drawing(self.architecture, self.tasks)

    def to_dict(self) -> dict[str, Any]:
        """All but the drawings, as plain data for JSON."""
        data = {**self.architecture.to_dict(), "id": self.architecture.id}
        data["channels"] = [asdict(row) for row in self.layers]
        if self.pick is not None:
            trial = self.pick.trial
            if trial.training:
                data["training"] = dict(trial.training)
            data["cost"] = {name: getattr(trial, name) for name in COSTS}
            data["pick"] = self.pick.to_dict()
        return data


def show(what: Architecture | Run | str | Path, which: str | int | None = None) -> ShownArchitecture:
    """An architecture: its layers, what they share, its drawing, and of a trial its cost.

    :param what: An architecture or its JSON file; or a run or its folder, of which a trial is taken.
    :param which: The trial of a run: ``knee``, ``best``, ``smallest`` or a number, as everywhere
        (:func:`~mtl_search.runs.picks.pick`); the knee if left out, or the best where the front has none.
    :raises UserError: If there is no such file, run or trial.
    """
    if isinstance(what, str | Path):
        what = load_run(what) if os.path.isdir(what) else Architecture.load(what)
    if isinstance(what, Architecture):
        return _shown(what, WITHOUT_A_RUN)
    found = pick(what, which)
    return _shown(found.trial.architecture, what.task_names or WITHOUT_A_RUN, found)


def _shown(architecture: Architecture, tasks: Sequence[str], found: Pick | None = None) -> ShownArchitecture:
    return ShownArchitecture(architecture, tuple(layer_table(architecture)), tuple(tasks), found)
