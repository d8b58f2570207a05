"""Is a pattern more, or less, frequent on the front than in a random draw of as many candidates?

The null hypothesis: which of the N scored candidates are the M on the front has nothing to do with the pattern. Under
every permutation of the label "on the front" the number of members with a pattern that K candidates have follows the
hypergeometric distribution; so the p value of one pattern needs no random numbers (Fisher's exact test).

Hundreds of patterns are tested at once, and they overlap: whoever has "3x3 then 1x1" has "3x3" too. Corrected p values
therefore come from the permutation distribution of the smallest p value of all patterns (min-P of Westfall and Young
1993, Resampling-Based Multiple Testing, section 2.3). It keeps the probability of even one false discovery below the
corrected p value, whatever the dependence between patterns; Benjamini-Hochberg would bound only the share of false
discoveries and Bonferroni would lose most of the power, as overlapping patterns hardly count twice. P values and not
counts are compared (min-P, not max-T), since a rare pattern's standardised count has a long tail that would drown the
others.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from xnas_core.analysis.population import Integers

Floats = npt.NDArray[np.float64]

_TIE = 1 + 1e-9


class ExactTest:
    """Two-sided p values of counts on the front, in closed form.

    Twice the smaller tail, at most 1: p = min(1, 2 min(P(X <= k), P(X >= k))), X hypergeometric (N, K, M).

    Args:
        everyone: (P,) how many of all candidates have each pattern, K.
        scored: number of candidates, N.
        members: how many of them are on the front, M.
    """

    def __init__(self, everyone: Integers, scored: int, members: int) -> None:
        kinds, self._kind = np.unique(everyone, return_inverse=True)
        rows = [two_sided(int(k), scored, members) for k in kinds]
        self._start = np.concatenate(([0], np.cumsum([len(row) for row in rows], dtype=np.int64)))[:-1][self._kind]
        self._table = np.concatenate(rows) if rows else np.ones(1)

    def p_values(self, front: Integers) -> Floats:
        """Return the p value of each pattern that `front` (P,) members have."""
        found: Floats = self._table[self._start + front]
        return found


def two_sided(having: int, scored: int, members: int) -> Floats:
    """Return the p values of 0, 1, ... min(having, members) members with a pattern that `having` candidates have."""
    most = min(having, members)
    counts = np.arange(most + 1)
    least = max(0, having + members - scored)
    logs = np.full(most + 1, -np.inf)
    logs[least:] = (
        _log_choose(having, counts[least:])
        + _log_choose(scored - having, members - counts[least:])
        - _log_choose(scored, np.array([members]))
    )
    mass = np.exp(logs)
    below, above = np.cumsum(mass), np.cumsum(mass[::-1])[::-1]
    result: Floats = np.minimum(1.0, 2 * np.minimum(below, above))
    return result


def corrected(codes: Integers, everyone: Integers, members: int, observed: Floats, draws: int, seed: int) -> Floats:
    """Return the min-P corrected p value of each pattern.

    Args:
        codes: (N, S) numbers of the patterns that each candidate has; P for a pattern that is not tested.
        everyone: (P,) candidates with each pattern.
        members: size of the front, M.
        observed: (P,) p values of the real front.
        draws: random fronts of M candidates, B.
        seed: of the draws.

    (1 + random fronts whose smallest p value is no larger) / (1 + B): never 0, and exact for any B (Phipson and Smyth
    2010). So 1 / (1 + B) is the smallest that can be said.
    """
    scored, tested = len(codes), len(everyone)
    if not tested:
        return np.ones(0)
    test = ExactTest(everyone, scored, members)
    rng = np.random.default_rng(seed)
    least = np.empty(draws)
    for draw in range(draws):
        chosen = rng.choice(scored, members, replace=False, shuffle=False)
        counts = np.bincount(codes[chosen].ravel(), minlength=tested + 1)[:tested]
        least[draw] = test.p_values(counts).min()
    least.sort()
    as_small = np.searchsorted(least, observed * _TIE, side="right")
    result: Floats = (1 + as_small) / (1 + draws)
    return result


def holm(p_values: Floats) -> Floats:
    """Return the p values corrected by Holm 1979: no false discovery, whatever the dependence. NaN stays NaN."""
    result = np.full(len(p_values), np.nan)
    known = np.flatnonzero(~np.isnan(p_values))
    order = known[np.argsort(p_values[known], kind="stable")]
    scaled = p_values[order] * np.arange(len(order), 0, -1)
    result[order] = np.minimum(1.0, np.maximum.accumulate(scaled)) if len(order) else scaled
    return result


_LOG_FACTORIALS: dict[int, Floats] = {}


def _log_choose(n: int, k: Integers) -> Floats:
    """Return the logarithm of n over k; 0 <= k <= n."""
    table = _log_factorials(n)
    result: Floats = table[n] - table[k] - table[n - k]
    return result


def _log_factorials(most: int) -> Floats:
    """Return the logarithms of 0!, 1!, ... up to at least most!."""
    size = 1 << max(10, most.bit_length())
    if size not in _LOG_FACTORIALS:
        _LOG_FACTORIALS[size] = np.array([math.lgamma(value + 1) for value in range(size)])
    return _LOG_FACTORIALS[size]
