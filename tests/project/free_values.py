"""Where values are free: which kinds of what can be made of the reference's observation a check accepts, and why.

To make one of these up, a submission needs an observation that is right to begin with.
"""

from __future__ import annotations

WEIGHTS = "a new table is drawn at random, and its entries in another order, or with the other sign, are another draw"
DRAWS = "which windows are drawn is free, and so is their order"

FREE: dict[str, tuple[str, tuple[str, ...]]] = {
    "ex03 test_initial_weights": (WEIGHTS, ("exchanged", "rolled", "turned")),
    "ex03 test_layers_differ": (WEIGHTS, ("exchanged", "rolled", "turned")),
    "ex04 test_initial_weights": (WEIGHTS, ("exchanged", "rolled", "turned")),
    "ex13 test_initial_weights": (WEIGHTS, ("rolled",)),
    "ex13 test_residual_projections": (WEIGHTS, ("rolled", "turned")),
    "ex13 test_dropout": ("two passes in training drop at random: either may come first", ("backwards", "exchanged")),
    "ex14 test_batch_starts": (DRAWS, ("rolled",)),
    "ex14 test_batch_generator": (DRAWS, ("backwards",)),
    "ex14 test_train_undisturbed": (DRAWS, ("backwards", "exchanged")),
    "ex14 test_train_mode": (DRAWS, ("exchanged",)),
    "ex15 test_frequencies": ("shares are held against one's own probabilities, which others compare", ("rolled",)),
    "ex16 test_reproducible": ("with another seed, any losses may come in any order", ("exchanged", "rolled")),
    "ex16 test_who_reads_what": (DRAWS, ("exchanged",)),
    "ex22 test_initial_weights": (WEIGHTS, ("exchanged", "rolled")),
    "ex22 test_residual_projections": (WEIGHTS, ("exchanged", "rolled", "turned")),
    "ex23 test_speedrun": (
        "how many parameters and how long a context a model has is free",
        ("exchanged", "frozen dicts"),
    ),
}
