"""The import order is the reading order, and files stay small enough to read."""

import ast
from pathlib import Path

ROOT = Path(__file__).parent.parent
ORDER = [  # a module may import only what stands above it; ARCHITECTURE.md shows the same list
    "games.draw",
    "games.core",
    "games.bits",
    "games.plain",
    "games.othello",
    "games.chess",
    "games",
    "boardsae",
    "boardsae.files",
    "boardsae.weights",
    "boardsae.memory",
    "boardsae.progress",
    "boardsae.plugins",
    "boardsae.splits",
    "boardsae.data",
    "boardsae.pgn",
    "boardsae.generate",
    "boardsae.verify",
    "boardsae.export",
    "boardsae.gpt",
    "boardsae.devices",
    "boardsae.hooked",
    "boardsae.muon",
    "boardsae.optimizers",
    "boardsae.checkpoints",
    "boardsae.activations",
    "boardsae.model_formats",
    "boardsae.play",
    "boardsae.ranks",
    "boardsae.models",
    "boardsae.beginning",
    "boardsae.train_gpt",
    "boardsae.probes",
    "boardsae.gate",
    "boardsae.tasks",
    "boardsae.saes",
    "boardsae.dictionary",
    "boardsae.foreign",
    "boardsae.runs",
    "boardsae.stream",
    "boardsae.cache",
    "boardsae.train_sae",
    "boardsae.sparsity",
    "boardsae.sweep",
    "boardsae.asked",
    "boardsae.grid",
    "boardsae.metrics",
    "boardsae.evidence",
    "boardsae.coder",
    "boardsae.features",
    "boardsae.ceiling",
    "boardsae.held_out",
    "boardsae.as_paper",
    "boardsae.subject",
    "boardsae.scorer",
    "boardsae.targets",
    "boardsae.controls",
    "boardsae.scoring",
    "boardsae.exports",
    "boardsae.imports",
    "boardsae.trial",
    "boardsae.cluster",
    "boardsae.ray_engine",
    "boardsae.records",
    "boardsae.frontier",
    "boardsae.entries",
    "boardsae.compare",
    "boardsae.tables",
    "boardsae.matching",
    "boardsae.leaderboard",
    "boardsae.looks",
    "boardsae.boards",
    "boardsae.figures",
    "boardsae.published",
    "boardsae.claimed",
    "boardsae.claims",
    "boardsae.cards",
    "boardsae.charts",
    "boardsae.report",
    "boardsae.page",
    "boardsae.parcel",
    "boardsae.model_card",
    "boardsae.hub",
    "boardsae.push",
    "boardsae.fetch",
    "boardsae.quickstart",
    "boardsae.plots",
    "boardsae.show",
    "boardsae.explain",
    "boardsae.listing",
    "boardsae.cli",
    "boardsae.__main__",
]
LINES = 400


def sources():
    return [path for folder in ("games", "boardsae") for path in sorted((ROOT / folder).rglob("*.py"))]


def module(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def place(name):
    """The place of the longest entry that the name is or lies in; a folder of a game counts as one place."""
    known = [entry for entry in ORDER if name == entry or (entry.count(".") and name.startswith(entry + "."))]
    return ORDER.index(max(known, key=len))


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            inner = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (
                name if (ROOT / (name.replace(".", "/") + ".py")).exists() else node.module for name in inner
            )


def out_of_order(mine, names):
    """What stands below the module among the names; what a place holds may import each other."""
    ours = [name for name in names if name.split(".")[0] in ("games", "boardsae")]
    return [name for name in ours if place(name) > place(mine)]


def test_modules_import_only_what_stands_above_them():
    for path in sources():
        assert not out_of_order(module(path), imported(path)), path


def test_a_module_that_stands_below_is_noticed():
    assert out_of_order("boardsae.files", ["boardsae.quickstart", "boardsae", "games.core", "json"]) == [
        "boardsae.quickstart"
    ]
    assert out_of_order("games.core", ["games.othello.rules"])
    assert not out_of_order("games.othello.game", ["games.othello.rules", "games.core"])


def test_games_know_nothing_of_boardsae():
    for path in (ROOT / "games").rglob("*.py"):
        assert not [name for name in imported(path) if name.startswith("boardsae")], path


def test_architecture_page_shows_the_order():
    page = (ROOT / "ARCHITECTURE.md").read_text()
    shown = [line.split()[0] for line in page.split("```")[1].splitlines()[1:] if line.strip()]
    assert shown == ORDER


def test_files_are_short_enough_to_read():
    long = {
        str(path.relative_to(ROOT)): n
        for path in sources()
        if (n := len(path.read_text().splitlines())) > LINES
    }
    assert not long
