"""Search spaces: what is drawn, which conditions hold, and what is refused, all of it at once."""

import random

import pytest

import onnxlearn as ol
from onnxlearn import ingress, nn
from onnxlearn.errors import ParameterError, SpaceError
from onnxlearn.tuning.ranges import SIZES
from onnxlearn.tuning.space import Space

HIDDEN = nn.linear(8) >> nn.choice({"relu": nn.relu(), "wide": nn.prelu()}, choose="relu") >> nn.dropout(0.1)
GRAPH = ingress.num() >> nn.block(HIDDEN, n_blocks=2) >> nn.head()


def network(num, cat):
    raise AssertionError(num, cat)


def learners():
    special = {"graph": {"graph": GRAPH}, "module": {"module": network}}
    return {name: ol.learner(name, **special.get(name, {})) for name in ol.learners()}


def draw(space, seed):
    chance = random.Random(seed)
    drawn = {}

    def suggest(name, entry):
        domain = entry.domain
        if isinstance(domain, ol.Choice):
            drawn[name] = chance.choice(domain.values)
        elif entry.whole:
            drawn[name] = chance.randrange(domain.low, domain.high + 1, domain.step or 1)
        else:
            drawn[name] = chance.uniform(domain.low, domain.high)
        return drawn[name]

    return space.draw(suggest), drawn


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", sorted(set(ol.learners()) - {"auto"}))
def test_every_learner_has_a_space_whose_points_are_learners(name, size):
    learner = learners()[name]
    space = Space.of(learner, size)
    for seed in range(20):
        candidate, drawn = draw(space, seed)
        assert candidate.params == drawn
        assert candidate.learner == learner.replace(**drawn)
    smaller = [set(learner.space(other)) for other in SIZES[: SIZES.index(size)]]
    assert all(names <= set(learner.space(size)) for names in smaller)


def test_what_changes_no_result_is_not_searched():
    with pytest.raises(SpaceError, match=r"n_threads changes no result: .*; give it to the learner itself"):
        Space.of(ol.learner("mlp"), {"n_threads": [1, 2]})


def test_what_searches_by_itself_has_no_space():
    with pytest.raises(ParameterError, match="learner 'auto' searches by itself"):
        ol.learner("auto").space()


def test_what_a_parameter_says_of_itself_is_a_condition():
    space = Space.of(ol.learner("mlp"), {"n_bins": ol.Range(2, 9), "num_embedding": ["none", "piecewise_linear"]})
    found = [draw(space, seed)[1] for seed in range(30)]
    assert {(each["num_embedding"], "n_bins" in each) for each in found} == {("none", False), ("piecewise_linear", True)}
    # Whole numbers, both ends among them.
    assert {each["n_bins"] for each in (draw(space, seed)[1] for seed in range(300)) if "n_bins" in each} == set(range(2, 10))


def test_settings_that_a_choice_brings():
    space = Space.of(ol.learner("mlp"), {"optimizer": ["adamw", "sgd"], "opt_momentum": ol.Range(0.5, 0.99)})
    for seed in range(20):
        candidate, drawn = draw(space, seed)
        assert ("opt_momentum" in drawn) == (drawn["optimizer"] == "sgd")
        assert candidate.learner.values["optimizer"] == drawn["optimizer"]


def test_conditions_of_the_user():
    deep = ol.Range(0.1, 0.5, when={"n_blocks": [3, 4]})
    space = Space.of(ol.learner("mlp"), {"dropout": deep, "n_blocks": ol.Range(1, 4)})
    for seed in range(20):
        drawn = draw(space, seed)[1]
        assert ("dropout" in drawn) == (drawn["n_blocks"] > 2)


def test_branches_of_a_graph_bring_their_settings():
    graph = ingress.num() >> nn.choice({"a": nn.linear(4), "b": nn.linear(4) >> nn.dropout(0.2)}, choose="a") >> nn.head()
    learner = ol.learner(graph)
    space = {"choice__choose": ["a", "b"], "choice__b__dropout__p": ol.Range(0.1, 0.5)}
    for seed in range(20):
        drawn = draw(Space.of(learner, space), seed)[1]
        assert ("choice__b__dropout__p" in drawn) == (drawn["choice__choose"] == "b")


