"""The rules of chess on a 64-character board: slow, immutable, and meant to be read.

Squares are numbered as they are read, a1 first; a board is a string of 64 characters, upper case for White.

    a8 56 .. 63 h8
     :          :
    a1  0 ..  7 h1
"""

import re
from typing import NamedTuple


class Move(NamedTuple):
    """A pawn that reaches its last rank names the piece it becomes; castling is the king's move."""

    origin: int
    target: int
    promotion: str = ""


class State(NamedTuple):
    """A position and what its players must remember of the game so far."""

    board: str
    white: bool = True  # to move
    castling: str = ""  # the rights that are left, in the order KQkq
    ep: int | None = None  # the square that a pawn has just jumped over
    halfmoves: int = 0  # since the last capture or pawn move
    ply: int = 0
    last: int = 0
    seen: tuple[tuple, ...] = ()  # `key` of each earlier position since the last capture or pawn move


def _rays(square: int, steps: tuple[tuple[int, int], ...], length: int) -> tuple[tuple[int, ...], ...]:
    """For every step (files, ranks) that stays on the board: the squares that repeating it visits."""
    rays = []
    for files, ranks in steps:
        path = [(square % 8 + files * i, square // 8 + ranks * i) for i in range(1, length + 1)]
        rays.append(tuple(8 * rank + file for file, rank in path if file in range(8) and rank in range(8)))
    return tuple(ray for ray in rays if ray)


STRAIGHT = ((1, 0), (-1, 0), (0, 1), (0, -1))
DIAGONAL = ((1, 1), (1, -1), (-1, 1), (-1, -1))
JUMPS = ((1, 2), (2, 1), (2, -1), (1, -2), (-1, -2), (-2, -1), (-2, 1), (-1, 2))
RAYS = {
    kind: tuple(_rays(square, steps, length) for square in range(64))
    for kind, steps, length in (
        ("N", JUMPS, 1),
        ("B", DIAGONAL, 7),
        ("R", STRAIGHT, 7),
        ("Q", STRAIGHT + DIAGONAL, 7),
        ("K", STRAIGHT + DIAGONAL, 1),
    )
}
CAPTURES = {  # where a pawn of White (True) or Black captures
    white: tuple(
        tuple(s for ray in _rays(square, ((-1, up), (1, up)), 1) for s in ray) for square in range(64)
    )
    for white, up in ((True, 1), (False, -1))
}


def _vocabulary() -> list[Move]:
    """Every move that some piece could ever make, ordered by origin, target and promotion."""
    found = []
    for origin in range(64):
        for target in sorted(s for kind in "QN" for ray in RAYS[kind][origin] for s in ray):
            found.append(Move(origin, target))
            white, last_rank = origin // 8 == 6, (origin // 8, target // 8) in ((6, 7), (1, 0))
            if last_rank and (target % 8 == origin % 8 or target in CAPTURES[white][origin]):
                found.extend(Move(origin, target, kind) for kind in "NBRQ")
    return found


SQUARES = tuple("abcdefgh"[s % 8] + str(s // 8 + 1) for s in range(64))
MOVES = (Move(0, 0), *_vocabulary())  # a move's id is its place here; id 0 is no move
IDS = {move: i for i, move in enumerate(MOVES) if i}
UCI = ("start", *(SQUARES[m.origin] + SQUARES[m.target] + m.promotion.lower() for m in MOVES[1:]))

START = "rnbqkbnr/pppppppp/8/8/8/8/PPPPPPPP/RNBQKBNR w KQkq - 0 1"
HOMES = {
    "K": (4, 7),
    "Q": (4, 0),
    "k": (60, 63),
    "q": (60, 56),
}  # a right to castle: king's and rook's square


def start() -> State:
    return from_fen(START)


def from_fen(text: str) -> State:
    """The state that a FEN describes; a right to castle or capture en passant that cannot be is dropped."""
    fields = text.split()
    rows = fields[0].split("/") if len(fields) == 6 else []
    board = "".join(re.sub("[1-8]", lambda n: "." * int(n[0]), row) for row in reversed(rows))
    if len(rows) != 8 or len(board) != 64 or not re.fullmatch("[.PNBRQKpnbrqk]+", board):
        raise ValueError(f"expected a FEN like {START!r}, got {text!r}")
    if board.count("K") != 1 or board.count("k") != 1:
        raise ValueError(f"expected one king of each colour, got {text!r}")
    if fields[1] not in ("w", "b") or not all(field.isdecimal() for field in fields[4:]):
        raise ValueError(f"expected 'w' or 'b' to move and two counts at the end of a FEN, got {text!r}")
    white = fields[1] == "w"
    castling = "".join(
        right
        for right, (king, rook) in HOMES.items()
        if right in fields[2] and board[king] == ("K" if right in "KQ" else "k")
        if board[rook] == ("R" if right in "KQ" else "r")
    )
    ep = SQUARES.index(fields[3]) if fields[3] in SQUARES else None
    if ep is not None:
        up, row, pawn = (8, 5, "p") if white else (-8, 2, "P")
        if ep // 8 != row or board[ep] + board[ep + up] + board[ep - up] != ".." + pawn:
            ep = None
    ply = 2 * (max(int(fields[5]), 1) - 1) + (not white)
    return State(board, white, castling, ep, int(fields[4]), ply)


def fen(state: State) -> str:
    rows = (state.board[8 * row : 8 * row + 8] for row in reversed(range(8)))
    return " ".join(
        (
            "/".join(re.sub(r"\.+", lambda dots: str(len(dots[0])), row) for row in rows),
            "w" if state.white else "b",
            state.castling or "-",
            "-" if state.ep is None else SQUARES[state.ep],
            str(state.halfmoves),
            str(state.ply // 2 + 1),
        )
    )


def piece(kind: str, white: bool) -> str:
    return kind if white else kind.lower()


def is_own(piece: str, white: bool) -> bool:
    return piece != "." and piece.isupper() == white


def attackers(board: str, square: int, by_white: bool) -> list[int]:
    """The squares of the pieces of one side that attack a square, pinned or not."""
    found = [s for s in CAPTURES[not by_white][square] if board[s] == piece("P", by_white)]
    for kinds, rays in (("N", "N"), ("K", "K"), ("BQ", "B"), ("RQ", "R")):
        wanted = piece(kinds, by_white)
        for ray in RAYS[rays][square]:
            for s in ray:
                if board[s] != ".":
                    if board[s] in wanted:
                        found.append(s)
                    break
    return found


def is_attacked(board: str, square: int, by_white: bool) -> bool:
    return bool(attackers(board, square, by_white))


def checkers(state: State) -> list[int]:
    """The squares of the pieces that give check to the side to move."""
    return attackers(state.board, state.board.index(piece("K", state.white)), not state.white)


def in_check(state: State) -> bool:
    return bool(checkers(state))


def pseudo_legal(state: State) -> list[int]:
    """Ascending ids of the moves that the pieces can make, whether or not the own king is then attacked.

    Castling is among them only where it is legal.
    """
    found = [
        IDS[move]
        for origin, mover in enumerate(state.board)
        if is_own(mover, state.white)
        for target in _targets(state, origin)
        for move in _with_promotions(origin, target, mover)
    ]
    return sorted(found + [IDS[Move(king, target)] for king, target in _castlings(state)])


def _targets(state: State, origin: int) -> list[int]:
    board, white = state.board, state.white
    kind = board[origin].upper()
    if kind == "P":
        takes = [s for s in CAPTURES[white][origin] if is_own(board[s], not white) or s == state.ep]
        return takes + _pushes(board, origin, white)
    found = []
    for ray in RAYS[kind][origin]:
        for s in ray:
            if not is_own(board[s], white):
                found.append(s)
            if board[s] != ".":
                break
    return found


def _pushes(board: str, origin: int, white: bool) -> list[int]:
    up = 8 if white else -8
    if board[origin + up] != ".":
        return []
    may_jump = origin // 8 == (1 if white else 6) and board[origin + 2 * up] == "."
    return [origin + up, origin + 2 * up] if may_jump else [origin + up]


def _with_promotions(origin: int, target: int, mover: str) -> list[Move]:
    promotes = mover in "Pp" and target // 8 in (0, 7)
    return [Move(origin, target, kind) for kind in ("NBRQ" if promotes else ("",))]


def _castlings(state: State) -> list[tuple[int, int]]:
    """The king's origin and target, where nothing stands between and no square of its way is attacked."""
    found = []
    for right in state.castling:
        if right.isupper() == state.white:
            king, rook = HOMES[right]
            side = 1 if rook > king else -1
            between = state.board[min(king, rook) + 1 : max(king, rook)]
            way = (king, king + side, king + 2 * side)
            if not between.strip(".") and not any(is_attacked(state.board, s, not state.white) for s in way):
                found.append((king, king + 2 * side))
    return found


def moves(state: State) -> list[int]:
    """Ascending ids of the legal moves, also where a draw has already ended the game."""
    king = piece("K", state.white)
    found = []
    for move in pseudo_legal(state):
        board = _moved(state, move)
        if not is_attacked(board, board.index(king), not state.white):
            found.append(move)
    return found


def legal(state: State) -> list[int]:
    """Ascending ids of the legal moves; none when the game is over."""
    return [] if drawn(state) else moves(state)


def is_en_passant(state: State, move: int) -> bool:
    origin, target, _ = MOVES[move]
    return target == state.ep and state.board[origin] in "Pp" and origin % 8 != target % 8


def is_castling(state: State, move: int) -> bool:
    origin, target, _ = MOVES[move]
    return state.board[origin] in "Kk" and abs(target - origin) == 2


def captured(state: State, move: int) -> str:
    """The piece that a move takes, or "."."""
    return state.board[_taken_on(state, move)]


def _taken_on(state: State, move: int) -> int:
    origin, target, _ = MOVES[move]
    return 8 * (origin // 8) + target % 8 if is_en_passant(state, move) else target


def _moved(state: State, move: int) -> str:
    """The board after a pseudo-legal move."""
    origin, target, promotion = MOVES[move]
    board = list(state.board)
    board[_taken_on(state, move)] = "."
    board[target] = piece(promotion, state.white) or board[origin]
    board[origin] = "."
    if is_castling(state, move):
        rook = target + 1 if target > origin else target - 2
        board[(origin + target) // 2], board[rook] = board[rook], "."
    return "".join(board)


def play(state: State, move: int) -> State:
    """The state after a legal move."""
    origin, target, _ = MOVES[move]
    is_pawn = state.board[origin] in "Pp"
    castling = "".join(right for right in state.castling if not {origin, target} & set(HOMES[right]))
    zeroes = is_pawn or captured(state, move) != "."
    return State(
        board=_moved(state, move),
        white=not state.white,
        castling=castling,
        ep=(origin + target) // 2 if is_pawn and abs(target - origin) == 16 else None,
        halfmoves=0 if zeroes else state.halfmoves + 1,
        ply=state.ply + 1,
        last=move,
        seen=() if zeroes else (*state.seen, key(state)),
    )


def key(state: State) -> tuple:
    """What makes a position the same as another: an en passant that nobody can play does not count."""
    counts = state.ep is not None and any(is_en_passant(state, move) for move in moves(state))
    return state.board, state.white, state.castling, state.ep if counts else None


def repetitions(state: State) -> int:
    """How often the position has stood on the board, this time included."""
    return 1 + state.seen.count(key(state)) if len(state.seen) >= 4 else 1


def insufficient_material(state: State) -> bool:
    """Whether no sequence of moves can mate: bare kings, one knight, or bishops of one square colour."""
    men = state.board.replace(".", "").replace("K", "").replace("k", "").upper()
    if set(men) <= {"B"}:
        return len({(s % 8 + s // 8) % 2 for s, p in enumerate(state.board) if p in "Bb"}) <= 1
    return men == "N"


def drawn(state: State) -> bool:
    """Whether the game is over though there may be legal moves."""
    return insufficient_material(state) or state.halfmoves >= 150 or repetitions(state) >= 5


def can_claim_draw(state: State) -> bool:
    """Whether the position stands for the third time, or 50 moves passed without a capture or a pawn move."""
    return repetitions(state) >= 3 or (state.halfmoves >= 100 and bool(moves(state)))


def outcome(state: State) -> str:
    """How the game ended: "checkmate", "stalemate" or "draw"; "" while it goes on."""
    if not moves(state):
        return "checkmate" if in_check(state) else "stalemate"
    return "draw" if drawn(state) else ""


def result(state: State) -> str:
    """As a PGN says it: "1-0", "0-1", "1/2-1/2", or "*" while the game goes on."""
    return {
        "": "*",
        "checkmate": "0-1" if state.white else "1-0",
        "stalemate": "1/2-1/2",
        "draw": "1/2-1/2",
    }[outcome(state)]


def san(state: State, move: int) -> str:
    """A legal move in standard algebraic notation, with "+" for check and "#" for mate."""
    after = play(state, move)
    suffix = ("+" if moves(after) else "#") if in_check(after) else ""
    origin, target, promotion = MOVES[move]
    if is_castling(state, move):
        return ("O-O" if target > origin else "O-O-O") + suffix
    kind = state.board[origin].upper()
    takes = "x" if captured(state, move) != "." else ""
    file = SQUARES[origin][0] if takes else ""
    name = file if kind == "P" else kind + _disambiguation(state, origin, target)
    return name + takes + SQUARES[target] + (f"={promotion}" if promotion else "") + suffix


def _disambiguation(state: State, origin: int, target: int) -> str:
    """As much of the origin as tells it from others of the same kind that could go to the same square."""
    rivals = [
        MOVES[move].origin
        for move in moves(state)
        if MOVES[move].target == target and state.board[MOVES[move].origin] == state.board[origin]
    ]
    rivals.remove(origin)
    file, rank = SQUARES[origin]
    if not rivals:
        return ""
    if all(SQUARES[rival][0] != file for rival in rivals):
        return file
    return rank if all(SQUARES[rival][1] != rank for rival in rivals) else file + rank
