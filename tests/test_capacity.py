"""A trial that no machine has room for is refused at once, with what there is."""

import sys
from pathlib import Path

import pytest

from mtl_search.cli.commands import main
from mtl_search.comparison import compare as comparison
from mtl_search.errors import UserError
from mtl_search.execution.capacity import check_capacity, this_machine
from mtl_search.internal.processors import processors
from mtl_search.searching import run as runner
from mtl_search.searching.check import check
from mtl_search.spaces.experiment import load_experiment
from mtl_search.spaces.search_settings import SearchSettings

GPUS = int(this_machine()["GPU"])
TOO_MANY = GPUS + 1
ASKED = f"`search.gpus` asks for {TOO_MANY} GPU"
THERE = f"this machine has {GPUS or 'none'}"


@pytest.mark.parametrize(
    ("cpus", "gpus", "machines", "said"),
    [
        (1, 1, [{"CPU": 8}], "`search.gpus` asks for 1 GPU per trial, and here has none."),
        (1, 0.5, [{"CPU": 8}], "`search.gpus` asks for 0.5 GPU per trial, and here has none."),
        (1, 4, [{"CPU": 8, "GPU": 2}], "`search.gpus` asks for 4 GPUs per trial, and here has 2."),
        (4, 0, [{"CPU": 2}, {"CPU": 3}], "`search.cpus` asks for 4 processors per trial, and here has 3."),
        (4, 1, [{"CPU": 8}, {"CPU": 2, "GPU": 1}], "a trial asks for 4 processors and 1 GPUs of one machine"),
        (1, 1.5, [{"CPU": 8, "GPU": 2}], "`search.gpus` must be a part of one GPU or a whole number, but got 1.5."),
    ],
)
def test_what_no_machine_has_is_refused(cpus: int, gpus: float, machines: list[dict[str, float]], said: str) -> None:
    with pytest.raises(UserError) as refused:
        check_capacity(SearchSettings(cpus=cpus, gpus=gpus), machines, "here")
    assert str(refused.value).startswith(said)


@pytest.mark.parametrize(("cpus", "gpus"), [(8, 0), (2, 0.5), (2, 2)])
def test_what_one_machine_has_is_not(cpus: int, gpus: float) -> None:
    check_capacity(SearchSettings(cpus=cpus, gpus=gpus), [{"CPU": 8}, {"CPU": 2, "GPU": 2}], "here")


def test_search_and_check_refuse_before_any_data_is_read(tmp_path: Path) -> None:
    experiment = load_experiment("celeba", [f"search.gpus={TOO_MANY}"])
    for command in (check, lambda one: runner.search(one, out=tmp_path / "run")):
        with pytest.raises(UserError) as refused:
            command(experiment)
        assert str(refused.value).startswith(ASKED)
        assert f"{THERE}: `--set search.gpus={GPUS}` " in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_comparisons_refuse_too(tmp_path: Path) -> None:
    experiment = load_experiment("quickstart", [f"search.gpus={TOO_MANY}", "search.workers=2"])
    with pytest.raises(UserError, match="`--workers 0` trains in this process"):
        comparison.compare(experiment, baselines=["hard_sharing"], out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_processors_count_as_well() -> None:
    most = processors()
    with pytest.raises(UserError) as refused:
        check(load_experiment("quickstart", [f"search.cpus={most + 1}"]))
    assert f"this machine has {most}: `--set search.cpus={most}` asks for these." in str(refused.value)


def test_a_search_in_this_process_reserves_nothing() -> None:
    small = ["dataset.train=200", "dataset.val=50", "dataset.test=50", "training.batch_size=50"]
    assert check(load_experiment("quickstart", [*small, f"search.gpus={TOO_MANY}", "search.workers=0"])).tasks


@pytest.mark.skipif(GPUS > 0, reason="this machine has what the experiment asks for")
@pytest.mark.parametrize("name", ["nyuv2", "cityscapes", "celeba", "resnet18", "pascal_context"])
def test_what_is_shipped_for_gpus_is_refused_in_one_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [] if name == "resnet18" else ["--set", "dataset.root=."]
    monkeypatch.setattr(sys, "argv", ["mtl-search", "check", name, *data])
    with pytest.raises(SystemExit) as ended:
        main()
    shown = capsys.readouterr().err
    assert ended.value.code == 2
    assert shown.endswith("this machine has none: `--set search.gpus=0` trains on processors.\n")
    assert shown.count("\n") == 1