def test_a_choice_of_learners():
    some = {"mlp": ol.learner("mlp"), "linear": ol.learner("linear")}
    space = Space.of(some, {"linear": {"lr": ol.Range(0.1, 0.2)}})
    found = [draw(space, seed) for seed in range(20)]
    assert {candidate.learner.name for candidate, _ in found} == {"mlp", "linear"}
    for candidate, drawn in found:
        if candidate.name == "linear":
            assert set(drawn) == {"learner", "linear.lr"}
        else:
            assert "mlp.lr" in drawn
            assert "mlp.n_blocks" in drawn


def test_all_mistakes_are_told_at_once():
    wrong = {
        "lrr": ol.Range(1, 2), "dropout": ol.Range(0, 1.5), "n_blocks": ol.Range(0.5, 3.0), "activation": ["relu", "zelu"],
        "norm": ol.Choice("batch", when={"actvation": "relu"}), "seed": 3, "optimizer": ol.Range(1, 2),
    }  # fmt: skip
    with pytest.raises(SpaceError) as told:
        Space.of(ol.learner("mlp"), wrong)
    for start, text in zip(
        [
            "seed: what is searched is a Range, a Choice or a list",
            "learner 'mlp' has no parameter 'lrr'. Did you mean 'lr'?",
            "dropout has to be float | None >= 0, <= 0.95, not 1.5",
            "n_blocks: Range(0.5, 3.0) has ends that are no whole numbers",
            "activation has to be relu | gelu",
            "norm: when names 'actvation', which is no parameter of the learner. Did you mean 'activation'?",
            "optimizer is adam | adamw",
        ],
        told.value.mistakes,
        strict=True,
    ):
        assert text.startswith(start)
    with pytest.raises(SpaceError, match="n_bins changes nothing with num_embedding='pbld': search that too, set it, or leave"):
        Space.of(ol.learner("mlp"), {"n_bins": ol.Range(2, 9)})
    both = {"dropout": ol.Range(0.1, 0.2, when={"norm": "batch"}), "norm": ol.Choice("batch", when={"dropout": 0.1})}
    with pytest.raises(SpaceError, match="'dropout', 'norm' count beside each other alone"):
        Space.of(ol.learner("mlp"), both)
    with pytest.raises(ParameterError, match=r"the space has 'mpl', and there are the learners 'mlp'. Did you mean 'mlp'"):
        Space.of({"mlp": ol.learner("mlp")}, {"mpl": {}})
    with pytest.raises(ParameterError, match="a ready space is one of small, medium, large, not 'huge'"):
        ol.space("mlp", "huge")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ol.Range(2, 1), "goes from a smaller number to a greater one, not from 2 to 1"),
        (lambda: ol.Range(0, 1, log=True), "begins above 0, not at 0"),
        (lambda: ol.Range(0, 1, step=2), "a step lies within the range"),
        (lambda: ol.Range("a", 1), "low of a range is a number, not 'a'"),
        (lambda: ol.Range(0, 1, when="norm"), "when is a dict of parameters and values"),
        (lambda: ol.Choice(), "a choice needs values"),
        (lambda: ol.Choice("a", "a"), "has a value twice"),
    ],
)
def test_what_is_no_range(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_what_counts_for_nothing_on_a_task_is_not_searched():
    iris = ol.example_task("iris").schema
    whole = Space.of(ol.learner("multimodal"), "large")
    kept = whole.for_task(iris, strict=False).entries[""]
    assert {"text_pairs", "augment_flip", "cat_encoding"}.isdisjoint(kept)
    assert {"lr", "dropout"} <= kept.keys()
    with pytest.raises(SpaceError, match="text_pairs counts for texts, and the task has none: leave it out"):
        Space.of(ol.learner("multimodal"), {"text_pairs": [0, 64]}).for_task(iris, strict=True)
