"""What solves the stretch goals of exercise 12."""

import torch
from torch import Tensor, nn


def beam_search(model: nn.Module, src: Tensor, bos_id: int, eos_id: int, max_len: int, beam: int) -> Tensor:
    """Write the target of one source, and keep several beginnings in mind.

    Source: Sutskever et al. 2014, section 3.2.
    """
    with torch.no_grad():
        memory = model.encode(src)  # (1, S, D)
        texts = [(0.0, [bos_id])]
        for _ in range(max_len):
            ended = [each for each in texts if each[1][-1] == eos_id]
            growing = [each for each in texts if each[1][-1] != eos_id]
            if not growing:
                break
            written = torch.tensor([ids for _, ids in growing], device=src.device)  # (N, L)
            logits = model.decode(
                written, memory.expand(len(growing), -1, -1), src.expand(len(growing), -1)
            )  # (N, L, V)
            log_probs = torch.log_softmax(logits[:, -1], dim=-1).tolist()  # N lists of V
            longer = [
                (total + log_prob, [*ids, token])
                for (total, ids), row in zip(growing, log_probs, strict=True)
                for token, log_prob in enumerate(row)
            ]
            texts = sorted([*ended, *longer], key=lambda each: each[0], reverse=True)[:beam]
    return torch.tensor(texts[0][1][1:], device=src.device)  # (L,)
