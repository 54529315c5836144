"""The page that the Hub shows of a model, a run or a folder of runs: what it is, what it scored, how it is fetched.

Every word about it is read from its records; what they do not say is not said.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boardsae import gate, records, tables, tasks
from boardsae.files import read_json
from boardsae.parcel import Parcel
from boardsae.records import Run
from boardsae.scoring import HEADLINE, cell
from boardsae.tables import Table

Facts = dict[str, Any]
ABOUT_SCORES = (
    "± is half of a 95% interval over games; `boardsae show METRIC` says what each measures, and what not."
)


def card(sent: Parcel, repository: str) -> str:
    about = {"model": of_model, "run": of_run, "results": of_results}[sent.kind]
    return "\n".join([*front_matter(sent), "", f"# {sent.title}", "", *about(sent, repository)]) + "\n"


def front_matter(sent: Parcel) -> Iterator[str]:
    """YAML, each of whose values is written as JSON, which is YAML too."""
    facts = read_json(sent.folder / "model.json") if sent.kind == "model" else {}
    specs = [read_json(sent.folder / place / "spec.json") for place in sent.holds] if not facts else []
    tags = ["boardsae", "board-games", "gpt" if facts else "sparse-autoencoder"]
    tags += [facts["shape"]["game"]] if facts else sorted({str(spec["variant"]) for spec in specs})
    imported = "imported" in facts or any("imported" in spec for spec in specs)
    yield "---"
    yield f"license: {'unknown' if imported else 'mit'}"  # what others made is not ours to license
    yield "library_name: boardsae"
    yield f"tags: {json.dumps(tags)}"
    yield "---"


def of_run(sent: Parcel, repository: str) -> Iterator[str]:
    spec = read_json(sent.folder / "spec.json")
    if "imported" in spec:
        yield f"A sparse autoencoder of {spec['imported']['library']}, taken in by boardsae."
    else:
        yield "A sparse autoencoder trained with boardsae on activations of a GPT that plays a board game."
    yield ""
    hook = read_json(sent.folder / "boardsae.json").get("hook")
    rows = [["hook", hook]] if hook else []
    yield from table("What it is", ["", ""], [*facts_of(spec), *rows], words=2)
    yield from scores(sent.folder)
    yield from commands(repository, f"boardsae score hub/{repository}")
    yield from needs([spec])
    yield "The weights are a SAELens directory as well: `cfg.json` and `sae_weights.safetensors`."


def of_results(sent: Parcel, repository: str) -> Iterator[str]:
    specs = [read_json(sent.folder / place / "spec.json") for place in sent.holds]
    found, weights = records.find(sent.folder), sum(name.endswith("safetensors") for name in sent.files)
    yield f"Sparse autoencoders of boardsae, each a folder with its spec and scores; {weights or 'none'} with weights."
    yield ""
    for task in found.tasks():
        mine = found.of(task)
        if mine.runs:
            rows = [row(run, sent.folder) for run in sorted(mine.runs, key=lambda run: run.control)]
            shown = ["run", *(title for _, title, _ in HEADLINE)]
            yield from table(task, shown, rows, "\\* a control. " + ABOUT_SCORES)
    left_out = [[f"{each.path}", each.reason] for each in found.left_out]
    if left_out:
        yield from table("Without scores that count", ["run", "why"], left_out, words=2)
    yield from table("Measured on", ["", ""], hashes(specs), words=2)
    yield from commands(
        repository, f"boardsae score hub/{repository}", f"boardsae leaderboard hub/{repository}"
    )
    yield from needs(specs)


def of_model(sent: Parcel, repository: str) -> Iterator[str]:
    facts = (
        json.loads(content) if isinstance(content := sent.files["model.json"], bytes) else read_json(content)
    )
    origin = "taken in by" if "imported" in facts else "trained with"
    yield f"A GPT that plays a board game, {origin} boardsae: a task that sparse autoencoders are scored on."
    yield ""
    asked = facts["shape"] | facts["recipe"]
    rows = [[name, f"{value}"] for name, value in asked.items() if value is not None]
    rows += [["imported from", facts["imported"]["file"]]] if "imported" in facts else []
    if before := facts.get("started_from"):
        rows += [[f"{name} before that", f"{before[name]}"] for name in ("objective", "tokens")]
        rows += [["started from", code(before["weights"])]]
    rows += [["GPT", code(sent.holds["."])]]
    rows += [["games, `moves.npy`", code(facts["games"])]] if "games" in facts else []
    yield from table("What it is", ["", ""], rows, words=2)
    yield "## Gate"
    yield ""
    if (sent.folder / "gate.json").exists():
        yield from gate.told(read_json(sent.folder / "gate.json")).splitlines()
    else:
        yield f"Not measured: `boardsae gate hub/{repository}`."
    yield ""
    yield from commands(
        repository, f"boardsae train-sae --task hub/{repository}", f"boardsae gate hub/{repository}"
    )


def facts_of(spec: Facts) -> Iterator[list[str]]:
    """A run's spec, row by row."""
    for name in ("task", "variant", "d_sae", "rows", "seed", "layer", "recipe", "kl_finetune"):
        if spec.get(name) is not None:
            yield [name, f"{spec[name]}"]
    if spec.get("options"):
        yield ["options", ", ".join(f"{name}={value}" for name, value in spec["options"].items())]
    yield from hashes([spec])
    if made := spec.get("made_with"):
        yield ["boardsae", f"{made['boardsae']}"]


def hashes(specs: list[Facts]) -> list[list[str]]:
    """The GPTs and the games that runs were made on."""
    titles = {"model": "GPT", "games": "games, `moves.npy`"}
    pairs = {
        (titles[name], spec["hashes"][name])
        for spec in specs
        for name in titles
        if name in spec.get("hashes", {})
    }
    return [[title, code(value)] for title, value in sorted(pairs)]


def code(digest: str) -> str:
    return f"SHA-256 `{digest}`"


def scores(folder: Path) -> Iterator[str]:
    try:
        record = records.run_in(folder).record
    except records.Unscored as reason:
        yield from ("## Scores", "", f"None: {reason}.", "")
        return
    rows = [
        [title, cell(record, metric, title, form), metric]
        for metric, title, form in HEADLINE
        if metric in record["metrics"]
    ]
    yield from table(f"Scores on {record['task']}", ["", "score", "metric"], rows, ABOUT_SCORES)


def row(run: Run, root: Path) -> list[str]:
    place = run.path.relative_to(root).as_posix()
    name = f"{run.record['subject']['name']} \\*" if run.control else place
    return [name, *(cell(run.record, *column) for column in HEADLINE)]


def table(
    title: str, header: list[str], rows: list[list[str]], note: str = "", words: int = 1
) -> Iterator[str]:
    text = tables.markdown(
        [Table(title, header, [[in_one_cell(word) for word in each] for each in rows], note, words)]
    )
    yield text.replace("### ", "## ", 1)


def in_one_cell(word: str) -> str:
    return " ".join(word.split())


def commands(repository: str, *further: str) -> Iterator[str]:
    yield from ("## Use", "", "```sh", f"boardsae fetch {repository}    # --revision COMMIT pins it")
    yield from (*further, "```", "")


def needs(specs: list[Facts]) -> Iterator[str]:
    """Models that boardsae does not ship and that scores need."""
    for task in sorted({str(spec["task"]) for spec in specs} - tasks.TASKS.keys()):
        yield f"Scoring needs the GPT of the task, which is not in here, in the folder `{task}`."
        yield ""
