"""A search that is cut off before its writes, of every kind some, goes on to the same end."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from made_faults import assert_whole, timeless
from made_runs import made_experiment
from mtl_search.datasets import Dataset, load_dataset
from mtl_search.evaluation import EvaluationOptions, Report
from mtl_search.internal.files import append_line
from mtl_search.runs import weights
from mtl_search.runs import writer as run_writer
from mtl_search.runs.folder import Run, load_run
from mtl_search.runs.trial import State
from mtl_search.samplers import journal
from mtl_search.searching.run import resume, search
from mtl_search.spaces.architecture import Architecture
from mtl_search.spaces.experiment import Experiment
from mtl_search.spaces.settings import Training
from mtl_search.training.checkpoint import Checkpoint

TRIALS, EPOCHS = 5, 4
SETTINGS = [
    "dataset.train=200",
    "dataset.val=100",
    "dataset.test=50",
    f"training.epochs={EPOCHS}",
    "training.batch_size=50",
    f"search.trials={TRIALS}",
    "search.early_stopping={grace: 1, factor: 2}",
    "search.sampler=nsga2",
    "constraints.learnable_parameters=20000",
]
PARTS = 12
"""The places to cut it off are tried in so many tests, of which one is quick."""
PLACES = ((run_writer, "append_line"), (run_writer, "write_text"), (weights, "write_bytes"))
"""Through which a search writes, besides Optuna's journal, whose lines are counted one by one."""


class CutError(BaseException):
    """Stands for the end of the process: nothing catches it."""


def train(
    architecture: Architecture, dataset: Dataset, training: Training, seed: int, options: EvaluationOptions
) -> Iterator[Report]:
    """A training that takes no time: its state is the number of its epoch, its accuracy grows with it."""
    best = 0.4 + 0.1 * architecture.width_multiplier - 0.05 * architecture.layers[0].shared_ratio
    for epoch in range((options.start.epoch if options.start else 0) + 1, EPOCHS + 1):
        checkpoint = Checkpoint({"weights": torch.full((3,), float(epoch))}, {"epoch": epoch})
        scores = scores_of(dataset, best * epoch / EPOCHS) if epoch in options.scored_after else {}
        yield Report(epoch, float(epoch), 1.0, scores=scores, checkpoint=checkpoint)
    yield Report(EPOCHS, EPOCHS + 1.0, 1.0, scores=scores_of(dataset, best), weights={"w": torch.ones(2)}, done=True)


def scores_of(dataset: Dataset, accuracy: float) -> dict[str, float]:
    return dict.fromkeys(dataset.score_names, accuracy)


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    return load_dataset("multi_mnist", train=200, val=100, test=50)


@pytest.fixture(scope="module")
def experiment() -> Experiment:
    return made_experiment(SETTINGS)


@pytest.fixture(scope="module")
def whole(dataset: Dataset, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return search(experiment, dataset, workers=0, out=tmp_path_factory.mktemp("whole") / "run", evaluate=train)


@contextmanager
def cut_before(write: int) -> Iterator[list[str]]:
    """Ends what runs here before its write of that number, from 0; gives a list of the kinds of the writes so far."""
    writes: list[str] = []

    def counted(function: Callable[..., None]) -> Callable[..., None]:
        def act(path: Path, content: str | bytes) -> None:
            if len(writes) == write:
                raise CutError
            writes.append(kind(path, content))
            function(path, content)

        return act

    append_whole = counted(append_line)

    def append_by_lines(path: Path, lines: str) -> None:
        """A dying machine may write any part of what was to be one write."""
        for line in lines.splitlines(keepends=True):
            append_whole(path, line)

    with pytest.MonkeyPatch.context() as patch:
        for module, name in PLACES:
            patch.setattr(module, name, counted(getattr(module, name)))
        patch.setattr(journal, "append_line", append_by_lines)
        yield writes


def kind(path: Path, content: str | bytes) -> str:
    """What a write is about: its file, whatever the trial, and for the journal its operation and the state it tells."""
    name = re.sub(r"\d+", "#", f"{path.parent.name}/{path.name}")
    if path.name != "journal.log":
        return name
    line = json.loads(content)
    return f"{name} {line['op_code']} {line.get('state')} {' '.join(sorted(line.get('system_attr', {})))}"


def places_to_cut(writes: Sequence[str], first: int) -> list[int]:
    """Of every kind of write the first two and the last, and every seventh write besides."""
    places = defaultdict(list)
    for place, name in enumerate(writes):
        if place >= first:
            places[name].append(place)
    chosen = {place for those in places.values() for place in (*those[:2], those[-1])}
    return sorted(chosen | set(range(first, len(writes), 7)))


def writes_to_begin(dataset: Dataset, experiment: Experiment, folder: Path) -> int:
    """Writes until there is a journal: before that there is nothing to go on with."""
    for write in range(100):
        place = folder / str(write)
        with cut_before(write), pytest.raises(CutError):
            search(experiment, dataset, workers=0, out=place, evaluate=train)
        if (place / "journal.log").exists() and (place / "journal.log").stat().st_size:
            return write
    raise AssertionError("no journal")


def test_the_search_has_ends_of_many_kinds(whole: Run) -> None:
    assert_whole(whole, TRIALS)
    assert {trial.state for trial in whole.trials} == {State.COMPLETE, State.STOPPED, State.INFEASIBLE}


@pytest.fixture(scope="module")
def places(dataset: Dataset, experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> list[int]:
    """The writes before which the search is cut off."""
    folder = tmp_path_factory.mktemp("counted")
    first = writes_to_begin(dataset, experiment, folder / "beginnings")
    with cut_before(-1) as writes:
        search(experiment, dataset, workers=0, out=folder / "run", evaluate=train)
    assert len(writes) > first + 10 * TRIALS
    return places_to_cut(writes, first)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.thin(PARTS)
def test_a_search_goes_on_from_wherever_it_was_cut_off(
    part: int, places: list[int], dataset: Dataset, experiment: Experiment, whole: Run, tmp_path: Path
) -> None:
    assert len(places) > 2 * PARTS
    for write in places[part::PARTS]:
        folder = tmp_path / f"cut-{write}"
        with cut_before(write), pytest.raises(CutError):
            search(experiment, dataset, workers=0, out=folder, evaluate=train)
        resume(folder, dataset, workers=0, evaluate=train)
        run = load_run(folder)
        assert timeless(run) == timeless(whole), f"cut off before write {write}"
        assert_whole(run, TRIALS)
