"""The card of what is pushed to a hub: what it is, what it was made from, what it scored. From its records alone."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from boardsae.files import read_json
from boardsae.metrics import METRICS
from boardsae.runs import facts_of, is_imported, runs

SHOWN = (
    "l0@1",
    "coverage@1",
    "cov_x@1",
    "reconstruction@1",
    "explained_variance@1",
    "kl_increase@1",
    "alive@1",
)
TITLES = {
    "model": "a GPT that plays {}",
    "run": "a sparse autoencoder on a GPT that plays board games",
    "results": "{} sparse autoencoders on GPTs that play board games",
}


def name_of(target: Path, kind: str) -> str:
    """What tells it from others of its kind."""
    if kind == "model":
        return read_json(target / "model.json")["shape"]["game"]
    if kind == "run":
        facts = facts_of(target)
        return f"{Path(str(facts['task'])).name}/{facts['variant']}"
    tasks = {Path(str(facts_of(run)["task"])).name for run in runs(target)}
    return ", ".join(sorted(tasks))


def card(target: Path, kind: str, repository: str) -> str:
    body = {"model": of_model, "run": of_run, "results": of_results}[kind]
    return "\n".join([*front(kind, is_ours(target, kind)), *body(target), *fetched(kind, repository), ""])


def is_ours(target: Path, kind: str) -> bool:
    """Whether all of it was trained here; under which licence others may give theirs away is for them to say."""
    if kind == "model":
        return "imported" not in read_json(target / "model.json")
    return not any(is_imported(run) for run in runs(target))


def front(kind: str, ours: bool) -> Iterator[str]:
    yield from ("---", "library_name: boardsae", *(["license: mit"] if ours else []))
    yield from ("tags:", "- boardsae", f"- {kind}")
    if kind != "model":
        yield from ("- sparse-autoencoder", "- interpretability")
    yield from ("---", "")


def of_model(folder: Path) -> Iterator[str]:
    facts = read_json(folder / "model.json")
    yield f"# {TITLES['model'].format(facts['shape']['game'])}"
    yield ""
    yield from table(
        {**facts["shape"], **facts.get("recipe", {}), "SHA-256 of its games": facts.get("games")}
    )
    if (folder / "gate.json").exists():
        gate = read_json(folder / "gate.json")
        verdict = "passes" if gate["passes"] else "misses " + ", ".join(gate["missed"])
        yield from ("", f"## The gate: it {verdict}", "")
        yield from table({**gate["totals"], "SHA-256 of the weights": gate["model"]})


def of_run(folder: Path) -> Iterator[str]:
    facts = facts_of(folder)
    yield f"# {facts['variant']}: {TITLES['run']}"
    yield ""
    options = facts.pop("options", {})
    yield from table({**facts, **(options or {}), **hashes(read_json(folder / "spec.json"))})
    if (folder / "scores.json").exists():
        record = read_json(folder / "scores.json")
        yield from (
            "",
            f"## Scores on {record['task']}",
            "",
            "| metric | value | 95% interval |",
            "|---|--:|---|",
        )
        for name in SHOWN:
            if (cell := record["metrics"].get(name, {})).get("value") is not None:
                yield f"| {METRICS[name].title} (`{name}`) | {cell['value']:.4f} | {interval(cell)} |"


def of_results(root: Path) -> Iterator[str]:
    found = [*runs(root)]
    yield f"# {TITLES['results'].format(len(found))}"
    yield from (
        "",
        "| run | " + " | ".join(f"`{name}`" for name in SHOWN) + " |",
        "|---|" + "--:|" * len(SHOWN),
    )
    for run in found:
        record = read_json(run / "scores.json") if (run / "scores.json").exists() else {"metrics": {}}
        cells = [record["metrics"].get(name, {}).get("value") for name in SHOWN]
        yield (
            f"| {run.relative_to(root)} | "
            + " | ".join("-" if c is None else f"{c:.4f}" for c in cells)
            + " |"
        )


def fetched(kind: str, repository: str) -> Iterator[str]:
    name = repository.split("/")[1]
    then = f"boardsae gate fetched/{name}" if kind == "model" else f"boardsae score fetched/{name}"
    yield from ("", "## Use it", "", "```sh", "pip install 'boardsae[hub]'")
    yield from (f"boardsae fetch {repository}", then, "```")


def hashes(spec: dict[str, Any]) -> dict[str, Any]:
    return {f"SHA-256 of the {name}": value for name, value in spec.get("hashes", {}).items()}


def interval(cell: dict[str, Any]) -> str:
    return "" if cell.get("low") is None else f"{cell['low']:.4f} to {cell['high']:.4f}"


def table(facts: dict[str, Any]) -> Iterator[str]:
    yield from ("| | |", "|---|---|")
    for name, value in facts.items():
        if value is not None and value != {}:
            yield f"| {name.replace('_', ' ')} | {f'{value:.6g}' if isinstance(value, float) else value} |"
