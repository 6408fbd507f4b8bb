"""What a user sees of a wrong input: one line, status 2, nothing written. Some in processes of their own."""

import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from mtl_search.cli.commands import main
from mtl_search.spaces.architecture import Architecture, LayerChoice
from mtl_search.spaces.backbone import Backbone, Stage

EXPERIMENT = """\
dataset: {name: multi_mnist, train: 500}
backbone: {stages: [{width: 8}, {width: 16, stride: 2}]}
space: {bank: [paper, linear], shared_ratio: [1.0, 0.5]}
search: {trials: 2, workers: 0}
"""
ARCHITECTURE = Architecture(Backbone((Stage(8),)), (LayerChoice("paper", 0.5),))

WRONG_EXPERIMENTS = {
    "unknown key": (
        EXPERIMENT.replace("trials: 2", "trails: 2"),
        ["wrong.yaml: ", "`search.trails` is no key", "Did you mean `trials`?"],
    ),
    "unknown primitive": (
        EXPERIMENT.replace("[paper, linear]", "[paper, gausian]"),
        ["wrong.yaml: ", "`space.bank`", "no bank or primitive `gausian`", "Did you mean `gaussian`?"],
    ),
    "unknown dataset": (
        EXPERIMENT.replace("multi_mnist", "multi_mnst"),
        ["wrong.yaml: ", "`dataset.name`", "no dataset `multi_mnst`", "Did you mean `multi_mnist`?"],
    ),
    "misspelt sampler": (
        EXPERIMENT.replace("workers: 0", "sampler: tpee"),
        ["wrong.yaml: ", "`search.sampler`", "but got 'tpee'", "Did you mean `tpe`?"],
    ),
    "misspelt task of a weight": (
        EXPERIMENT + "training: {balancing: {name: fixed, weights: {lft: 1}}}",
        ["there is no task `lft`", "Did you mean `left`?"],
    ),
    "misspelt metric of the target": (
        EXPERIMENT.replace("workers: 0", "target: {metric: left/acuracy, value: 0.9}"),
        ["no metric for `search.target` `left/acuracy`", "Did you mean `left/accuracy`?"],
    ),
    "accuracy in percent": (
        EXPERIMENT.replace("workers: 0", "target: {value: 90}"),
        ["`search.target.value` must be at most 1 for the accuracy, but got 90"],
    ),
    "banks that are joined": (
        EXPERIMENT.replace("[paper, linear]", "[paper+max_pool, linear]"),
        ["`space.bank`", "may join and repeat primitives only, and `paper` is none", "but got 'paper+max_pool'"],
    ),
    "dataset that cannot be imported": (
        EXPERIMENT.replace("multi_mnist, train: 500", '"nosuch.module:Name"'),
        ["wrong.yaml: dataset `nosuch.module:Name` cannot be imported: there is no module `nosuch`."],
    ),
    "ratio of 1.3": (
        EXPERIMENT.replace("0.5", "1.3"),
        ["wrong.yaml: ", "`space.shared_ratio.1`", "less than or equal to 1", "but got 1.3"],
    ),
    "nothing to choose": (
        EXPERIMENT.replace("[paper, linear]", "paper").replace("[1.0, 0.5]", "0.5"),
        ["wrong.yaml: ", "`space` leaves nothing to choose", "two options or more"],
    ),
    "a list": ("- dataset\n- space\n", ["wrong.yaml: ", "must be a mapping with keys", "['dataset', 'space']"]),
    "not YAML": ("dataset: {name: [\nspace: }\n", ["wrong.yaml: ", "is not YAML", "line 2"]),
}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below, with its bytes."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in sorted(folder.rglob("*"))}


