"""Characters that may follow: rebuilt from the rules and the notation of every legal move."""

import numpy as np

import games
from games.chess import rules
from games.chess.continuations import legal_symbols
from games.chess.notation import SYMBOLS, movetext, text
from games.core import play_all


def expected(game, line, window):
    """By the character: what follows it in the text of the game, had any legal move been played next."""
    found = [set() for _ in window]
    for ply, state in enumerate(play_all(game, line)[:-1]):
        texts = [movetext(np.array([*line[:ply], move], np.uint16)) + " " for move in rules.legal(state)]
        start = len(movetext(np.array(line[:ply], np.uint16))) + (ply > 0)
        for whole in texts:
            for i in range(start, min(len(whole), len(window))):
                found[i - 1].add(whole[i])
                if whole[i] != window[i]:
                    break
    return found


def test_legal_symbols_are_those_of_the_legal_moves():
    game = games.load("chess-pgn")
    moves, _ = game.generate(3, 0, 12, game.policy("mixture"))
    moves[0, 8:] = 0  # a game that ends within the window
    tokens, _ = text(moves)
    legal = legal_symbols(moves, tokens)
    for g, line in enumerate(moves):
        window = "".join(SYMBOLS[token] for token in tokens[g])
        said = [{SYMBOLS[i] for i in np.flatnonzero(row)} for row in legal[g]]
        assert said[:255] == expected(game, line[line != 0].tolist(), window)[:255]
        followed = np.flatnonzero(tokens[g, 1:])
        assert legal[g, followed, tokens[g, followed + 1]].all()
