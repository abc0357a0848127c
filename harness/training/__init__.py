"""How models are trained: the recipes, and what the stages `tune_...` have in common.

Texts and labels go in, a trained model comes out. This package must not know artifacts, keys or stages.

    retrievers          bi-encoders: the recipes mnrl, triplet, distill and raw
      losses            the losses of mnrl, triplet and distill
      raw               the recipe raw: the same loss and batches in plain PyTorch
      batches           which rows make a batch, and which documents are no negatives
    rerankers           cross-encoders: the recipes bce and listwise
    generators          causal language models: the recipes lora and qlora
      completions       the loss of a completion, and its gradients for a step of prompts that begin alike
    checkpoints         choose a checkpoint on dev
    watch               what all trainers report, and the arguments that they share
    memory              smaller micro-batches after a shortage of memory
"""
