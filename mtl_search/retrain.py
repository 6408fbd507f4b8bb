"""Final trainings: an architecture trained from scratch, over seeds, and measured on the test split."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mtl_search.architecture import Architecture
from mtl_search.datasets import Dataset
from mtl_search.evaluation import Report, evaluate_by_epoch, trial_of
from mtl_search.experiment import Training
from mtl_search.run_folder import check_free, write_json, write_text
from mtl_search.trial import Trial
from mtl_search.weights import save_weights

FinalSplit = Literal["test", "val"]


@dataclass(frozen=True)
class Final:
    """One final training.

    :param trial: Its seed, scores and cost.
    :param last: Its last report, with the weights.
    """

    trial: Trial
    last: Report


def retrain(
    architecture: Architecture, dataset: Dataset, training: Training, seeds: int, split: FinalSplit = "test"
) -> Iterator[Final]:
    """Train an architecture from scratch, once for each seed from 0.

    With ``test`` it is trained on the training and validation samples, and the test split is read once, at the end;
    with ``val`` on the training samples, and scored on the validation samples.

    :param seeds: Number of trainings.
    """
    data = dataset.merged() if split == "test" else dataset.without("test")
    for seed in range(seeds):
        *_, last = evaluate_by_epoch(architecture, data, training, seed, split)
        yield Final(trial_of(seed, architecture, data, seed, last), last)


class FinalWriter:
    """Writes final trainings into a folder: architecture, weights of each seed, and all scores.

    :param path: The folder, new or empty.
    :raises RunFolderError: If it is already used.
    """

    def __init__(self, path: str | Path, architecture: Architecture, dataset: str, split: str) -> None:
        check_free(path)
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.about = {"dataset": dataset, "split": split, "architecture": architecture.id}
        self.rows: list[dict[str, object]] = []
        write_text(self.path / "architecture.json", architecture.to_json())

    def add(self, final: Final) -> None:
        """Write one training."""
        trial = final.trial
        save_weights(self.path / f"seed{trial.seed}", final.last.weights)
        self.rows.append(
            {
                "seed": trial.seed,
                "epochs": trial.epochs,
                "seconds": round(trial.seconds, 3),
                "training_macs": final.last.training_macs,
                "accuracy": trial.accuracy,
                "learnable_parameters": trial.learnable_parameters,
                "fixed_parameters": trial.fixed_parameters,
                "macs": trial.macs,
                "scores": trial.scores,
            }
        )
        write_json(self.path / "results.json", {**self.about, "trainings": self.rows})
