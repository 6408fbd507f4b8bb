"""The page about own data runs: its Python makes files, its experiments and commands are those of a user."""

import re
import sys
from pathlib import Path

import pytest

from mtl_search.cli.commands import main

PAGE = (Path(__file__).parent.parent / "docs" / "own-data.md").read_text(encoding="utf-8")
SECTIONS = {
    text.partition("\n")[0]: re.findall(r"```(python|yaml|)\n(.*?)```", text, flags=re.DOTALL)
    for text in PAGE.split("\n## ")[1:]
}
EXAMPLES = {title: blocks for title, blocks in SECTIONS.items() if blocks}


def test_every_way_has_an_example() -> None:
    names = re.findall(r"^\| [^|]+ \| `([a-z_.:]+)` \|", PAGE.partition("\n## ")[0], flags=re.MULTILINE)
    text = "".join(block for blocks in EXAMPLES.values() for _, block in blocks)
    assert names.pop(0) == "dataset.name"
    assert "table" in names
    for name in names:
        assert f"name: {name}" in text or name == "my_package.module:function"


@pytest.mark.parametrize("title", EXAMPLES)
@pytest.mark.thin(3)
def test_example_runs(
    title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for language, block in EXAMPLES[title]:
        if language == "python":
            exec(compile(block, title, "exec"), {})
        elif language == "yaml":
            name = re.match(r"# ([a-z]+\.yaml)\n", block)
            assert name is not None
            (tmp_path / name[1]).write_text(block, encoding="utf-8")
        else:
            for line in block.splitlines():
                assert_succeeds(line, monkeypatch, capsys)
    compared = list(tmp_path.glob("results/*/report.json"))
    assert len(compared) == 1
    assert "hard_sharing" in compared[0].read_text(encoding="utf-8")


def assert_succeeds(line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A command line ends with status 0, run in this process."""
    arguments = line.split()
    assert arguments[0] == "mtl-search"
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code in (0, None), f"{line}: {capsys.readouterr().err}"
