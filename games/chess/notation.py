"""Games as the characters of their PGN, ";1.e4 e5 2.Nf3 ...", and back.

A model reads the first 256 characters, of 32 symbols. A game that ends within them is followed by spaces, as
if its next move were never written. `at[game, p]` is where a reader knows p plies and waits for the next:
the "." before White's move, the " " before Black's.
"""

import numpy as np
from jaxtyping import Int, Integer, UInt8, UInt16
from numba import njit

from games.bits import ONE, TWO, ZERO, inline, kernel, lowest
from games.chess import rules
from games.chess.kernels import (
    EIGHT,
    ID,
    KING,
    PAWN,
    SIXTY_FOUR,
    WORDS,
    colours,
    kind_on,
    legal_masks,
    make,
    origin_target_promotion,
    pack,
    promoting,
    side,
)

WINDOW = 256
SYMBOLS = " #+-.0123456789;=BKNOQRabcdefghx"
TOKENS = np.full(256, 255, np.uint8)  # ASCII -> token id
TOKENS[list(SYMBOLS.encode())] = np.arange(len(SYMBOLS))

START = pack(rules.start())
LETTERS = np.frombuffer(b"PNBRQK", np.uint8)  # by kind
KIND_OF = np.zeros(256, np.uint64)  # of a letter; 0 for a pawn, which has none
KIND_OF[list(b"PNBRQK")] = np.arange(6)
FILE_A, RANK_1 = np.uint64(0x0101010101010101), np.uint64(0xFF)
SPACE, CHECK, MATE, MINUS, DOT, EQUALS, TAKES, BEGIN = np.frombuffer(b" +#-.=x;", np.uint8)
ZERO_DIGIT, ONE_DIGIT, NINE, CASTLE, A = np.frombuffer(b"019Oa", np.uint8)


def text(
    moves: Integer[np.ndarray, "game ply"],
) -> tuple[UInt8[np.ndarray, "game 256"], Int[np.ndarray, "game row"]]:
    """The window's token ids, and `at` for 0 up to all plies; -1 outside the window and after the end."""
    characters, at, _ = _written(moves, WINDOW)
    return TOKENS[characters], at


def whole_plies(moves: Integer[np.ndarray, "game ply"]) -> Int[np.ndarray, " game"]:
    """How many plies of each game fit wholly into the window."""
    return _written(moves, WINDOW)[2]


def movetext(moves: Integer[np.ndarray, " ply"]) -> str:
    """The whole text of one game, as long as it is."""
    return movetexts(moves[None])[0]


def movetexts(moves: Integer[np.ndarray, "game ply"]) -> list[str]:
    characters, _, _ = _written(moves, full_width(moves.shape[1]))
    return [row.tobytes().decode().rstrip() for row in characters]


def characters(tokens: UInt8[np.ndarray, "game character"]) -> UInt8[np.ndarray, "game character"]:
    """The ASCII characters of token ids."""
    return np.frombuffer(SYMBOLS.encode(), np.uint8)[tokens]


def ascii_rows(texts: list[str]) -> UInt8[np.ndarray, "game character"]:
    """Texts as rows of ASCII characters, filled with spaces, of which each row has at least one."""
    width = 1 + max(map(len, texts), default=0)
    padded = "".join(text.ljust(width) for text in texts).encode("ascii", "replace")
    return np.frombuffer(padded, np.uint8).reshape(-1, width)


def parse(
    characters: UInt8[np.ndarray, "game character"], plies: int
) -> tuple[UInt16[np.ndarray, "game ply"], Int[np.ndarray, " game"]]:
    """The moves of each text, and where the first stands that is illegal, ambiguous or no move at all, or -1.

    A game is read up to there. A ply counts once a space follows it: cut off, "O-O" may have been "O-O-O".
    """
    moves = np.zeros((len(characters), plies), np.uint16)
    faults = np.full(len(characters), -1, np.int64)
    _parse(characters, moves, faults)
    return moves, faults


@inline
def full_width(plies):
    """Characters that a game of so many plies never exceeds: "100.", "Qa1xb2#" and a space each."""
    return 16 + 13 * plies


