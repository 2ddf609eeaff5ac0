"""What the stretch goals of exercise 13 must do."""

from __future__ import annotations

import torch

from grader.checks import Exercise, Random, check, filled


@check("as many as the model has")
def test_count(ex: Exercise, rng: Random):
    vocab_size, context, layers = rng.sizes(3)
    config = ex.GPTConfig(vocab_size, context, d_model=12, n_heads=3, n_layers=layers)
    return {"formula": ex.parameter_count(config), "model": ex.GPT(config).num_parameters()}


@check("without biases, and with another inner width", after=test_count)
def test_count_of_any_config(ex: Exercise, rng: Random):
    sizes = {"d_model": 12, "n_heads": 2, "n_layers": 3}
    return {
        "no biases": ex.parameter_count(ex.GPTConfig(11, 7, bias=False, **sizes)),
        "inner": ex.parameter_count(ex.GPTConfig(11, 7, d_ff=20, **sizes)),
        "both": ex.parameter_count(ex.GPTConfig(11, 7, d_ff=20, bias=False, **sizes)),
        "no blocks": ex.parameter_count(ex.GPTConfig(11, 7, d_model=12, n_heads=2, n_layers=0)),
    }


@check("a model of the size of GPT-3 is counted, and not made", after=test_count)
def test_count_of_a_large_config(ex: Exercise, rng: Random):
    return ex.parameter_count(ex.GPTConfig(50257, 2048, d_model=12288, n_heads=96, n_layers=96))


@check("the logits after each number of blocks", axes={"lens": "blocks batch position token"})
def test_lens(ex: Exercise, rng: Random):
    model = filled(ex.GPT(ex.GPTConfig(9, 6, d_model=8, n_heads=2, n_layers=3)), rng, dtype=torch.float64).eval()
    ids = rng.ids(9, 2, 5)
    return {"lens": ex.logit_lens(model, ids), "model": model(ids)[0]}
