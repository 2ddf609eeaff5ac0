"""The reference Llama against Llama as Hugging Face builds it, from configurations, with random weights."""

from __future__ import annotations

import os

import pytest
import torch

os.environ.setdefault("HF_HUB_OFFLINE", "1")
transformers = pytest.importorskip("transformers", reason="compares with Hugging Face transformers, a test extra")

CASES = [  # heads, heads of keys and values, tied, base
    pytest.param(4, 4, True, 10000.0, id="as many heads, tied"),
    pytest.param(6, 2, True, 100000.0, id="grouped, tied"),
    pytest.param(6, 3, False, 10000.0, id="grouped, untied"),
    pytest.param(4, 1, False, 500.0, id="one head of keys, untied"),
]


def pair(reference, heads: int, kv_heads: int, tied: bool, base: float):
    """A random model of theirs in float64, and ours with its weights."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=37,
        max_position_embeddings=19,
        hidden_size=8 * heads,
        num_attention_heads=heads,
        num_key_value_heads=kv_heads,
        num_hidden_layers=3,
        intermediate_size=29,
        rms_norm_eps=1e-3,
        rope_parameters={"rope_type": "default", "rope_theta": base},
        tie_word_embeddings=tied,
        attn_implementation="eager",
    )
    theirs = transformers.LlamaForCausalLM(config).double().eval()
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    ex = reference("ex22_llama")
    sizes = {"d_model": 8 * heads, "n_heads": heads, "n_kv_heads": kv_heads, "n_layers": 3, "d_ff": 29}
    mine = ex.Llama(ex.LlamaConfig(37, 19, **sizes, rope_base=base, norm_eps=1e-3, tied=tied)).double()
    ex.load_llama_weights(mine, theirs.state_dict())
    return mine, theirs


@pytest.mark.parametrize(("heads", "kv_heads", "tied", "base"), CASES)
def test_loaded_weights_give_the_same_logits_and_loss(reference, heads, kv_heads, tied, base):
    mine, theirs = pair(reference, heads, kv_heads, tied, base)
    ids = torch.randint(37, (2, 19))
    with torch.no_grad():
        logits, loss = mine(ids[:, :-1], ids[:, 1:])
        wanted = theirs(ids, labels=ids)
    torch.testing.assert_close(logits, wanted.logits[:, :-1], rtol=0, atol=1e-4)  # their angles are float32
    torch.testing.assert_close(loss.double(), wanted.loss.double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("heads", "kv_heads", "tied", "base"), CASES)
def test_both_write_the_same_with_their_caches(reference, heads, kv_heads, tied, base):
    mine, theirs = pair(reference, heads, kv_heads, tied, base)
    prompt = torch.randint(37, (1, 5))
    cache, ids, fresh = reference("ex17_kv_cache").KVCache(), prompt, prompt
    with torch.no_grad():
        for _ in range(12):
            fresh = mine(fresh, cache=cache)[0][:, -1:].argmax(-1)
            ids = torch.cat([ids, fresh], dim=1)
        wanted = theirs.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            max_new_tokens=12,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
        )
    assert ids.tolist() == wanted.tolist()


def test_it_trains_and_writes_as_a_gpt_does(reference):
    """`train` of exercise 14 and `generate` of exercise 15 take a Llama where they take a GPT."""
    ex, training = reference("ex22_llama"), reference("ex14_training")
    torch.manual_seed(0)
    model = ex.Llama(ex.LlamaConfig(5, 8, d_model=16, n_heads=2, n_kv_heads=1, n_layers=1, d_ff=24))
    tokens = torch.arange(300) % 5
    config = training.TrainConfig(
        steps=60, batch_size=8, max_lr=1e-2, min_lr=1e-3, warmup_steps=5, eval_every=60, eval_batches=2
    )
    history = training.train(model, tokens[:250], tokens[250:], config)
    assert history[-1]["val_loss"] < 0.1
    written = reference("ex15_sampling").generate(model, torch.tensor([[3, 4]]), 12, temperature=0.0)
    assert written[0].tolist() == [(3 + i) % 5 for i in range(14)]


def test_published_sizes_are_counted_right(reference):
    ex = reference("ex22_llama")
    with torch.device("meta"):
        model = ex.Llama(ex.LlamaConfig(49152, 8192, d_model=576, n_heads=9, n_kv_heads=3, n_layers=30, d_ff=1536))
    assert sum(p.numel() for p in model.parameters()) == 134_515_008
