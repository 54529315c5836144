"""What the kernels see in the positions of a game: each step fills in some planes on sheets of facts.

A sheet is a record with one 64-bit field a plane, named as in `games.chess.planes`. All positions of a game
stand in an array, row p the one after p plies.
"""

import numpy as np

from games.bits import FULL, ONE, TWO, ZERO, inline, kernel, lowest, popcount
from games.chess import kernels as chess
from games.chess import rules
from games.chess.kernels import BISHOP, FLAGS, KING, KNIGHT, LAST, PAWN, PLY, QUEEN, ROOK, SIX, SIXTEEN
from games.chess.planes import PLANES
from games.chess.play import DARK
from games.chess.tables import KNIGHT_ATTACKS, ORIGIN, PROMOTION, TARGET

SHEET = np.dtype([(plane.name, np.uint64) for plane in PLANES])
NAMES = tuple(SHEET.fields or ())
MY, THEIR, WHITE, BLACK = (NAMES.index(f"{side}_pawn") for side in ("my", "their", "white", "black"))
PAPER_BLACK, PAPER_WHITE = NAMES.index("black_king_paper"), NAMES.index("white_pawn_paper")
START = chess.pack(rules.start())
FIRST_PREY = np.array([1, 3, 3, 4, 5, 6])  # of each kind: it forks kings and what is worth more than itself
THREE, FIVE, NINE = np.uint64(3), np.uint64(5), np.uint64(9)


@inline
def sides(position):
    """The first words of the side to move and of its opponent, and all the pieces of each."""
    us, them = chess.colours(position)
    return us, them, chess.side(position, us), chess.side(position, them)


