"""Statistics of scores: what a comparison of learners shows, and what chance would.

Start from :class:`Scores`. On one task: :func:`means`, :func:`t_test`, :func:`bayes_t_test`. Over several: :func:`ranks`,
:func:`friedman`, then :func:`nemenyi` or :func:`bonferroni_dunn`; :func:`wilcoxon`, :func:`bayes_signed_rank`. Every result
has ``to_dict`` and ``to_frame``. Scores that are missing are never left out: what cannot be computed with them is refused.
"""

from onnxlearn.statistics.averages import Mean, Means, means
from onnxlearn.statistics.paired import Bayes, TTest, bayes_t_test, t_test
from onnxlearn.statistics.posthoc import Posthoc, RankPair, bonferroni_dunn, nemenyi
from onnxlearn.statistics.ranking import Friedman, Ranks, friedman, ranks
from onnxlearn.statistics.scores import Cell, Scores
from onnxlearn.statistics.signed_rank import SignedRank, Wilcoxon, bayes_signed_rank, holm, wilcoxon

__all__ = [
    "Bayes",
    "Cell",
    "Friedman",
    "Mean",
    "Means",
    "Posthoc",
    "RankPair",
    "Ranks",
    "Scores",
    "SignedRank",
    "TTest",
    "Wilcoxon",
    "bayes_signed_rank",
    "bayes_t_test",
    "bonferroni_dunn",
    "friedman",
    "holm",
    "means",
    "nemenyi",
    "ranks",
    "t_test",
    "wilcoxon",
]
