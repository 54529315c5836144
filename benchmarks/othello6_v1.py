"""The published table of othello6-v1: every variant at four sparsities, three seeds each.

    boardsae sweep benchmarks/othello6_v1.py
    boardsae score results/othello6-v1
    boardsae leaderboard --write

Some 200 SAEs of 1,024 features, 1M positions each: an hour or two on two cores. The sparsities reach below L0 10 and
above 80, so that the table's L0s lie between runs.
"""

from boardsae.grid import published, zoo

SIZE = {"d_sae": 1024, "rows": 1_000_000}
L1 = (0.02, 0.05, 0.1, 0.22)
SPARSITIES = zoo(
    (8, 18, 40, 90),
    standard=L1,
    local=L1,
    p_anneal=(0.012, 0.025, 0.045, 0.095),
    gated=(0.025, 0.06, 0.12, 0.22),
    gated_p_anneal=(0.015, 0.03, 0.055, 0.1),
    jumprelu=(0.00015, 0.0006, 0.0018, 0.005),
    e2e=(0.02, 0.08, 0.25, 0.7),
    e2e_ds=(0.05, 0.15, 0.4, 1.0),
)
SPECS = published("othello6-v1", SPARSITIES, **SIZE)
