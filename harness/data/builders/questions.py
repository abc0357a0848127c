"""The one-line summary of a symbol, turned into the question that the symbol answers.

The grammar is a handful of rules over English words. This module must not know SciPy's documentation.
"""

from __future__ import annotations

import re

ASK = "Which SciPy function or class"
MIN_WORDS = 3
MIN_ARGUMENT_WORDS, MAX_ARGUMENT_WORDS = 6, 25
_ARGUMENT = re.compile(
    r"(?:the|an?|whether|number|order|length|size|points?|values?|maximum|minimum|relative|absolute|initial|lower|upper|"
    r"coefficients?|weights?|indices|names?|array|list|sequence|matrix|tolerance|type|method|axis|axes)\b(?!.*\bsee\b)",
    re.IGNORECASE,
)
"""How a phrase begins that can stand after ``takes``."""
_FIRST_SENTENCE = re.compile(r"(?<=[a-z)])[.;:]\s")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERBS = _words(
    """add adjust analyze apply approximate assess assign bracket build calculate cast check classify clean combine
    compare compress compute construct convert convolve correlate count create cross-correlate decompose decompress
    deconvolve describe detect determine differentiate downsample draw enforce ensure enumerate estimate evaluate
    extract fill find flatten generate get give handle identify implement improve indicate insert integrate
    interchange interpolate invert iterate load locate maximize merge minimize move normalize obtain open permute
    perform predict print produce project provide pull raise read reconstruct reduce register remove reorder represent
    resample reset reshape retrieve return reverse rotate run save select show simulate solve sort split stack
    suppress swap tabulate transpose trim truncate update upsample use validate verify wrap write zoom"""
)
_VERBS_OR_NOUNS = _words(
    """cluster design filter fit form label list map mask measure plot rank round sample scale set shift slice test
    transform weight"""
)
_NOUN_SIGNS = _words("of for function functions from with and or is statistic design")
_THINGS = _words(
    """base class subclass method solver generator interpolator interface container placeholder operator manager engine
    wrapper strategy constraint model algorithm routine sampler"""
)
_UNCOUNTED = _words(
    """access analysis approximation decomposition design factorization information integration interpolation
    minimization multiplication optimization order programming quadrature regression resampling selection
    smoothing storage tessellation"""
)
_NAMES = _words(
    """adams airy akima anderson ansari argus bartlett bayesian bernoulli bessel brownian broyden butterworth cauchy
    chebyshev cholesky cramer cressie crystalball dawson delaunay dijkstra dirichlet dunnett elman euler faddeeva fisher
    floater fourier frechet fresnel friedman gauss gaussian gegenbauer halton hamming hankel hermite hessian huber
    hurwitz jacobi jahnke jensen jones kaiser kelvin kendall khatri kolmogorov krogh kronecker kruskal lagrange laguerre
    lambert laplace latin lebedev legendre levene mann markov mathieu matlab newton neumann owen pearson pochhammer
    poisson procrustes python riemann romberg runge sobol spearman spence struve student tukey voigt voronoi weibull
    wilcoxon wright yen"""
)
_PREPOSITION = re.compile(
    r"(?<!\s)\s*[,(;:]|\s(?:of|for|in|on|with|using|by|to|from|at|between|over|that|which|related|based|used|given|when|as|"
    r"under|around|per|about|via|where|and|or|up|due)\s"
)
_GIVEN = re.compile(r"(given|based on|using|for)\b(.+?), ([\w-]+) (.+)", re.IGNORECASE)
_AND_VERB = re.compile(r"((?:^|,? )(?:and|or) )([a-z-]+)(?= [a-z]|$)")


def third_person(verb: str) -> str:
    """``compute`` -> ``computes``, ``apply`` -> ``applies``, ``stretch`` -> ``stretches``."""
    if re.search(r"[^aeiou]y$", verb):
        return f"{verb[:-1]}ies"
    return f"{verb}es" if re.search(r"(s|x|z|ch|sh|o)$", verb) else f"{verb}s"


_THIRD = {third_person(verb) for verb in _VERBS | _VERBS_OR_NOUNS} | {"is", "are"}


def question(summary: str) -> str | None:
    """Turn a summary into a question; None if it is too short for one."""
    text = summary.strip().rstrip(".:;,? ")
    if len(text.split()) < MIN_WORDS or not re.match(r"['\"(]?\w", text):
        return None
    return f"{ASK}{_predicate(text)}?"


