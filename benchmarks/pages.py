"""What README.md repeats of code and records: written there between two marks, so that it cannot come to differ.

python -m benchmarks.pages            writes README.md anew
python -m benchmarks.pages --check    fails if it is not what code and records say
"""

import ast
import inspect
import re
import sys
from collections.abc import Callable
from pathlib import Path

from boardsae import DEFAULT_TASK, leaderboard, records
from boardsae.leaderboard import View
from boardsae.listing import list_models
from boardsae.metrics import METRICS
from boardsae.saes import CONTROLS, METHODS
from boardsae.tables import markdown

ROOT = Path(__file__).parent.parent
SHOWN_AT = 20.0
FOLDERS = ("games", "boardsae", "benchmarks", "tests")


def into(page: str, name: str, block: str) -> str:
    """The page with what stands between the two marks of a name replaced."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    head, first, rest = page.partition(begin)
    _, second, tail = rest.partition(end)
    if not (first and second):
        raise ValueError(f"expected {begin!r} and then {end!r} in the page")
    return f"{head}{begin}\n\n{block.strip()}\n\n{end}{tail}"


def into_readme(name: str, block: str) -> None:
    readme = ROOT / "README.md"
    readme.write_text(into(readme.read_text(), name, block))


def excerpt() -> str:
    """The leaderboard at one L0, and its controls."""
    found = records.published(ROOT / "results")  # without a quickstart's
    board = leaderboard.board(found, DEFAULT_TASK, View(at=(SHOWN_AT,)), leaderboard.HEADLINE[:4])
    return markdown([table for table in leaderboard.tables(board) if " at " in table.title])


def variants() -> str:
    lines = ["| variant | idea | formula |", "|---|---|---|"]
    for variant in (*METHODS, *CONTROLS):
        module, doc = sys.modules[variant.__module__], inspect.getdoc(variant) or ""
        idea = "control" if variant in CONTROLS else first(inspect.getdoc(module) or "")
        lines.append(f"| `{variant.name}` | {cell(idea)} | {cell(first(doc))} |")
    return "\n".join(lines)


def metrics() -> str:
    lines = ["| metric | better | definition | what it does not say |", "|---|---|---|---|"]
    for name, metric in METRICS.items():
        words = (metric.direction or "neither", metric.definition, metric.weakness or "-")
        lines.append(f"| `{name}` | " + " | ".join(map(cell, words)) + " |")
    return "\n".join(lines)


def models() -> str:
    """The reference models with their gates, as `boardsae list models` has them."""
    head, *rows = (line.split("\t") for line in list_models(None))
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "--:|" * (len(head) - 3) + "---|"]
    return "\n".join(
        [*lines, *("| " + " | ".join([f"`{row[0]}`", *map(cell, row[1:])]) + " |" for row in rows)]
    )


def files() -> str:
    """Every Python file with the first sentence of its docstring."""
    lines = ["```"]
    for folder in FOLDERS:
        lines.append(f"{folder}/")
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT / folder).as_posix()
            doc = first(ast.get_docstring(ast.parse(path.read_text())) or "")
            if doc:
                lines.append(f"  {name:<28} {sentence(doc)}")
    return "\n".join([*lines, "```"])


def first(doc: str) -> str:
    """The first paragraph, on one line."""
    return " ".join(doc.split("\n\n")[0].split())


def sentence(doc: str) -> str:
    """The first sentence; the point of "et al." ends none."""
    return re.split(r"(?<!al)\.(?:\s|$)", doc)[0].rstrip(".,:")


def cell(words: str) -> str:
    return words.rstrip(",:").replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


SECTIONS: dict[str, Callable[[], str]] = {
    "leaderboard": excerpt,
    "models": models,
    "variants": variants,
    "metrics": metrics,
    "files": files,
}


def written(page: str) -> str:
    for name, block in SECTIONS.items():
        page = into(page, name, block())
    return page


def main() -> None:
    readme = ROOT / "README.md"
    page = written(readme.read_text())
    if sys.argv[1:] == ["--check"]:
        if page != readme.read_text():
            sys.exit("README.md is not what code and records say: python -m benchmarks.pages writes it")
        return
    readme.write_text(page)


if __name__ == "__main__":
    main()
