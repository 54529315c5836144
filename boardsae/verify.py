"""Is a folder of transcripts what it says it is? Hashes, legality of every game, splits, truth on a sample."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from boardsae import Broken, data
from boardsae.files import sha256
from boardsae.progress import progress, say
from boardsae.splits import DUPLICATE, SPLITS, repeats, splits
from games.core import play_all

BLOCK = 8192


def verify(folder: Path, sample: int | None = 100, log: Callable[[str], None] = say) -> None:
    """Raises `Broken` with the first fault found. `sample` games (None for all) are replayed by the slow rules."""
    dataset = data.load(folder)
    check_hashes(dataset)
    log(f"hashes: {len(dataset.manifest['files'])} files are the ones that were made")
    check_games(dataset)
    log(f"legality: all moves of {len(dataset.moves):,} games are legal, no game ends early")
    check_splits(dataset)
    log(f"splits: {dataset.manifest['disjoint']['kept_games']:,} kept games, no two the same")
    checked = check_by_rules(dataset, sample)
    log(f"rules: {checked:,} games replayed move by move, truth rebuilt at their positions")


def check_hashes(dataset: data.Dataset) -> None:
    for name, facts in dataset.manifest["files"].items():
        found = sha256(dataset.folder / name)
        if found != facts["sha256"]:
            raise Broken(
                f"{dataset.folder / name} was changed: expected SHA-256 {facts['sha256']}, got {found}"
            )
    if not dataset.manifest["games"] == len(dataset.moves) == len(dataset.split):
        raise Broken(f"expected {dataset.manifest['games']} games, got {len(dataset.moves)}")


def check_games(dataset: data.Dataset) -> None:
    """Every move of every game is legal, by the kernels, and no game stops before its end or the ply limit."""
    game, is_real = dataset.game, "pgn" in dataset.manifest["request"]
    bar = progress("replaying", len(dataset.moves), "games")
    for first in range(0, len(dataset.moves), BLOCK):
        moves = np.asarray(dataset.moves[first : first + BLOCK])
        legal, lengths = game.legal_plies(moves), (moves != 0).sum(axis=1)
        if (bad := np.flatnonzero(legal != lengths)).size:
            explain(dataset, first + int(bad[0]), int(legal[bad[0]]))
        rows = np.stack([np.arange(len(moves)), lengths], axis=1)
        over = game.words(moves, rows, ["over"])[:, 0] != 0
        early = np.flatnonzero(~over & (lengths < game.max_plies))
        if early.size and not is_real:
            raise Broken(
                f"game {first + int(early[0])} of {dataset.folder} stops after {lengths[early[0]]} plies, not over"
            )
        for name, array in game.notation(moves).items():
            if (
                wrong := np.flatnonzero((array != dataset.arrays[name][first : first + BLOCK]).any(axis=1))
            ).size:
                raise Broken(
                    f"game {first + int(wrong[0])} of {dataset.folder}: {name}.npy is not the text of its moves"
                )
        bar.update(len(moves))
    bar.close()


def explain(dataset: data.Dataset, index: int, ply: int) -> None:
    """Raises `Broken` with what the rules say about the first illegal move of a game."""
    game, moves = dataset.game, dataset.moves[index]
    state = play_all(game, moves[:ply])[-1]
    found = game.moves[moves[ply]] if moves[ply] < len(game.moves) else f"move id {moves[ply]}"
    legal = ", ".join(game.moves[move] for move in game.legal(state)) or "none, the game is over"
    raise Broken(f"game {index} of {dataset.folder}: ply {ply + 1} is {found!r}; legal there: {legal}")


def check_splits(dataset: data.Dataset) -> None:
    """The split of each game is the one its key draws, and the kept games have as many keys as there are games."""
    blocks = range(0, len(dataset.moves), BLOCK)
    keys = np.concatenate([dataset.game.keys(np.asarray(dataset.moves[b : b + BLOCK])) for b in blocks])
    repeated, different = repeats(keys)
    split = splits(keys, repeated, 0, len(keys))
    if (wrong := np.flatnonzero(split != dataset.split)).size:
        index = int(wrong[0])
        found = dataset.split[index]
        raise Broken(
            f"game {index} of {dataset.folder} belongs to {SPLITS[split[index]]!r},"
            f" got {SPLITS[found] if found < len(SPLITS) else found!r}"
        )
    kept = int((dataset.split != DUPLICATE).sum())
    if kept != different:
        raise Broken(
            f"{dataset.folder} keeps {kept} games of {different} different keys: the splits share games"
        )
    counts = dict(zip(SPLITS, np.bincount(split, minlength=len(SPLITS)).tolist(), strict=True))
    said = {name: dataset.manifest["splits"][name].get("games") for name in SPLITS}
    if said != counts or dataset.manifest["disjoint"]["kept_games"] != kept:
        raise Broken(
            f"the manifest of {dataset.folder} counts other games than {counts}, {kept} of them kept"
        )


def check_by_rules(dataset: data.Dataset, sample: int | None) -> int:
    """Replays games by the slow rules; rebuilds every plane of truth at one position of each of them."""
    game, total = dataset.game, len(dataset.moves)
    random = np.random.default_rng(0)
    chosen = (
        np.arange(total)
        if sample is None
        else np.sort(random.choice(total, min(sample, total), replace=False))
    )
    names = [plane.name for plane in game.planes]
    bar = progress("by the rules", len(chosen), "games")
    for index in chosen.tolist():
        moves = np.asarray(dataset.moves[index : index + 1])
        length = int((moves != 0).sum())
        states = [game.start()]
        for ply in range(length):
            if int(moves[0, ply]) not in game.legal(states[-1]):
                explain(dataset, index, ply)
            states.append(game.play(states[-1], int(moves[0, ply])))
        ply = int(random.integers(length + 1))
        truth = game.truth(states[ply])
        fast = dict(zip(names, game.words(moves, np.array([[0, ply]]), names)[0].tolist(), strict=True))
        if differing := [name for name in names if truth[name] != fast[name]]:
            raise Broken(f"game {index}, ply {ply}: kernels and rules disagree about {', '.join(differing)}")
        bar.update(1)
    bar.close()
    return len(chosen)