def _written(moves, width):  # type: ignore[no-untyped-def]
    characters = np.full((len(moves), width), SPACE)
    at = np.full((len(moves), moves.shape[1] + 1), -1, np.int16 if width < 2**15 else np.int32)
    whole = np.zeros(len(moves), np.int64)
    _write(moves, characters, at, whole)
    return characters, at, whole


@inline
def begin(out):
    out[0] = BEGIN
    return 1


@inline
def write_number(out, n, ply):
    """Writes the number and dot before White's move, nothing before Black's; returns where to go on."""
    if ply % 2:
        return n
    number = ply // 2 + 1
    if number >= 100:
        out[n] = ZERO_DIGIT + np.uint8(number // 100)
        n += 1
    if number >= 10:
        out[n] = ZERO_DIGIT + np.uint8(number // 10 % 10)
        n += 1
    out[n] = ZERO_DIGIT + np.uint8(number % 10)
    out[n + 1] = DOT
    return n + 2


@inline
def write_square(out, n, square):
    out[n] = A + np.uint8(square % EIGHT)
    out[n + 1] = ONE_DIGIT + np.uint8(square // EIGHT)
    return n + 2


@inline
def write_origin(position, us, kind, masks, out, n, origin, target):
    """As much of the origin as tells it from others of its kind that could go to the same square."""
    pieces = ZERO if kind == PAWN else position[us + kind] ^ (ONE << origin)
    rivals = ZERO
    while pieces:
        piece = pieces & (ZERO - pieces)
        rivals |= piece * ((masks[lowest(pieces)] >> target) & ONE)
        pieces ^= piece
    shares_file = rivals & (FILE_A << (origin % EIGHT)) != ZERO
    shares_rank = rivals & (RANK_1 << (origin & ~np.uint64(7))) != ZERO
    out[n] = A + np.uint8(origin % EIGHT)
    n += rivals != ZERO and (shares_rank or not shares_file)
    out[n] = ONE_DIGIT + np.uint8(origin // EIGHT)
    n += shares_file
    return n


@inline
def write_move(position, masks, origin, target, promotion, out, n):
    """Writes a legal move in algebraic notation, without "+" or "#"; returns where to go on."""
    us, them = colours(position)
    leaves, lands = ONE << origin, ONE << target
    kind = kind_on(position, us, leaves)
    if kind == KING and (lands == leaves << TWO or lands == leaves >> TWO):
        out[n], out[n + 1], out[n + 2] = CASTLE, MINUS, CASTLE
        if lands < leaves:
            out[n + 3], out[n + 4] = MINUS, CASTLE
            return n + 5
        return n + 3
    # Which characters appear is hard to foresee: each is written, and `n` moves on past those that count.
    takes = side(position, them) & lands != ZERO or (kind == PAWN and origin % EIGHT != target % EIGHT)
    out[n] = A + np.uint8(origin % EIGHT) if kind == PAWN else LETTERS[kind]
    n += kind != PAWN or takes
    n = write_origin(position, us, kind, masks, out, n, origin, target)
    out[n] = TAKES
    n += takes
    n = write_square(out, n, target)
    if promotion:
        out[n], out[n + 1] = EQUALS, LETTERS[promotion]
        n += 2
    return n


@inline
def write_end(checks, masks, out, n):
    """Writes what follows a ply once the next legal moves are known: "+", "#" or nothing, and a space."""
    if checks:
        anything = ZERO
        for origin in range(64):
            anything |= masks[origin]
        out[n] = CHECK if anything else MATE
        n += 1
    out[n] = SPACE
    return n + 1


@kernel
def _write(moves, characters, at, whole):
    plies, width = moves.shape[1], characters.shape[1]
    out = np.empty(full_width(plies), np.uint8)
    position = np.empty(WORDS, np.uint64)
    masks = np.empty(64, np.uint64)
    for g in range(moves.shape[0]):
        position[:] = START
        n = begin(out)
        for ply in range(plies + 1):
            checks = legal_masks(position, masks)
            if ply:
                n = write_end(checks, masks, out, n)
                whole[g] += n - 1 <= width
            if n > width or ply == plies or moves[g, ply] == 0:
                break
            n = write_number(out, n, ply)
            if n <= width:
                at[g, ply] = n - 1
            origin, target, promotion = origin_target_promotion(np.uint64(moves[g, ply]))
            n = write_move(position, masks, origin, target, promotion, out, n)
            make(position, origin, target, promotion)
        for i in range(min(n, width)):
            characters[g, i] = out[i]


@inline
def is_digit(c):
    return ZERO_DIGIT <= c <= NINE


@inline
def is_file(c):
    return A <= c < A + np.uint8(8)


@inline
def is_rank(c):
    return ONE_DIGIT <= c < ONE_DIGIT + np.uint8(8)


@inline
def only_origin(pieces, masks, target):
    """The origin among some pieces that reaches a target, or 64 where there is none or more than one."""
    origin, found = SIXTY_FOUR, ZERO
    while pieces:
        s = lowest(pieces)
        if (masks[s] >> target) & ONE:
            origin = s
            found += ONE
        pieces &= pieces - ONE
    return origin if found == ONE else SIXTY_FOUR


@njit(nogil=True)
def read_move(position, masks, text, n, end):
    """The legal move that text[n:end] names, as origin, target and promotion; origin 64 if there is none."""
    us, _ = colours(position)
    while end > n and (text[end - 1] == CHECK or text[end - 1] == MATE):
        end -= 1
    if end - n < 2:
        return SIXTY_FOUR, ZERO, ZERO
    if text[n] == CASTLE:
        return read_castling(position, us, masks, text, n, end)
    kind, promotion = KIND_OF[text[n]], ZERO
    if kind:
        n += 1
    elif KIND_OF[text[end - 1]]:
        promotion = KIND_OF[text[end - 1]]
        end -= 2 if text[end - 2] == EQUALS else 1
    if end - n < 2 or not is_file(text[end - 2]) or not is_rank(text[end - 1]) or promotion == KING:
        return SIXTY_FOUR, ZERO, ZERO
    target = np.uint64(text[end - 2] - A) + EIGHT * np.uint64(text[end - 1] - ONE_DIGIT)
    pieces = position[us + kind]
    if kind == PAWN:
        pieces &= promoting(position, us) if promotion else ~promoting(position, us)
        if end - n == 2:
            pieces &= FILE_A << (target % EIGHT)
    for i in range(n, end - 2):
        if is_file(text[i]):
            pieces &= FILE_A << np.uint64(text[i] - A)
        elif is_rank(text[i]):
            pieces &= RANK_1 << (EIGHT * np.uint64(text[i] - ONE_DIGIT))
        elif text[i] != TAKES:
            return SIXTY_FOUR, ZERO, ZERO
    return only_origin(pieces, masks, target), target, promotion


@inline
def read_castling(position, us, masks, text, n, end):
    origin = lowest(position[us + KING])
    kingside = end - n == 3
    target = origin + TWO if kingside else origin - TWO
    reads = kingside or end - n == 5
    for i in range(n, end):
        reads &= text[i] == (CASTLE if (i - n) % 2 == 0 else MINUS)
    if reads and origin % EIGHT == np.uint64(4) and (masks[origin] >> target) & ONE:
        return origin, target, ZERO
    return SIXTY_FOUR, ZERO, ZERO


@kernel
def _parse(characters, moves, faults):
    width = characters.shape[1]
    position = np.empty(WORDS, np.uint64)
    masks = np.empty(64, np.uint64)
    for g in range(characters.shape[0]):
        text = characters[g]
        position[:] = START
        n, ply = 0, 0
        while n < width and ply < moves.shape[1]:
            if text[n] == SPACE or text[n] == BEGIN or text[n] == DOT:
                n += 1
                continue
            end = n
            if is_digit(text[n]):
                while end < width and is_digit(text[end]):
                    end += 1
                if end < width and text[end] == DOT:
                    n = end + 1
                    continue
                if end < width and text[end] != MINUS:
                    faults[g] = n  # a number without a dot that no result like "1-0" begins with
                break
            while end < width and text[end] != SPACE:
                end += 1
            if end == width:
                break
            legal_masks(position, masks)
            origin, target, promotion = read_move(position, masks, text, n, end)
            if origin == SIXTY_FOUR:
                faults[g] = n
                break
            moves[g, ply] = ID[SIXTY_FOUR * origin + target] + promotion
            make(position, origin, target, promotion)
            ply += 1
            n = end
