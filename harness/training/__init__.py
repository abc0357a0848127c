"""How models are trained: what the stages `tune_...` have in common, and the recipes that are our own.

Texts and labels go in, a trained model comes out; this package must not know artifacts, keys or stages.
"""
