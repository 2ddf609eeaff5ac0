"""The lab: using what was built: corpora, baselines, training runs that survive an interruption, samples."""

import os

# How long a thread of PyTorch spins while it waits for another, before it sleeps. GNU's default is 300,000 rounds: on a
# busy machine, threads then spin on the cores that those they wait for need, and a step of a small model became up to
# sixty times slower. 10,000 rounds are as fast on a quiet machine. Read when torch is loaded, so it has to stand here.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
