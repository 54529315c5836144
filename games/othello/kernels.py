"""Othello by the array: bitboards, lanes of games side by side. Tests rebuild every output with the rules.

Square (row, column) is bit 8 * row + column on both board sizes; `board` has a bit for every square there is.
The lanes run one branch-free step on many games at once, so that the compiler turns it into vector code.
"""

import numpy as np

from games.bits import GOLDEN, ONE, ZERO, below, inline, kernel, lowest, mix, nth, popcount, stream
from games.othello.predicates import planes

# What is true of a position: a word a plane.
SHEET = np.dtype([(plane.name, np.uint64) for plane in planes(8)])
NAMES = tuple(SHEET.fields or ())
BY_DIRECTION = np.array([plane.group == "legal_direction" for plane in planes(8)])
LANES = 256
INNER_COLUMNS = np.uint64(
    0x7E7E7E7E7E7E7E7E
)  # a line along a row or a diagonal cannot run through an edge column
S1, S7, S8, S9 = (np.uint64(n) for n in (1, 7, 8, 9))
S2, S14, S16, S18 = (np.uint64(n) for n in (2, 14, 16, 18))
NO_SQUARE = np.uint64(64)


@inline
def run_up(first, through, step, two):
    """Discs of `through` in unbroken lines from `first`, towards higher bits (at most 6 of them, by doubling)."""
    x = through & (first << step)
    x |= through & (x << step)
    pair = through & (through << step)
    x |= pair & (x << two)
    x |= pair & (x << two)
    return x


@inline
def run_down(first, through, step, two):
    x = through & (first >> step)
    x |= through & (x >> step)
    pair = through & (through >> step)
    x |= pair & (x >> two)
    x |= pair & (x >> two)
    return x


@inline
def legal(own, enemy, board):
    inner = enemy & INNER_COLUMNS
    ends = run_up(own, inner, S1, S2) << S1
    ends |= run_down(own, inner, S1, S2) >> S1
    ends |= run_up(own, inner, S7, S14) << S7
    ends |= run_down(own, inner, S7, S14) >> S7
    ends |= run_up(own, enemy, S8, S16) << S8
    ends |= run_down(own, enemy, S8, S16) >> S8
    ends |= run_up(own, inner, S9, S18) << S9
    ends |= run_down(own, inner, S9, S18) >> S9
    return ends & board & ~(own | enemy)


@inline
def closed_up(move, through, own, step, two):
    """The line from `move` if an own disc ends it, else nothing."""
    x = run_up(move, through, step, two)
    return x if ((x << step) & own) != ZERO else ZERO


@inline
def closed_down(move, through, own, step, two):
    x = run_down(move, through, step, two)
    return x if ((x >> step) & own) != ZERO else ZERO


@inline
def turned(move, own, enemy):
    """The enemy discs that a move turns; 0 for no move."""
    inner = enemy & INNER_COLUMNS
    discs = closed_up(move, inner, own, S1, S2)
    discs |= closed_down(move, inner, own, S1, S2)
    discs |= closed_up(move, inner, own, S7, S14)
    discs |= closed_down(move, inner, own, S7, S14)
    discs |= closed_up(move, enemy, own, S8, S16)
    discs |= closed_down(move, enemy, own, S8, S16)
    discs |= closed_up(move, inner, own, S9, S18)
    discs |= closed_down(move, inner, own, S9, S18)
    return discs


@inline
def lane_step(own, enemy, moves, random, squares, board, lanes):
    """Plays one random legal move in every lane; says whether some lane has no move now."""
    stuck = ZERO
    for i in range(lanes):
        random[i] += GOLDEN
        square = nth(moves[i], below(popcount(moves[i]), mix(random[i])))
        move = (ONE << square) & moves[i]
        squares[i] = np.uint8(square if moves[i] != ZERO else NO_SQUARE)
        discs = turned(move, own[i], enemy[i])
        mine = own[i] | move | discs
        own[i] = enemy[i] & ~discs
        enemy[i] = mine
        moves[i] = legal(own[i], enemy[i], board)
        stuck |= np.uint64(moves[i] == ZERO)
    return stuck


@inline
def pass_stuck_lanes(own, enemy, moves, board, lanes):
    for i in range(lanes):
        if moves[i] == ZERO:
            other = legal(enemy[i], own[i], board)
            if other != ZERO:
                own[i], enemy[i] = enemy[i], own[i]
                moves[i] = other


@kernel
def generate(seed, first, black, white, board, ids, skip, out):
    """Fills `out` (game, ply) with uniformly random games; `skip` draws precede the first move of each game."""
    games, plies = out.shape
    own, enemy = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64)
    moves, random = np.empty(LANES, np.uint64), np.empty(LANES, np.uint64)
    squares = np.empty((plies, LANES), np.uint8)
    for block in range(0, games, LANES):
        for i in range(LANES):
            own[i], enemy[i] = black, white
            moves[i] = legal(black, white, board)
            random[i] = stream(seed, first + np.uint64(block + i)) + skip * GOLDEN
        for ply in range(plies):
            if lane_step(own, enemy, moves, random, squares[ply], board, LANES) != ZERO:
                pass_stuck_lanes(own, enemy, moves, board, LANES)
        for i in range(min(LANES, games - block)):
            for ply in range(plies):
                out[block + i, ply] = ids[squares[ply, i]]