@kernel
def place(game, plies, words, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        sheet.occupied = own | foe
        sheet.empty = ~(own | foe)
        sheet.mine = own
        sheet.theirs = foe
        sheet.white = foe if us else own
        sheet.black = own if us else foe
        for k in range(6):
            kind = np.uint64(k)
            words[i, MY + k] = position[us + kind]
            words[i, THEIR + k] = position[them + kind]
            words[i, WHITE + k] = position[kind]
            words[i, BLACK + k] = position[SIX + kind]
            words[i, PAPER_WHITE + k] = position[kind] & ~START[k]
            words[i, PAPER_BLACK + 5 - k] = position[SIX + kind] & ~START[6 + k]


@kernel
def attack(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        mine = chess.attacked(position, us, own | foe)
        theirs = chess.attacked(position, them, own | foe)
        sheet.my_attacks = mine
        sheet.their_attacks = theirs
        sheet.threat_paper = mine if us else theirs
        sheet.my_hanging = own & theirs & ~mine & ~position[us + KING]
        sheet.their_hanging = foe & mine & ~theirs & ~position[them + KING]
        sheet.my_hanging_piece = sheet.my_hanging != ZERO
        sheet.their_hanging_piece = sheet.their_hanging != ZERO


@kernel
def pin(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        sheet.my_pinned, sheet.my_pinned_by = pins(position, us, them, own, foe)
        sheet.their_pinned, sheet.their_pinned_by = pins(position, them, us, foe, own)
        sheet.my_pin = sheet.my_pinned != ZERO
        sheet.their_pin = sheet.their_pinned != ZERO
        sheet.pin = sheet.my_pin | sheet.their_pin
        free = own & ~sheet.my_pinned
        sheet.my_forking, sheet.their_forked, paper, knights = forks(position, us, them, free, own | foe)
        sheet.fork_paper = paper
        sheet.specific_fork_paper = knights
        free = foe & ~sheet.their_pinned
        sheet.their_forking, sheet.my_forked, paper, knights = forks(position, them, us, free, own | foe)
        sheet.my_fork = sheet.my_forking != ZERO
        sheet.their_fork = sheet.their_forking != ZERO


@inline
def pins(position, us, them, own, foe):
    """The pieces pinned to the king of `us`, and a bit for each kind that pins one: bishop, rook, queen."""
    checks, pinned = chess.checks_and_pins(position, us, them, own, foe)
    king, seen_through = lowest(position[us + KING]), (own | foe) ^ pinned
    rooks, bishops, queens = position[them + ROOK], position[them + BISHOP], position[them + QUEEN]
    straight, diagonal = chess.rook_attacks(king, seen_through), chess.bishop_attacks(king, seen_through)
    pinners = (straight & (rooks | queens) | diagonal & (bishops | queens)) & ~checks
    by_bishop, by_rook = np.uint64(pinners & bishops != ZERO), np.uint64(pinners & rooks != ZERO)
    return pinned, by_bishop | by_rook << ONE | np.uint64(pinners & queens != ZERO) << TWO


@kernel
def forks(position, us, them, free, occupied):
    """Which free pieces fork, what they fork, and whether the paper's code sees a fork or a knight fork.

    That code adds up the attacks of all pieces of a kind, on one kind of prey at a time.
    """
    forking, forked, paper, knights = ZERO, ZERO, False, False
    attacks_on = np.zeros(6, np.uint64)
    for kind in range(5):
        first = FIRST_PREY[kind]
        prey = ZERO
        for i in range(first, 6):
            prey |= position[them + np.uint64(i)]
        attacks_on[:] = ZERO
        pieces = position[us + np.uint64(kind)] & free
        while pieces:
            attacks = attacks_of(np.uint64(kind), lowest(pieces), us, occupied) & prey
            if attacks & (attacks - ONE):
                forking |= pieces & (ZERO - pieces)
                forked |= attacks
            for i in range(first, 6):
                attacks_on[i] += popcount(attacks & position[them + np.uint64(i)])
            pieces &= pieces - ONE
        if kind < 4:
            paper = paper or attacks_on.max() >= TWO
        if kind == 1:
            knights = attacks_on.sum() >= TWO
    return forking, forked, paper, knights


@inline
def attacks_of(kind, square, first, occupied):
    """The squares that a piece of the colour whose words start at `first` attacks; not for kings."""
    if kind == PAWN:
        return chess.pawn_attacks(square, np.uint64(first != ZERO))
    if kind == KNIGHT:
        return KNIGHT_ATTACKS[square]
    found = ZERO
    if kind != ROOK:
        found |= chess.bishop_attacks(square, occupied)
    if kind != BISHOP:
        found |= chess.rook_attacks(square, occupied)
    return found


@kernel
def pseudo(game, plies, masks, sheets):
    for i in range(plies.shape[0]):
        chess.pseudo_masks(game[plies[i]], masks)
        sheets[i].pseudo_legal = union(masks)


@kernel
def move(game, plies, masks, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        checks = chess.legal_masks(position, masks)
        legal, queens = union(masks), position[them + QUEEN]
        sheet.legal = legal
        sheet.legal_moves_paper = ZERO if us else legal
        sheet.check = checks != ZERO
        sheet.double_check = popcount(checks) == TWO
        by = ZERO
        for kind in range(5):
            by |= np.uint64(checks & position[them + np.uint64(kind)] != ZERO) << np.uint64(kind)
        sheet.checked_by = by
        sheet.can_capture_queen = legal & queens != ZERO
        highest = ZERO if queens == ZERO else chess.TOP >> chess.zeros_above(queens)
        sheet.can_capture_queen_paper = legal & highest != ZERO
        passant = ZERO
        if chess.en_passant_origins(position, us, them, own | foe):
            passant = chess.passant(position)
        sheet.en_passant_to = passant
        sheet.en_passant = passant != ZERO


@inline
def union(masks):
    found = ZERO
    for origin in range(64):
        found |= masks[origin]
    return found


@kernel
def rival(game, plies, masks, sheets):
    """Whether two pieces of a kind may go to one square; a pawn's four promotions there are one piece's."""
    for i in range(plies.shape[0]):
        position, twice = game[plies[i]], ZERO
        us, _ = chess.colours(position)
        chess.legal_masks(position, masks)
        for kind in range(5):
            once, pieces = ZERO, position[us + np.uint64(kind)]
            while pieces:
                targets = masks[lowest(pieces)]
                twice |= once & targets
                once |= targets
                pieces &= pieces - ONE
        sheets[i].ambiguous = twice != ZERO


@kernel
def count(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        rights = position[FLAGS] >> ONE & np.uint64(15)
        mine = rights >> TWO if us else rights & THREE
        sheet.white_to_move = us == ZERO
        sheet.castling = rights
        sheet.my_castling = mine != ZERO
        sheet.my_castling_side = mine
        sheet.castling_kingside_paper = mine & ONE
        sheet.castling_queenside_paper = mine >> ONE
        my_material, their_material = material(position, us), material(position, them)
        sheet.my_material = ladder(my_material, 39)
        sheet.their_material = ladder(their_material, 39)
        sheet.lead = ladder(my_material - their_material + 21, 41)
        sheet.ply = ladder(np.int64(position[PLY] >> TWO), 64)
        sheet.my_queen_present = position[us + QUEEN] != ZERO
        sheet.their_queen_present = position[them + QUEEN] != ZERO
        sheet.my_bishop_pair = is_pair(position[us + BISHOP])
        sheet.their_bishop_pair = is_pair(position[them + BISHOP])
        sheet.bishop_pair_paper = popcount(position[us + BISHOP]) >= TWO
        sheet.my_rooks_connected = are_connected(position[us + ROOK], own | foe)
        sheet.their_rooks_connected = are_connected(position[them + ROOK], own | foe)
        last(position, them, sheet)


@inline
def last(position, them, sheet):
    """The last move; a pawn that captured changed its file, any other piece that captured reset the clock."""
    move = position[LAST]
    origin, target = ORIGIN[move], TARGET[move]
    played = np.uint64(move != ZERO)
    was_pawn = PROMOTION[move] != ZERO or position[them + PAWN] >> target & ONE != ZERO
    changed_file = (origin ^ target) & np.uint64(7) != ZERO
    sheet.moved_from = played << origin
    sheet.moved_to = played << target
    sheet.captured = played & np.uint64(changed_file if was_pawn else position[FLAGS] >> SIXTEEN == ZERO)


@inline
def material(position, us):
    minor = popcount(position[us + KNIGHT] | position[us + BISHOP])
    major = FIVE * popcount(position[us + ROOK]) + NINE * popcount(position[us + QUEEN])
    return np.int64(popcount(position[us + PAWN]) + THREE * minor + major)


@inline
def ladder(n, rungs):
    """The lowest n of some bits, of which there are 64 at most."""
    n = max(min(n, rungs), 0)
    return FULL if n == 64 else (ONE << np.uint64(n)) - ONE


@inline
def is_pair(bishops):
    return bishops & DARK != ZERO and bishops & ~DARK != ZERO


@inline
def are_connected(rooks, occupied):
    others, found = rooks, ZERO
    while others:
        found |= chess.rook_attacks(lowest(others), occupied) & rooks
        others &= others - ONE
    return found != ZERO
