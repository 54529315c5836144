"""What the documents say is so: commands exist, have help, and are shown."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from benchmarks import pages
from boardsae import cli, leaderboard, scoring
from boardsae.saes import VARIANTS
from boardsae.saes.base import options_of

ROOT = Path(__file__).parent.parent
PAGES = [
    *(
        ROOT / f"{page}.md"
        for page in ("README", "ARCHITECTURE", "EXTENDING", "benchmarks/README", "benchmarks/CLUSTER")
    ),
    *(ROOT / "games").rglob("README.md"),
]
COMMANDS = typer.main.get_command(cli.app).commands


def shown_lines():
    """Every command line of the pages that calls boardsae, up to a comment."""
    for page in PAGES:
        for block in re.findall(r"```(?:sh|console)\n(.*?)```", page.read_text(), re.S):
            for line in block.splitlines():
                if line.startswith(("boardsae ", "$ boardsae ")):
                    words = shlex.split(line.removeprefix("$ "), comments=True)
                    while words[1] == "--plugin":
                        del words[1:3]
                    yield page.name, words


def test_every_command_has_help_and_stands_in_the_readme():
    readme = (ROOT / "README.md").read_text()
    for name, command in COMMANDS.items():
        assert command.help, name
        assert all(parameter.help for parameter in command.params if parameter.name != "help"), name
        assert f"boardsae {name}" in readme, name


def test_every_command_line_in_the_pages_exists():
    lines = list(shown_lines())
    assert len(lines) >= 8
    for page, (_, name, *words) in lines:
        options = {option for parameter in COMMANDS[name].params for option in parameter.opts}
        if name == "train-sae":  # takes the options of every variant, of plug-ins too
            if page == "EXTENDING.md":
                continue
            options |= {
                f"--{o.replace('_', '-')}" for variant in VARIANTS.values() for o in options_of(variant)
            }
        assert {word for word in words if word.startswith("--")} <= options, (page, name, words)


def test_what_the_readme_repeats_of_code_and_records_is_so():
    readme = (ROOT / "README.md").read_text()
    assert pages.written(readme) == readme, "python -m benchmarks.pages writes it"


def test_committed_tables_are_those_of_the_records():
    assert not leaderboard.differing(ROOT / "results", ())


def test_readme_names_the_commands_that_ci_and_a_stranger_run():
    readme = (ROOT / "README.md").read_text()
    assert "make test" in readme
    assert "make quickstart" in readme
    assert re.search(r"^make test$", (ROOT / ".ci" / "run").read_text(), re.M)


def test_no_page_holds_a_path_of_some_machine():
    paths = re.compile(r"/home/|/root/|/tmp/|/Users/")
    tracked = [page for pattern in ("*.md", "*.toml", "Makefile") for page in ROOT.glob(pattern)]
    tracked += [
        page for folder in ("games", "boardsae", "benchmarks") for page in (ROOT / folder).rglob("*.py")
    ]
    for page in tracked:
        assert not paths.search(page.read_text()), page


def test_shown_output_is_what_the_command_prints(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```console\n(\$ boardsae .*?)```", (ROOT / "README.md").read_text(), re.S)
    assert blocks
    for block in blocks:
        command, *shown = block.splitlines()
        monkeypatch.setattr("sys.argv", shlex.split(command.removeprefix("$ ")))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        printed = capsys.readouterr().out.splitlines()
        assert shown[-1] == "..."
        assert printed[: len(shown) - 1] == shown[:-1]


def test_the_readme_scores_an_sae_of_ones_own(monkeypatch, tmp_path):
    """The block as it stands there, on few games."""
    monkeypatch.chdir(tmp_path)
    (block,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
        if "boardsae.score" in code
    ]
    lines = [
        line[4:].split("  # doctest")[0] for line in block.splitlines() if line.startswith((">>>", "..."))
    ]
    space = {}
    exec("\n".join(lines).replace('task="othello6-v2"', 'task="othello6-v2", limit=20'), space)
    assert space["record"]["metrics"]["explained_variance@1"]["value"] == pytest.approx(1.0)
    assert space["record"]["comparable"] is False


def test_published_records_are_shown_as_they_are():
    """README's `boardsae score results/othello6-v2`, in a clone without weights."""
    folders = sorted(path.parent for path in (ROOT / "results").glob("*/topk/*/seed=0/scores.json"))
    assert len(folders) > 10
    assert all(scoring.kept(folder) for folder in folders)
