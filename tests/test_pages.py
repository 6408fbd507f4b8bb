"""The README and the pages of docs/: what they show runs, what they name is there, and what is made is whole."""

import ast
import re
import shlex
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from typer.main import get_command

import mtl_search
import reference
from made_pages import ROOT, Block, blocks, commands, follow, page, sections
from mtl_search import compare, load_dataset, load_space, search
from mtl_search.cli.commands import app
from mtl_search.runs.folder import Run
from mtl_search.spaces.experiment import load_experiment

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")

PAGES = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
ELSEWHERE = {
    "docs/own-data.md": "test_own_data_page.py",
    "docs/predict.md": "test_predict.py",
    "docs/tables.md": "test_tables_page.py",
    "docs/tracking.md": "test_tracking_page.py",
    "docs/architecture.md": "test_architecture_page.py",
}
"""Page -> the file of the tests that follow it."""
INSTALLS = {"README.md": 1, "docs/index.md": 1, "docs/datasets.md": 1}
"""Page -> how many of its blocks install something: a test looks at what they name, and installs nothing."""
NOT_RUN = {
    "docs/cluster.md": "several machines; its search on a cluster of three nodes is that of test_cluster.py",
    "docs/security.md": "a file of somebody else; `--no-code` is tried by test_own_code.py",
}
"""Page -> why its blocks are not run here."""
FOLLOWED = ["docs/tutorial-table.md", "docs/tutorial-pictures.md"]
"""Pages that are followed from their beginning to their end, as they stand."""
SHORT = "--trials 1 --epochs 1 --workers 0"
SMALL = "--set dataset.train=200 --set dataset.val=100 --set dataset.test=100"


