"""The published table of othello6-v2: the runs of othello6-v1's table on the better model, and some more.

    boardsae sweep benchmarks/othello6_v2.py
    boardsae score results/othello6-v2
    boardsae leaderboard --write

Some 220 SAEs, an hour and a half on two cores. The coefficients lead to much the same L0s here; where a variant did not
reach below 10, or an end-to-end one above 80, it has a fifth.
"""

from othello6_v1 import SIZE
from othello6_v1 import SPARSITIES as SAME

from boardsae.grid import further, published

SPARSITIES = further(
    SAME,
    standard=0.26,
    p_anneal=0.14,
    gated=0.3,
    gated_p_anneal=0.16,
    jumprelu=0.0065,
    e2e=0.016,
    e2e_ds=0.042,
)
SPECS = published("othello6-v2", SPARSITIES, **SIZE)
