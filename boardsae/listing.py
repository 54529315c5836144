"""What there is, as tab-separated lines with a heading: for the eye, `cut`, `grep` and pandas alike."""

from collections.abc import Iterator

import games


def list_games(_game: str | None) -> Iterator[str]:
    yield "game\tboard\tmoves\tplies\tplanes\tpredicates"
    for name in games.NAMES:
        game = games.load(name)
        columns = (f"{game.size}x{game.size}", len(game.moves) - 1, game.max_plies, len(game.planes))
        yield "\t".join(map(str, (name, *columns, len(games.predicates(game)))))


def list_predicates(name: str | None) -> Iterator[str]:
    """All predicates of a game, or, without one, what each plane of them means."""
    if name is None:
        yield "game\tplane\tpredicates\tmeaning"
        for game in map(games.load, games.NAMES):
            yield from (f"{game.name}\t{p.name}\t{len(p.bits)}\t{p.doc}" for p in game.planes)
    else:
        game = games.load(name)
        yield "predicate\tgroup\tsquare\timplies"
        for p in games.predicates(game):
            yield f"{p.name}\t{p.group}\t{p.square or '-'}\t{', '.join(p.parents) or '-'}"


def list_variants(_game: str | None) -> Iterator[str]:
    from boardsae.saes import BASELINES, VARIANTS
    from boardsae.saes.base import options_of

    yield "variant\tkind\tsparsity\toptions"
    for name, variant in VARIANTS.items():
        kind = "control" if variant.name in BASELINES else "method"
        options = ", ".join(f"{option}={value}" for option, value in options_of(variant).items())
        yield f"{name}\t{kind}\t{variant.sparsity or '-'}\t{options or '-'}"


def list_metrics(_game: str | None) -> Iterator[str]:
    from boardsae.metrics import METRICS

    yield "metric\tbetter\trange\ttitle"
    for name, metric in METRICS.items():
        yield f"{name}\t{metric.direction or '-'}\t{metric.range}\t{metric.title}"


def list_tasks(_game: str | None) -> Iterator[str]:
    from boardsae.tasks import TASKS

    yield "task\tgame\tmodel\tlayer\tgames\tdata"
    for name, task in TASKS.items():
        yield "\t".join(map(str, (name, task.game, task.model, task.layer, task.games, task.data)))


def list_models(_game: str | None) -> Iterator[str]:
    """Reference models and what they know; the bars of the gate are in `boardsae gate`."""
    from boardsae import models
    from boardsae.files import read_json

    yield "model\tgame\tlayers\twidth\tobjective\ttokens\tgap\ttop-1 legal\tlegal mass\tsquares\tgate"
    for name in models.PINNED:
        folder = models.folder_of(name)
        facts, gate = read_json(folder / "model.json"), models.gate_of(folder)
        shape, trained, reached = facts["shape"], models.schooling(facts), gate["totals"]
        told = (
            f"{reached['gap']:.4f}" if "gap" in reached else "-",
            *(f"{reached[n]:.2%}" for n in ("top1_legal", "legal_mass", "board_accuracy")),
        )
        passes = "passes" if gate["passes"] else "misses " + ", ".join(gate["missed"])
        columns = (
            name,
            shape["game"],
            shape["layers"],
            shape["width"],
            trained.objective,
            trained.tokens,
        )
        yield "\t".join(map(str, (*columns, *told, passes)))


LISTS = {
    "games": list_games,
    "predicates": list_predicates,
    "tasks": list_tasks,
    "models": list_models,
    "variants": list_variants,
    "metrics": list_metrics,
}
