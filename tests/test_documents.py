"""Prove that the documents name only commands, flags, targets and files that exist, and that their Python runs."""

import ast
import importlib
import json
import pathlib
import re
import shlex
import shutil

import pytest

from kits_tf.cli import app
from kits_tf.errors import UsageError
from kits_tf.inference import engines, segmenter
from tests import planted

ROOT = pathlib.Path(__file__).resolve().parents[1]
FOLDERS = ("", *(f"{name}/**/" for name in ("docs", "checkpoints", "experiments", "serving", "kits_tf")))
PAGES = sorted(path.relative_to(ROOT) for folder in FOLDERS for path in ROOT.glob(f"{folder}*.md"))
NOTEBOOKS = sorted(path.relative_to(ROOT) for path in ROOT.glob("docs/**/*.ipynb"))
DOCUMENTS = [*PAGES, *NOTEBOOKS]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
NOT_RUN = "<!-- not run: "


def text_of(path: pathlib.Path | str) -> str:
    """Return the text of a document, that of a notebook as Markdown."""
    text = (ROOT / path).read_text(encoding="utf-8")
    return text if str(path).endswith(".md") else "\n\n".join(map(markdown_of, json.loads(text)["cells"]))


def markdown_of(cell: dict) -> str:
    source = "".join(cell["source"])
    return source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```\n"


def code_of(text: str) -> str:
    """Return the fenced blocks without a language, that is, commands; continued lines are joined."""
    blocks = re.findall(r"^```(\S*)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return "\n".join(block for language, block in blocks if not language).replace("\\\n", " ")


def command_lines(text: str) -> list[list[str]]:
    """Return the lines that start one of this package's commands, as lists of words."""
    lines = (re.sub(r"^.*?(?=kits-)", "", line.strip()) for line in text.splitlines() if "kits-" in line)
    return [words for words in map(shlex.split, lines) if words and re.fullmatch(r"kits-(?!tf)\w+", words[0])]


def python_blocks(text: str) -> list[tuple[str, str]]:
    """Return (why it is not run or "", code) of each block of Python."""
    return re.findall(rf"(?:^{NOT_RUN}(.+) -->\n)?^```python\n((?:.*\n)*?)^```", text, re.MULTILINE)


def anchors_of(path: pathlib.Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=str)
def test_notebooks_are_kept_without_outputs(path):
    notebook = json.loads((ROOT / path).read_text(encoding="utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook["cells"])


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_lead_somewhere(path):
    prose = re.sub(r"^```.*?^```", "", text_of(path), flags=re.DOTALL | re.MULTILINE)
    for link in re.findall(r"\]\(([^)\s]+)", prose):
        if "://" in link:
            continue
        target, _, anchor = link.partition("#")
        file = ROOT / path.parent / target if target else ROOT / path
        assert file.exists(), link
        assert not anchor or anchor in anchors_of(file), link


@pytest.mark.parametrize("words", [w for p in DOCUMENTS for w in command_lines(code_of(text_of(p)))], ids=" ".join)
def test_documented_commands_have_usable_flags(words):
    command = importlib.import_module(f"kits_tf.cli.{words[0].removeprefix('kits-')}")
    words = [word for word in words if word not in ("...", "&")]
    try:
        app.parse(command.FLAGS, words)
    except UsageError as error:
        assert "is required" in str(error)


def test_the_demos_commands_have_usable_flags():
    recipe = MAKEFILE[MAKEFILE.index("\ndemo:") : MAKEFILE.index("\ntest:")]
    commands = command_lines(recipe.replace("\\\n", " "))
    assert [words[0] for words in commands] == ["kits-simulate", "kits-predict", "kits-evaluate", "kits-report"]
    for words in commands:
        app.parse(importlib.import_module(f"kits_tf.cli.{words[0][5:]}").FLAGS, words)
    assert (ROOT / re.findall(r"cp -R (\S+) ", recipe)[0] / "imaging.nii.gz").is_file()


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_commands_and_targets_exist(path):
    text = text_of(path)
    former = r"`kits-\w+` is now " if path.name == "CHANGELOG.md" else "$^"
    for command in re.findall(r"\bkits-([a-z]+)\b(?!\[)", re.sub(former, "", text)):
        assert command == "tf" or (ROOT / "kits_tf" / "cli" / f"{command}.py").is_file(), command
    for target in re.findall(r"`make ([a-z]+)", text) + re.findall(r"^make ([a-z]+)", code_of(text), re.MULTILINE):
        assert f"\n{target}:" in MAKEFILE, target


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a small CT and its labels under the names that the documents use."""
    folder = tmp_path_factory.mktemp("documents")
    case = planted.write_case(folder, 0)
    shutil.copy(case / "imaging.nii.gz", folder / "scan.nii.gz")
    (folder / "segmented").mkdir()
    shutil.copy(case / "segmentation.nii.gz", folder / "segmented" / "scan_segmentation.nii.gz")
    return folder


loaded = {}


def load_segmenter_once(*arguments, load=segmenter.load_segmenter, **options):
    """Load the same networks once for all documents."""
    key = repr((arguments, options))
    loaded[key] = loaded.get(key) or load(*arguments, **options)
    return loaded[key]


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if python_blocks(text_of(path))], ids=str)
def test_python_runs(path, inputs, monkeypatch):
    """The blocks of a document run one after the other in one namespace, those that cannot at least parse."""
    monkeypatch.chdir(inputs)
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setattr(engines, "resolve", lambda *_: "tensorflow")  # converting networks takes half a minute
    monkeypatch.setattr(segmenter, "load_segmenter", load_segmenter_once)
    names = {"__name__": "document"}
    blocks = python_blocks(text_of(path))
    assert text_of(path).count(NOT_RUN) == sum(bool(reason) for reason, _ in blocks), "a reason without a block"
    for reason, code in blocks:
        ast.parse(code)
        if not reason:
            exec(compile(code, str(path), "exec"), names)