def test_every_page_with_blocks_is_run_somewhere() -> None:
    own = {*FOLLOWED, "README.md"} | {f"docs/{name}.md" for name in ("tutorial-python", "kinds", "export", "runs")}
    own |= {f"docs/{name}.md" for name in ("comparing", "search-space", "long-searches")}
    with_blocks = {name for name in PAGES if re.search(r"^```", page(name), flags=re.MULTILINE)}
    assert with_blocks == own | set(ELSEWHERE) | set(INSTALLS) | set(NOT_RUN)
    assert not [name for name in ELSEWHERE.values() if not (ROOT / "tests" / name).is_file()]
    for name, count in INSTALLS.items():
        assert len([text for _, text in blocks(page(name)) if "pip install" in text]) == count


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, with a cache of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("name", FOLLOWED)
def test_page_can_be_followed(name: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    follow(blocks(page(name)), monkeypatch)
    assert list(here.glob("results/*/pareto.html"))
    assert len(list(here.glob("*.csv"))) >= 1


@pytest.mark.slow
def test_readme_can_be_followed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its three commands on the table of the tutorial, its Python, its experiment."""
    follow(blocks(page("docs/tutorial-table.md"), "python"), monkeypatch)
    found = [(language, text) for language, text in blocks(page("README.md")) if "pip" not in text]
    (here / "my.yaml").write_text(next(text for language, text in found if language == "yaml"), encoding="utf-8")
    follow([block for block in found if block[0] != "yaml"], monkeypatch, {"mtl-search search": SHORT})
    assert (here / "predictions.csv").read_text(encoding="utf-8").startswith("kind,kind/flat,")
    assert load_experiment("my.yaml").search_space.size > 1000
    follow([("", f"mtl-search check my.yaml {SMALL}\n")], monkeypatch)


@pytest.mark.parametrize(
    ("name", "number"),
    [*(pytest.param("tutorial-python", number, marks=pytest.mark.slow) for number in range(4)), ("kinds", 0)],
)
def test_python_block_runs(name: str, number: int, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = blocks(page(f"docs/{name}.md"), "python")
    assert number < len(found) <= 4
    follow([found[number]], monkeypatch)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A small search, the RUN of the pages."""
    dataset = load_dataset("multi_mnist", train=200, val=100, test=100)
    out = tmp_path_factory.mktemp("searched") / "run"
    return search(load_space("quickstart"), dataset, trials=2, workers=0, epochs=1, seed=0, out=out)


@pytest.fixture(scope="module")
def compared(searched: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with a comparison."""
    folder = tmp_path_factory.mktemp("compared") / "run"
    shutil.copytree(searched.path, folder)
    compare(folder, baselines=["hard_sharing"], picks=[str(searched.front[0].number)], seeds=1, workers=0)
    return folder


def of_run(found: list[Block], run: Path, number: int) -> list[Block]:
    """Blocks whose RUN is a run, and whose trial is one that it has."""
    changed = [(language, re.sub(r"\bRUN:(trial-)?7\b", rf"RUN:\g<1>{number}", text)) for language, text in found]
    return [(language, re.sub(r"\bRUN\b", str(run), text)) for language, text in changed]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["runs", "export"])
def test_commands_for_a_run_work(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch, searched: Run, compared: Path
) -> None:
    shutil.copytree(compared, here / "run")
    np.savez("data.npz", inputs=np.zeros((3, 1, 36, 36), np.uint8))
    found = of_run(blocks(page(f"docs/{name}.md")), Path("run"), searched.front[0].number)
    found = [(language, text.replace("DATA", "data.npz")) for language, text in found]
    follow(
        [("", "\n".join(line for line in commands(text) if "pip install" not in line)) for _, text in found[:1]],
        monkeypatch,
        {"mtl-search resume": "--trials 3 --workers 0", "mtl-search train": "--seeds 1 --epochs 1"},
    )
    for model in here.glob("run/exports/*/model.onnx"):
        shutil.copy(model, "model.onnx")
    follow(found[1:], monkeypatch)
    assert name == "runs" or (here / "model.onnx").exists()


COMPARISONS = commands(blocks(page("docs/comparing.md"))[0][1])


@pytest.mark.slow
@pytest.mark.parametrize("line", COMPARISONS)
def test_comparison_runs(line: str, here: Path, monkeypatch: pytest.MonkeyPatch, searched: Run) -> None:
    """With fewer baselines, seeds and trials of each; options that stand twice count as the last says."""
    shutil.copytree(searched.path, here / "run")
    less = "--baselines hard_sharing --seeds 1 --workers 0"
    less += "".join(f" {option} {value}" for option, value in (("--tune", "2"),) if option in line)
    less += " --epochs 1 --out out" if "--dataset" in line else " --pick knee"
    follow(of_run([("", line)], Path("run"), 0), monkeypatch, {"mtl-search": less})
    assert list(here.glob("*/report.html"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["search-space", "long-searches"])
def test_experiments_are_searched(name: str, here: Path, monkeypatch: pytest.MonkeyPatch, searched: Run) -> None:
    shutil.copytree(searched.path, here / "run")
    found = of_run(blocks(page(f"docs/{name}.md")), Path("run"), 0)
    more = {
        "mtl-search search": f"{SHORT} {SMALL}",
        "mtl-search check": SMALL,
        "mtl-search resume": "--trials 3 --workers 0",
    }
    follow(sorted(found, key=lambda block: block[0] != "yaml"), monkeypatch, more)
    experiments = [load_experiment(path.name) for path in here.glob("*.yaml")]
    assert len(experiments) == len([language for language, _ in found if language == "yaml"])


@pytest.mark.parametrize("name", PAGES)
def test_every_command_line_can_be_said(name: str) -> None:
    """Each names a command, and options that it has."""
    group = get_command(app)
    lines = [line for _, text in blocks(page(name), "|bash") for line in commands(text)]
    lines += re.findall(r"`(mtl-search [^`…]+)`", page(name))
    for line in lines:
        if not line.startswith("mtl-search ") or "COMMAND" in line:
            continue
        words = shlex.split(line)
        command = group.commands[words[1]]  # type: ignore[attr-defined]
        known = {option for one in command.params for option in one.opts}
        said = [word.partition("=")[0] for word in words[2:] if word.startswith("--")]
        assert set(said) <= known | {"--help"}, line


def test_what_is_installed_is_there_to_be() -> None:
    extras = tomllib.loads(page("pyproject.toml"))["project"]["optional-dependencies"]
    named = {name for one in [*PAGES, "CONTRIBUTING.md"] for name in re.findall(r"-e '\.\[(\w+)\]'", page(one))}
    assert named
    assert named <= set(extras)


def test_the_readme_is_short_and_shows_what_it_names() -> None:
    assert len(page("README.md").splitlines()) <= 150
    for name in re.findall(r"\]\(([^)#]+)\)", page("README.md")):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize("name", sorted(set(PAGES) - {"README.md"}))
def test_every_page_has_its_place(name: str) -> None:
    assert f": {name.removeprefix('docs/')}\n" in page("mkdocs.yml")


def test_every_public_name_is_in_the_reference() -> None:
    named = set(re.findall(r"^::: mtl_search\.(\w+)$", page("docs/reference-python.md"), flags=re.MULTILINE))
    assert set(mtl_search._HOMES) <= named


def strings(tree: ast.AST) -> list[str]:
    """The texts of a module, with … where something is put into them."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append("".join(str(one.value) if isinstance(one, ast.Constant) else "…" for one in node.values))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.append(node.value)
    return found


def test_every_message_is_one_of_the_code() -> None:
    source = "\n".join(
        text
        for path in sorted((ROOT / "mtl_search").rglob("*.py"))
        for text in strings(ast.parse(path.read_text(encoding="utf-8")))
    )
    messages = re.findall(r"^#### (`+) ?(.+?) ?\1$", page("docs/troubleshooting.md"), flags=re.MULTILINE)
    assert len(messages) > 40
    assert [message for _, message in messages if message not in source] == []


@pytest.mark.parametrize("name", reference.PAGES)
def test_pages_are_made_from_the_code(name: str) -> None:
    made = reference.PAGES[name]()
    assert made.startswith("# ")
    for text in {
        "reference-experiment.md": ["`learning_rate`", "a whole number from 1 to 256", "## search.early_stopping"],
        "reference-options.md": ["### `cagrad`", "a number from 0, below 1, `0.4` if left out", "`missing_inputs`"],
        "reference-commands.md": ["## compare", "`--budget BUDGET`"],
    }[name]:
        assert text in made, text


def test_a_key_without_a_word_about_it_is_found_out() -> None:
    with pytest.raises(ValueError, match=r"`x\.epochs` has no description"):
        list(reference.rows({"properties": {"epochs": {"type": "integer"}}}, {}, "x."))


def test_sections_are_told_apart() -> None:
    assert sections("# A\n## B\n```yaml\n# b.yaml\n```\n## C\n```\nmtl-search x  # why\n```\n") == {
        "B": [("yaml", "# b.yaml\n")],
        "C": [("", "mtl-search x  # why\n")],
    }
    assert commands("mtl-search x  # why\n# all\n\n") == ["mtl-search x", "# all"]
