"""Texts of many lengths without a dataset: cut from the documentation of the installed SciPy, the same on each call."""

from __future__ import annotations

import importlib
import inspect
import math
import random
from collections import Counter
from functools import cached_property

MODULES = ("scipy.linalg", "scipy.optimize", "scipy.signal", "scipy.stats", "scipy.ndimage", "scipy.interpolate")
SHORTEST, LONGEST = 6, 220
"""Words of a text; 220 words of this documentation are more than 256 tokens of a BERT."""


class Texts:
    """Passages whose lengths are spread evenly over their logarithm, and a short question beside each."""

    @cached_property
    def sources(self) -> list[list[str]]:
        """The words of each docstring of at least as many as the longest text has, in the order of names."""
        docs = {}
        for module_name in MODULES:
            module = importlib.import_module(module_name)
            for name in sorted(getattr(module, "__all__", ())):
                words = (inspect.getdoc(getattr(module, name)) or "").split()
                if len(words) >= LONGEST:
                    docs[tuple(words[:20])] = words
        return list(docs.values())

    def pairs(self, count: int, shortest: int = SHORTEST, longest: int = LONGEST) -> list[tuple[str, str]]:
        """Return questions and passages; all texts differ."""
        dice = random.Random(0)
        made: dict[str, str] = {}
        while len(made) < count:
            words = dice.choice(self.sources)
            size = round(math.exp(dice.uniform(math.log(shortest), math.log(longest))))
            start = dice.randrange(len(words) - min(size, len(words)) + 1)
            text = " ".join(words[start : start + size])
            question = "what does " + " ".join(dice.sample(words, 5)) + " mean"
            if text not in made and question not in made.values():
                made[text] = question
        return [(question, text) for text, question in made.items()]

    def passages(self, count: int) -> list[str]:
        return [text for _, text in self.pairs(count)]

    def frequent(self, count: int) -> list[str]:
        """The most frequent plain words, as a vocabulary of tiny models."""
        counts = Counter(word.lower() for words in self.sources for word in words if word.isalpha())
        return [word for word, _ in counts.most_common(count)]
