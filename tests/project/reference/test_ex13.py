"""The reference GPT against GPT-2 as Hugging Face builds it, from a configuration, with random weights."""

from __future__ import annotations

import os

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=37,
        n_positions=11,
        n_embd=24,
        n_layer=3,
        n_head=4,
        activation_function="gelu_new",
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
    )
    model = transformers.GPT2LMHeadModel(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("prefix", [True, False])
def test_loaded_gpt2_weights_give_gpt2s_logits_and_loss(reference, theirs, prefix: bool):
    ex13 = reference("ex13_gpt")
    mine = ex13.GPT(ex13.GPTConfig(37, 11, d_model=24, n_heads=4, n_layers=3)).double().eval()
    state = theirs.state_dict() if prefix else theirs.transformer.state_dict()
    ex13.load_gpt2_weights(mine, state)
    ids = torch.randint(37, (2, 11))
    with torch.no_grad():
        logits, loss = mine(ids[:, :-1], ids[:, 1:])
        wanted = theirs(ids, labels=ids)
    torch.testing.assert_close(logits, wanted.logits[:, :-1], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(loss.double(), wanted.loss.double(), rtol=1e-6, atol=1e-6)


def test_the_parameters_of_gpt2_small_are_counted_right(reference):
    ex13 = reference("ex13_gpt")
    with torch.device("meta"):
        model = ex13.GPT(ex13.GPTConfig(50257, 1024, d_model=768, n_heads=12, n_layers=12))
    assert model.num_parameters() == 124_439_808