def argument_question(meaning: str) -> str | None:
    """Turn what an argument means into a question for what takes it; None if it is no phrase of 6 to 25 words.

    ``The number of taps in the FIR filter.`` becomes ``Which ... takes the number of taps in the FIR filter?``
    """
    first = _FIRST_SENTENCE.split(meaning, maxsplit=1)[0].strip().rstrip(".:;,")
    if not _ARGUMENT.match(first) or not MIN_ARGUMENT_WORDS <= len(first.split()) <= MAX_ARGUMENT_WORDS:
        return None
    phrase = first if first[1:2].isupper() else first[0].lower() + first[1:]
    takes = "can be told" if phrase.startswith("whether") else "takes"
    return f"{ASK} {takes} {phrase}?"


def _predicate(text: str) -> str:
    text = re.sub(r"^(this|these|the) (class|function|method|routine)s? (?=\w+s )", "", text, flags=re.IGNORECASE)
    text = re.sub(r"^instances of this class (?=\w)", "", text, flags=re.IGNORECASE)
    if (match := _GIVEN.fullmatch(text)) and _is_verb(match[3].lower(), match[4]):
        return f", {match[1].lower()}{match[2]}, {third_person(match[3].lower())} {match[4]}"
    if match := re.match(r"(?:[\w'-]+ ){1,3}is (an?|the) (?=\w)", text):
        return f" is {match[1]} {text[match.end() :]}"
    if text.startswith("Is "):
        return f" answers: is {text[3:]}"
    return _verb_phrase(text) or _noun_phrase(text)


def _verb_phrase(text: str) -> str | None:
    words = text.split(" ")
    for at in range(min(2, len(words))):
        bare = words[at].lower().rstrip(",")
        after = " ".join(words[at + 1 :])
        if at and not (words[0].endswith("ly") or after.startswith(("a ", "an ", "the "))):
            return None
        if bare in _THIRD and not after.startswith("of "):
            done = bare
        elif _is_verb(bare, after):
            done = third_person(bare)
        else:
            continue
        comma = "," if words[at].endswith(",") else ""
        rest = _and_verbs(after) if done != bare else after
        return " " + " ".join(filter(None, [*map(_lower, words[:at]), done + comma, rest]))
    return None


def _is_verb(word: str, after: str) -> bool:
    following = after.split(" ")[0].lower()
    if word in _VERBS_OR_NOUNS:
        return following not in _NOUN_SIGNS and not following.endswith("ing")
    return word in _VERBS


def _and_verbs(text: str) -> str:
    """Conjugate the verbs that stand beside the first one: ``x and return y`` -> ``x and returns y``."""
    end = re.search(r"\b(to|that|which|for|such|can|will)\b", text)
    stop = end.start() if end else len(text)

    def conjugate(match: re.Match[str]) -> str:
        return match[1] + (third_person(match[2]) if match[2] in _VERBS else match[2])

    return _AND_VERB.sub(conjugate, text[:stop]) + text[stop:]


def _noun_phrase(text: str) -> str:
    first, _, rest = text.partition(" ")
    if first in ("A", "An"):
        return f" is {first.lower()} {rest}"
    if first in ("The", "All", "Each", "Several", "Some"):
        return f" gives {first.lower()} {rest}"
    if first.endswith("ly") and rest.startswith(("equivalent ", "similar ")):
        return f" is {first.lower()} {rest}"
    phrase = f"{_lower(first)} {rest}"
    end = _PREPOSITION.search(phrase)
    head = phrase[: end.start() if end else len(phrase)].split(" ")[-1].lower()
    if first.endswith(("'s", "s'")):
        return f" gives {phrase}"
    if head in _THINGS:
        return f" is {_article(phrase)} {phrase}"
    return f" gives {phrase}" if _is_mass_or_plural(head) else f" gives the {phrase}"


def _is_mass_or_plural(head: str) -> bool:
    return head in _UNCOUNTED or bool(re.search(r"(ing|[^siu]s)$", head))


def _article(phrase: str) -> str:
    return "an" if re.match(r"(?!uni|use|uti|eu|one\b)[aeiou]|[FHLMNRSX][A-Z]", phrase) else "a"


def _lower(word: str) -> str:
    """Small initial, unless the word is a person's name, an acronym or a symbol."""
    stem = re.split(r"['/-]", word)[0].lower().removesuffix(",")
    keep = len(stem) < 2 or stem in _NAMES or not re.fullmatch(r"[A-Z][a-z]+([^A-Z0-9].*)?", word)
    return word if keep else word[0].lower() + word[1:]