class Ended(NamedTuple):
    """What a command left: its status, and what it printed."""

    status: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command in a folder."""

    def __call__(self, folder: Path, *arguments: str) -> Ended: ...


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """In this process: what is imported stays."""

    def called(folder: Path, *arguments: str) -> Ended:
        monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", ["mtl-search", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return Ended(int(ended.value.code or 0), *capsys.readouterr())

    return called


def run_alone(folder: Path, *arguments: str) -> Ended:
    """In a process of its own."""
    command = [sys.executable, "-m", "mtl_search.cli", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    return Ended(done.returncode, done.stdout, done.stderr)


def assert_refused(run: Run, folder: Path, arguments: list[str], fragments: list[str]) -> None:
    """Status 2, one line on standard error with every fragment, nothing on standard output, nothing written."""
    before = contents(folder)
    done = run(folder, *arguments)
    assert done.err.count("\n") == 1, done.err
    assert done.err.startswith("error: ")
    assert "Traceback" not in done.err
    for fragment in fragments:
        assert fragment in done.err
    assert (done.status, done.out) == (2, "")
    assert contents(folder) == before


@pytest.mark.parametrize("command", ["search", "check"])
@pytest.mark.parametrize(("text", "fragments"), WRONG_EXPERIMENTS.values(), ids=WRONG_EXPERIMENTS)
def test_wrong_experiment(run: Run, tmp_path: Path, command: str, text: str, fragments: list[str]) -> None:
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    assert_refused(run, tmp_path, [command, "wrong.yaml"], fragments)


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        ("search", "unknown key"),
        pytest.param("search", "ratio of 1.3", marks=pytest.mark.slow),
        pytest.param("check", "misspelt task of a weight", marks=pytest.mark.slow),
        pytest.param("check", "unknown dataset", marks=pytest.mark.slow),
        pytest.param("check", "not YAML", marks=pytest.mark.slow),
    ],
)
def test_wrong_experiment_in_a_process_of_its_own(tmp_path: Path, command: str, kind: str) -> None:
    text, fragments = WRONG_EXPERIMENTS[kind]
    (tmp_path / "wrong.yaml").write_text(text, encoding="utf-8")
    assert_refused(run_alone, tmp_path, [command, "wrong.yaml"], fragments)


WRONG_ARGUMENTS = [
    (["search", "missing.yaml"], ["missing.yaml: there is no such file"]),
    (["check", "missing.yaml"], ["missing.yaml: there is no such file"]),
    (["search", "quickstrt"], ["there is no experiment `quickstrt`", "Did you mean `quickstart`?"]),
    (["search", "quickstart", "--workers", "-1"], ["`search.workers`", "a whole number from 0 to", "but got -1"]),
    (["search", "quickstart", "--trials", "0"], ["`search.trials`", "but got 0"]),
    (["search", "quickstart", "--set", "training.epoch=3"], ["`training.epoch` is no key", "`epochs`?"]),
    (["check", "quickstart", "--set", "training.epochs"], ["--set training.epochs", "must be `dotted.key=value`"]),
    (["status", "nowhere"], ["nowhere: there is no such folder"]),
    (["compare", "--like", "quickstart", "--baselines", ","], ["`--baselines`", "or `none`, but got none"]),
    (["compare", "--like", "quickstart", "--baselines", "mtan@x"], ["baseline `mtan` has no variants"]),
    (["list", "spacs"], ["there is no list of `spacs`", "Did you mean `spaces`?"]),
    (["compare"], ["give the folder of a run, or `--dataset NAME`"]),
    (["compare", "nowhere"], ["nowhere: there is no such folder"]),
    (["compare", "--dataset", "multi_mnis"], ["there is no dataset `multi_mnis`", "Did you mean `multi_mnist`?"]),
    (["compare", "--dataset", "fashion_mnist"], ["on `fashion_mnist`", "`--like EXPERIMENT`"]),
    (["compare", "--like", "quickstart", "--seeds", "0"], ["`seeds` must be from 1 to 1,000, but got 0"]),
    (["compare", "--like", "quickstart", "--baselines", "recn"], ["no baseline `recn`", "Did you mean `recon`?"]),
    (["train", "recon"], ["a baseline holds no data", "`--dataset NAME`"]),
    (["train", "recn", "--like", "quickstart"], ["no baseline `recn`", "Did you mean `recon`?"]),
    (["show", "missing.json"], ["missing.json: cannot be read: No such file or directory"]),
]


@pytest.mark.parametrize(
    ("arguments", "fragments"), WRONG_ARGUMENTS, ids=[" ".join(arguments) for arguments, _ in WRONG_ARGUMENTS]
)
def test_wrong_argument(run: Run, tmp_path: Path, arguments: list[str], fragments: list[str]) -> None:
    assert_refused(run, tmp_path, arguments, fragments)


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "nowhere"],
        *(
            pytest.param(one, marks=pytest.mark.slow)
            for one in (
                ["compare", "--like", "quickstart", "--baselines", "recn"],
                ["list", "spacs"],
                ["train", "recon"],
                ["show", "missing.json"],
            )
        ),
    ],
    ids=" ".join,
)
def test_wrong_argument_in_a_process_of_its_own(tmp_path: Path, arguments: list[str]) -> None:
    (fragments,) = [fragments for one, fragments in WRONG_ARGUMENTS if one == arguments]
    assert_refused(run_alone, tmp_path, arguments, fragments)


def test_output_folder_that_is_used(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ok.yaml").write_text(EXPERIMENT, encoding="utf-8")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine", encoding="utf-8")
    fragments = ["out: the output folder must be new or empty", "it holds files already"]
    assert_refused(run, tmp_path, ["search", "ok.yaml", "--out", "out"], fragments)


def test_output_folder_that_is_an_address(run: Run, tmp_path: Path) -> None:
    (tmp_path / "ok.yaml").write_text(EXPERIMENT, encoding="utf-8")
    fragments = ["must be a folder, not an address", "Mount the storage"]
    assert_refused(run, tmp_path, ["search", "ok.yaml", "--out", "s3://bucket/run"], fragments)


@pytest.mark.parametrize("command", [["status"], ["resume"], ["report"], ["export"], ["compare"]])
def test_a_folder_that_is_not_there_or_a_file(run: Run, tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "runs" / "quickstart").mkdir(parents=True)
    (tmp_path / "runs" / "quickstars").write_text("", encoding="utf-8")
    fragments = ["runs/quickstrt: there is no such folder", "Did you mean `runs/quickstart`?"]
    assert_refused(run, tmp_path, [*command, "runs/quickstrt"], fragments)
    assert_refused(run, tmp_path, [*command, "rns/quickstart"], ["rns/quickstart: there is no", "and no folder rns"])
    assert_refused(run, tmp_path, [*command, "runs/quickstars"], ["runs/quickstars: it is a file, not a folder"])


def test_status_of_a_folder_that_is_no_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert_refused(run, tmp_path, ["status", "empty"], ["empty: is not the folder of a run", "no experiment.yaml"])


def test_show_of_a_wrong_architecture(run: Run, tmp_path: Path) -> None:
    wrong = ARCHITECTURE.to_json().replace("0.5", "1.3")
    (tmp_path / "wrong.json").write_text(wrong, encoding="utf-8")
    assert_refused(run, tmp_path, ["show", "wrong.json"], ["wrong.json: ", "`layers.0.shared_ratio`", "but got 1.3"])


@pytest.mark.parametrize("place", ["missing/layers.svg", "."])
def test_a_drawing_that_cannot_be_written(run: Run, tmp_path: Path, place: str) -> None:
    (tmp_path / "layers.json").write_text(ARCHITECTURE.to_json(), encoding="utf-8")
    assert_refused(run, tmp_path, ["show", "layers.json", "--svg", place], [f"{place}: cannot be written: "])


def test_train_of_a_file_needs_data(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(ARCHITECTURE.to_json(), encoding="utf-8")
    assert_refused(
        run, tmp_path, ["train", "a.json"], ["a file holds no data", "`--dataset NAME`", "`--like EXPERIMENT`"]
    )


def test_check_of_options_that_the_dataset_has_not(run: Run, tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text(EXPERIMENT.replace("train: 500", "trian: 500"), encoding="utf-8")
    fragments = ["`dataset.trian` is no option of `multi_mnist`", "Did you mean `train`?"]
    assert_refused(run, tmp_path, ["check", "wrong.yaml"], fragments)


@pytest.mark.parametrize("command", ["search", "check"])
def test_a_shift_that_leaves_nothing_of_a_picture(run: Run, tmp_path: Path, command: str) -> None:
    (tmp_path / "wrong.yaml").write_text(EXPERIMENT + "training: {augmentation: {shift: 36}}\n", encoding="utf-8")
    rule = "`training.augmentation.shift` must be below the shorter side of the inputs, 36 pixels, but got 36."
    assert_refused(run, tmp_path, [command, "wrong.yaml"], ["wrong.yaml: ", rule])


def test_a_run_brings_its_own_data(run: Run, tmp_path: Path) -> None:
    fragments = ["--epochs is for a comparison without a run", "run brings its own"]
    assert_refused(run, tmp_path, ["compare", "run", "--epochs", "3"], fragments)
