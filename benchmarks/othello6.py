"""The published table of othello6-v1: every variant at four sparsities or more, three seeds each.

    boardsae sweep benchmarks/othello6.py
    boardsae score results/othello6-v1
    boardsae leaderboard --write

Some 230 SAEs of 1,024 features, 2M positions each: hours on two cores. The sparsities reach below L0 10 and above 80,
so that the table's L0s lie between runs; coefficients are from runs of 1M positions, those of
e2e and e2e_ds from 200,000.
"""

from boardsae.grid import grid, zoo

TASK, SIZE = "othello6-v1", {"d_sae": 1024, "rows": 2_000_000}
KS = (8, 18, 40, 90)
L1 = (0.03, 0.08, 0.15, 0.25, 0.4)
TAIL = (0.03, 0.08, 0.18, 0.35, 0.6)
SPARSITIES = zoo(
    KS,
    standard=L1,
    local=L1,
    p_anneal=(0.02, 0.06, 0.11, 0.17, 0.24),
    gated=(0.05, 0.1, 0.2, 0.35, 0.6),
    gated_p_anneal=(0.03, 0.08, 0.15, 0.24, 0.36),
    jumprelu=(0.0003, 0.0008, 0.0025, 0.008, 0.03),
    e2e=TAIL,
    e2e_ds=TAIL,
)
SPECS = (
    *grid(TASK, SPARSITIES, range(3), **SIZE),
    *grid(TASK, {"topk": KS}, range(3), kl_finetune=0.1, **SIZE),
)
