"""What solves the stretch goals of exercise 22."""

from ex22_llama import LlamaConfig


def _projections(config: LlamaConfig) -> int:
    """The numbers in the matrices of a block."""
    d_kv = config.d_model // config.n_heads * config.n_kv_heads
    attention = 2 * config.d_model * config.d_model + 2 * config.d_model * d_kv
    return attention + 3 * config.d_model * config.d_ff


def parameter_count(config: LlamaConfig) -> int:
    """How many numbers a model of these sizes learns."""
    tables = config.vocab_size * config.d_model * (1 if config.tied else 2)
    block = _projections(config) + 2 * config.d_model  # with two norms
    return tables + config.n_layers * block + config.d_model


def multiplications(config: LlamaConfig, length: int) -> int:
    """How many numbers are multiplied for one more token."""
    looking = 2 * config.d_model * (length + 1)  # H heads, each d wide: scores, then the mixture
    head = config.d_model * config.vocab_size
    return config.n_layers * (_projections(config) + looking) + head
