"""Trains a small neural network by momentum descent, with weights, moments and random state in memory only.

The same seed gives the same weights at the end, however often the program was moved on its way.
"""

import hashlib
import sys

import numpy as np

EPOCHS = int(sys.argv[1]) if len(sys.argv) > 1 else 150
random = np.random.default_rng(7)

inputs = random.standard_normal((4096, 32))
targets = np.sin(inputs @ random.standard_normal((32, 1))) + 0.1 * inputs[:, :1] ** 2
weights = [random.standard_normal(shape) * 0.1 for shape in [(32, 128), (128, 128), (128, 1)]]
moments = [np.zeros_like(w) for w in weights]


def step(x, y):
    hidden = [x]
    for w in weights[:-1]:
        hidden.append(np.tanh(hidden[-1] @ w))
    error = hidden[-1] @ weights[-1] - y
    gradient = 2 * error / len(x)
    for layer in reversed(range(len(weights))):
        own = hidden[layer].T @ gradient
        if layer:
            gradient = (gradient @ weights[layer].T) * (1 - hidden[layer] ** 2)
        moments[layer] = 0.9 * moments[layer] - 0.01 * own
        weights[layer] += moments[layer]
    return float((error**2).mean())


for epoch in range(1, EPOCHS + 1):
    order = random.permutation(len(inputs))
    losses = [step(inputs[part], targets[part]) for part in np.array_split(order, 32)]
    print(f"epoch {epoch} loss {np.mean(losses):.6f}", flush=True)

digest = hashlib.sha256(b"".join(w.tobytes() for w in weights)).hexdigest()
print(f"result: {digest}", flush=True)
