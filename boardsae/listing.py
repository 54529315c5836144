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


LISTS = {"games": list_games, "predicates": list_predicates}