@inline
def play(own, enemy, move, board):
    """The sides after a move, seen from who moves next, its moves, the discs turned and whether there was a pass."""
    discs = turned(move, own, enemy)
    mine, theirs = own | move | discs, enemy & ~discs
    moves = legal(theirs, mine, board)
    if moves == ZERO:
        again = legal(mine, theirs, board)
        if again != ZERO:
            return mine, theirs, again, discs, True
    return theirs, mine, moves, discs, False


@kernel
def legal_plies(games, black, white, board, bits, out):
    """How many plies of each game are legal, up to its padding; a hole in the padding is an illegal ply."""
    for g in range(games.shape[0]):
        own, enemy, moves = black, white, legal(black, white, board)
        out[g] = games.shape[1]
        ended = False
        for ply in range(games.shape[1]):
            move = bits[games[g, ply]] if games[g, ply] < bits.shape[0] else ZERO
            if games[g, ply] == 0:
                out[g] = out[g] if ended else ply
                ended = True
            elif ended or move & moves == ZERO:
                out[g] = out[g] if ended else ply
                break
            else:
                own, enemy, moves, _, _ = play(own, enemy, move, board)


@kernel
def keys(games, images, out):
    """A hash of each game that is the same for its mirror images: made of the least of their sequences' hashes."""
    h = np.empty(images.shape[0], np.uint64)
    for g in range(games.shape[0]):
        h[:] = ZERO
        for ply in range(games.shape[1]):
            if games[g, ply] == 0:
                break
            for s in range(images.shape[0]):
                h[s] = mix(h[s] + GOLDEN + np.uint64(images[s, games[g, ply]]))
        out[g] = mix(h.min())  # mixed once more because the least of four is not uniform, as splits need it


@inline
def legal_by_direction(own, enemy, board, sheet):
    """The moves that turn discs in each direction.

    A run from an own disc towards higher bits ends on a move that turns discs towards lower bits.
    """
    inner = enemy & INNER_COLUMNS
    empty = board & ~(own | enemy)
    sheet.legal_up = empty & (run_up(own, enemy, S8, S16) << S8)
    sheet.legal_up_right = empty & (run_up(own, inner, S7, S14) << S7)
    sheet.legal_right = empty & (run_down(own, inner, S1, S2) >> S1)
    sheet.legal_down_right = empty & (run_down(own, inner, S9, S18) >> S9)
    sheet.legal_down = empty & (run_down(own, enemy, S8, S16) >> S8)
    sheet.legal_down_left = empty & (run_down(own, inner, S7, S14) >> S7)
    sheet.legal_left = empty & (run_up(own, inner, S1, S2) << S1)
    sheet.legal_up_left = empty & (run_up(own, inner, S9, S18) << S9)


@inline
def at_least(count):
    """Bit k - 1 says that the count is at least k."""
    return (ONE << count) - ONE


@kernel
def words(games, rows, black, white, board, corners, edges, bits, wanted, out):
    """out[row, i] = the word of plane NAMES[wanted[i]] of that row's position."""
    plane = np.zeros(len(NAMES), np.uint64)
    sheet = plane.view(SHEET)[0]  # the same words by their names
    first_moves, by_direction = legal(black, white, board), BY_DIRECTION[wanted].any()
    game, ply = -1, 0
    own, enemy, moves, is_black = black, white, first_moves, True
    last, discs, passed = ZERO, ZERO, False
    for r in range(rows.shape[0]):
        if rows[r, 0] != game or rows[r, 1] < ply:
            game, ply = rows[r, 0], 0
            own, enemy, moves, is_black = black, white, first_moves, True
            last, discs, passed = ZERO, ZERO, False
        while ply < rows[r, 1]:
            last = bits[games[game, ply]]
            own, enemy, moves, discs, passed = play(own, enemy, last, board)
            is_black = is_black == passed
            ply += 1
        blacks, whites = (own, enemy) if is_black else (enemy, own)
        sheet.occupied, sheet.empty = own | enemy, board & ~(own | enemy)
        sheet.mine, sheet.theirs = own, enemy
        sheet.legal = sheet.legal_paper = moves
        if by_direction:
            legal_by_direction(own, enemy, board, sheet)
        sheet.changed, sheet.last_move, sheet.flipped = last | discs, last, discs
        sheet.black, sheet.white = blacks, whites
        sheet.my_corners = at_least(popcount(own & corners))
        sheet.their_corners = at_least(popcount(enemy & corners))
        sheet.my_edges = at_least(popcount(own & edges))
        sheet.their_edges = at_least(popcount(enemy & edges))
        sheet.black_to_move, sheet.passed = np.uint64(is_black), np.uint64(passed)
        sheet.over = np.uint64(moves == ZERO)
        odd = ply % 2 == 1
        sheet.mine_paper, sheet.theirs_paper = (blacks, whites) if odd else (whites, blacks)
        for i in range(wanted.shape[0]):
            out[r, i] = plane[wanted[i]]


@kernel
def perft(own, enemy, board, depth):
    """The number of lines of `depth` plies as the published counts have them: here a pass is a ply."""
    if depth == 0:
        return ONE
    moves = legal(own, enemy, board)
    if moves == ZERO:
        return perft(enemy, own, board, depth - 1) if legal(enemy, own, board) != ZERO else ZERO
    total = ZERO
    while moves != ZERO:
        move = ONE << lowest(moves)
        moves &= moves - ONE
        discs = turned(move, own, enemy)
        total += perft(enemy & ~discs, own | move | discs, board, depth - 1)
    return total
