"""The README's Python runs, and the command lines that it shows exist."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from mtl_search.cli.commands import app
from mtl_search.spaces.experiment import parse_experiment
from mtl_search.spaces.yaml_files import read_yaml

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
YAML = re.findall(r"```yaml\n(.*?)```", README, flags=re.DOTALL)


@pytest.mark.parametrize("number", range(len(PYTHON)))
@pytest.mark.thin(3)
def test_python_block_runs(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(PYTHON[number], f"README block {number}", "exec"), {})
    assert "from-python" not in PYTHON[number] or (tmp_path / "results" / "from-python" / "pareto.html").exists()


def test_yaml_block_is_an_experiment(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(YAML[0], encoding="utf-8")
    experiment = parse_experiment(read_yaml(tmp_path / "my.yaml"), "my.yaml")
    assert experiment.search_space.size > 1000


def test_every_command_named_exists() -> None:
    commands = set(get_command(app).commands)  # type: ignore[attr-defined]
    named = set(re.findall(r"mtl-search ([a-z]+)", README))
    assert named
    assert named <= commands, named - commands
