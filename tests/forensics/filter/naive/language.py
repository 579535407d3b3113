"""What filters at random are made of, beside fields, functions of one value and constants."""

from __future__ import annotations

ARITHMETIC = "arithmetic"
PAIRS = "two fields of several cells"
CORRELATED = "any(l, p: …)"
SCORES = "zscore and rank"
REFERENCES = "$field"
TENSORS = "norm, cos and dist"
MORE_FUNCTIONS = "argmax, argmin, quantile and entropy"
TOKENS = "token literals"
CASE = "marks, tags and notes"

LANGUAGE = frozenset(
    (PAIRS, ARITHMETIC, SCORES, CORRELATED, TOKENS, MORE_FUNCTIONS, TENSORS, REFERENCES, CASE)
)
"""What the engine answers."""
