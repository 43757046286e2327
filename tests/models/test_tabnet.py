"""Learner tabnet: the network against the package pytorch_tabnet, its masks, what goes wrong."""

import warnings

import numpy as np
import pytest
import torch
from onnx.reference import ReferenceEvaluator

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.graph.rewrite import rewrite
from onnxlearn.model import Model
from onnxlearn.preprocess.config import PreprocessConfig
from onnxlearn.preprocess.plan import plan_ingress
from onnxlearn.runtime import open_session
from onnxlearn.schema import Column, Ingress, Schema, Target
from onnxlearn.task import Task
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models import network_learner
from onnxlearn_models.lowering.lower import emit_outputs
from onnxlearn_models.tabnet import TabNet, TabNetConfig, TabNetNet, build_tabnet
from tests.contract.test_untrained import VALIDATION, outputs_of, task_of, untrained
from tests.models.networks import CODES as CODES_ALONE
from tests.models.networks import MIXED, NUMBERS, assert_lowers, count, warm

with warnings.catch_warnings():
    # The package imports from a place that scipy has left.
    warnings.filterwarnings("ignore", "Please import `spmatrix`", DeprecationWarning)
    from pytorch_tabnet.tab_model import TabNetClassifier
    from pytorch_tabnet.tab_network import TabNet as TheirNet
    from pytorch_tabnet.utils import create_explain_matrix

N_NUM, CODES, N_OUTPUTS = 7, (5, 9), 3
QUICK = {"max_epochs": 3, "n_d": 4, "n_a": 4, "device": "cpu"}

SHAPES = [
    {},
    {"n_steps": 1},
    {"n_steps": 5, "gamma": 1.0, "n_d": 4, "n_a": 12},
    {"n_shared": 0, "n_independent": 3},
    {"n_shared": 3, "n_independent": 0},
    {"mask_type": "entmax", "gamma": 2.0, "momentum": 0.3},
    {"d_embedding": 3},
]


def pair(codes=(), **options):
    """Our network and theirs with the same weights and running statistics, all of them random."""
    torch.manual_seed(0)
    config = TabNetConfig(**{"virtual_batch_size": 32, **options})
    ingress = Ingress(
        num_names=tuple(f"x{i}" for i in range(N_NUM)),
        cat_names=tuple(f"c{i}" for i in range(len(codes))),
        cardinalities=codes,
    )
    n_features = N_NUM + len(codes)
    ours = TabNetNet(ingress, N_OUTPUTS, config, list(range(n_features)), n_features)
    theirs = TheirNet(
        n_features, N_OUTPUTS, config.n_d, config.n_a, config.n_steps, config.gamma,
        cat_idxs=list(range(N_NUM, n_features)), cat_dims=list(codes), cat_emb_dim=[config.d_embedding] * len(codes),
        n_independent=config.n_independent, n_shared=config.n_shared, virtual_batch_size=config.virtual_batch_size,
        momentum=config.momentum, mask_type=config.mask_type, group_attention_matrix=torch.eye(n_features),
    )  # fmt: skip
    # As after a long training: at first ours takes plain averages.
    for name, tensor in ours.state_dict().items():
        if name.endswith("num_batches_tracked"):
            tensor.fill_(10_000)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.ndim == 1:
            tensor.normal_(1 if name.endswith("weight") else 0, 0.3)
    for mine, other in zip(tensors_of(ours), their_tensors(theirs), strict=True):
        assert mine.shape == other.shape
        other.copy_(mine)
    return ours, theirs


def tensors_of(net, *, grad=False):
    parts = list(net.embedding.tables) if net.embedding is not None else []
    parts.append(net.norm)
    for transformer in (net.first, *net.steps):
        parts += [*transformer.layers, *transformer.norms]
    for attention in net.attention:
        parts += [attention.linear, attention.norm]
    return values_of([*parts, net.head], grad)


def their_tensors(net, *, grad=False):
    encoder = net.tabnet.encoder
    parts = [*getattr(net.embedder, "embeddings", []), encoder.initial_bn]
    for transformer in (encoder.initial_splitter, *encoder.feat_transformers):
        blocks = (transformer.shared, transformer.specifics)
        layers = [layer for block in blocks if not isinstance(block, torch.nn.Identity) for layer in block.glu_layers]
        parts += [*(layer.fc for layer in layers), *(layer.bn.bn for layer in layers)]
    for attention in encoder.att_transformers:
        parts += [attention.fc, attention.bn.bn]
    return values_of([*parts, net.tabnet.final_mapping], grad)


def values_of(parts, grad):
    """All weights and statistics, or all gradients."""
    if grad:
        return [parameter.grad for part in parts for parameter in part.parameters()]
    return [tensor for part in parts for tensor in part.state_dict().values() if tensor.ndim]


def rows_of(n_rows, codes=()):
    rng = np.random.default_rng(0)
    num = torch.tensor(rng.normal(0, 2, (n_rows, N_NUM)), dtype=torch.float32)
    cat = torch.tensor(np.stack([rng.integers(0, n, n_rows) for n in codes], axis=1)) if codes else None
    return num, cat


def joined(num, cat):
    return num if cat is None else torch.cat([num, cat.float()], dim=1)


def in_parts(n_rows, n_parts):
    """The rows in the order in which our virtual batches are theirs: each is a run of rows there, every k-th row here."""
    return torch.arange(n_rows).reshape(n_parts, -1).T.flatten()


def same(ours, theirs):
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("codes", [(), CODES])
@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_same_weights_same_outputs_in_evaluation(options, codes):
    ours, theirs = pair(codes, **options)
    num, cat = rows_of(100, codes)
    with torch.no_grad():
        same(ours.eval()(num, cat), theirs.eval()(joined(num, cat))[0])


def in_double(ours, theirs):
    """Where batches are normed, float32 loses too much to compare both with the tolerance."""
    encoder = theirs.tabnet.encoder
    encoder.group_attention_matrix = encoder.group_attention_matrix.double()
    return ours.double().train(), theirs.double().train()


@pytest.mark.parametrize("n_rows", [2, 20, 32, 96])
@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_same_weights_same_outputs_and_gradients_in_training(options, n_rows):
    ours, theirs = in_double(*pair(CODES, **options))
    n_parts = max(1, n_rows // 32)
    order = in_parts(n_rows, n_parts)
    num, cat = rows_of(n_rows, CODES)
    found = ours(num[order].double(), cat[order])
    expected, sparsity = theirs(joined(num, cat))
    expected = expected[order]
    same(found, expected)
    penalty = ours.penalty()
    same(penalty, -1e-3 * sparsity)
    (found.square().mean() + 100 * penalty).backward()
    (expected.square().mean() - 0.1 * sparsity).backward()
    for mine, other in zip(tensors_of(ours, grad=True), their_tensors(theirs, grad=True), strict=True):
        # It takes the root of a half in float32.
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5 * (1 + float(other.abs().max())))
    if n_parts == 1:
        for mine, other in zip(tensors_of(ours), their_tensors(theirs), strict=True):
            same(mine, other)


@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_number_of_parameters(options):
    ours, theirs = pair(**options)
    # It holds a batch norm that it never calls.
    assert count(ours) == count(theirs) - count(theirs.tabnet.initial_bn)
    # Of their categories we have the levels; unseen and missing ones are ours.
    ours, _ = pair(tuple(n + 2 for n in CODES), **options)
    _, theirs = pair(CODES, **options)
    rows = 2 * len(CODES) * ours.config.d_embedding
    assert count(ours) == count(theirs) - count(theirs.tabnet.initial_bn) + rows


# Masks


def explained(theirs, rows, codes):
    """What the package's model explains of rows by this network: aggregated and of each step, by feature."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = TabNetClassifier(device_name="cpu", verbose=0)
    model.network, widths = theirs, [theirs.cat_emb_dim[0]] * len(codes) if codes else []
    n_features = N_NUM + len(codes)
    model.reducing_matrix = create_explain_matrix(
        n_features, widths, list(range(N_NUM, n_features)), theirs.embedder.post_embed_dim
    )
    shares, masks = model.explain(rows.numpy(), normalize=True)
    return torch.tensor(np.asarray(shares)), torch.tensor(np.stack([masks[i] for i in range(len(masks))], axis=1))


@pytest.mark.parametrize("codes", [(), CODES])
@pytest.mark.parametrize("options", SHAPES, ids=str)
def test_masks_are_those_that_the_package_explains(options, codes):
    num, cat = rows_of(100, codes)
    for masks in ("steps", "features"):
        ours, theirs = pair(codes, masks=masks, **options)
        of_features, of_steps = explained(theirs.eval(), joined(num, cat), codes)
        expected = of_steps if masks == "steps" else of_features
        with torch.no_grad():
            found = ours.eval().outputs(num, cat)
        assert set(found) == {"output", "masks"}
        same(found["output"], ours(num, cat))
        same(found["masks"], expected.float())
        same(found["masks"].sum(dim=-1), torch.ones(found["masks"].shape[:-1]))


def test_masks_where_no_step_decides_anything():
    ours, _ = pair(masks="features")
    with torch.no_grad():
        for step in ours.steps:
            step.layers[-1].weight.zero_()
            step.norms[-1].running_mean.zero_()
            # What is decided is negative, and cut off.
            for norm in step.norms:
                norm.weight.zero_()
                norm.bias.fill_(-1.0)
        ours.eval()
        found = ours.outputs(rows_of(20)[0])["masks"]
        ours.config = TabNetConfig(masks="steps")
        same(found, ours.outputs(rows_of(20)[0])["masks"].mean(dim=1))
    same(found.sum(dim=1), torch.ones(20))


def test_without_masks_there_is_no_such_output():
    ours, _ = pair()
    assert set(ours.eval().outputs(rows_of(3)[0])) == {"output"}


@pytest.mark.parametrize("masks", ["steps", "features"])
@pytest.mark.parametrize("kind", ["classes", "number"])
def test_masks_in_the_file(kind, masks):
    task = example_tasks()[kind]
    model = TabNet(**QUICK, masks=masks).fit(task, progress=False)
    plain = TabNet(**QUICK).fit(task, progress=False)
    names = model.schema.feature_names
    prediction = model.predict(task)
    shape = (3, len(names)) if masks == "steps" else (len(names),)
    assert prediction.masks.shape == (len(prediction), *shape)
    assert prediction.masks.dtype == np.float32
    assert (prediction.masks >= 0).all()
    np.testing.assert_allclose(prediction.masks.sum(axis=-1), 1, atol=1e-5)
    # Asking for masks changes nothing else.
    assert plain.predict(task).masks is None
    np.testing.assert_allclose(
        *(m.predict_feeds(task.feeds())[{"classes": "probabilities", "number": "prediction"}[kind]] for m in (model, plain)),
        rtol=1e-6, atol=1e-6,
    )  # fmt: skip
    columns = [name for name in prediction.to_frame().columns if name.startswith("masks")]
    places = [f"masks_{i}_{name}" for i in range(3) for name in names] if masks == "steps" else [f"masks_{n}" for n in names]
    assert columns == places
    one = model.predict_one(dict.fromkeys(names))["masks"]
    assert (list(one) == list(names)) if masks == "features" else ([len(step) for step in one] == [len(names)] * 3)
    for size in (0, 1, 37):
        feeds = {name: array[:size] for name, array in task.feeds().items()}
        np.testing.assert_allclose(model.predict_feeds(feeds)["masks"], prediction.masks[:size], atol=1e-5)
    assert ol_model(model.to_bytes(), 24).predict_feeds(task.feeds())["masks"].shape == prediction.masks.shape


def ol_model(data, opset):
    return Model(rewrite(data, opset=opset))


def test_masks_are_of_features_whatever_columns_they_have():
    """A feature may have several columns or none, and stand elsewhere."""
    columns = [
        Column(name="day", kind="datetime", dtype="naive", has_missing=True),
        Column(name="shape", kind="categorical", dtype="str", levels=("a", "b")),
        Column(name="size", kind="numeric", dtype="float64", has_missing=True),
        Column(name="late", kind="datetime", dtype="naive"),
        Column(name="grade", kind="ordered", dtype="str", levels=("low", "high")),
        Column(name="open", kind="boolean", dtype="bool", has_missing=True),
    ]
    target = Target(names=("y",), type="regression", dtype="float64")
    schema = Schema(name="t", features=tuple(columns), target=target)
    config = PreprocessConfig(
        cat_encoding="embedding", ordered_encoding="both", datetime_parts=("year", "month_cyclic", "elapsed")
    )
    ingress = plan_ingress(schema, config)
    assert dict(zip(ingress.num_names, ingress.num_sources, strict=True)) == {
        "grade": "grade", "size": "size", "day.year": "day", "late.year": "late", "day.elapsed": "day", "late.elapsed": "late",
        "day.month_sin": "day", "late.month_sin": "late", "day.month_cos": "day", "late.month_cos": "late", "open": "open",
        "size:missing": "size", "day:missing": "day", "open:missing": "open",
    }  # fmt: skip
    onehot = plan_ingress(schema, PreprocessConfig(cat_encoding="onehot", ordered_encoding="categorical"))
    sources = dict(zip(onehot.num_names, onehot.num_sources, strict=True))
    assert {name: source for name, source in sources.items() if "=" in name} == {
        "shape=a": "shape", "shape=b": "shape", "grade=low": "grade", "grade=high": "grade",
    }  # fmt: skip
    schema = Schema(name="t", features=tuple(columns), target=target, ingress=ingress)
    network = build_tabnet(schema, TabNetConfig(masks="features"))
    assert network.to_features.sum(dim=0).tolist() == [5, 1, 2, 4, 2, 2]
    assert network.to_features.argmax(dim=1).tolist()[:4] == [4, 2, 0, 3]
    assert network.to_features.argmax(dim=1).tolist()[-2:] == [1, 4]


# Lowering


@pytest.mark.parametrize("ingress", [NUMBERS, CODES_ALONE, MIXED], ids=["numbers", "codes", "mixed"])
@pytest.mark.parametrize("options", [*SHAPES, {"masks": "steps"}], ids=str)
def test_lowers_by_the_table(options, ingress):
    torch.manual_seed(0)
    n_columns = ingress.n_num + ingress.n_cat
    net = TabNetNet(ingress, 2, TabNetConfig(**options), list(range(n_columns)), n_columns)
    # In DOUBLE, as it is shipped: FLOAT does not determine its outputs well enough to compare them.
    assert_lowers(warm(net, ingress), ingress, {torch.float64: "DOUBLE"})


@pytest.mark.parametrize("masks", ["steps", "features"])
def test_masks_lower_by_the_table(masks):
    ours, _ = pair(masks=masks)
    g, num = GraphBuilder(), rows_of(37)[0]
    values = emit_outputs(g, ours.eval(), {"num": g.input("num", "FLOAT", ["N", N_NUM])}, {"num": num})
    assert list(values) == ["output", "masks"]
    shape = [3, N_NUM] if masks == "steps" else [N_NUM]
    g.output(values["masks"].value, "masks", "FLOAT", ["N", *shape])
    model = g.to_model()
    check(model)
    assert not [node for node in model.graph.node if node.op_type == "BatchNormalization"]
    expected = ours.outputs(num)["masks"].detach().numpy()
    session = open_session(model.SerializeToString(), "cpu")
    for size in (0, 1, 37):
        np.testing.assert_allclose(session.run(None, {"num": num[:size].numpy()})[0], expected[:size], atol=1e-5)
    np.testing.assert_allclose(ReferenceEvaluator(model).run(None, {"num": num.numpy()})[0], expected, atol=1e-5)


# The learner


def test_usable_on_a_small_table():
    """Where the package makes no step with its own batch size, and its running statistics hardly move."""
    task = Task.from_file("example:penguins", target="species")
    train, test = task.split(0.3, 0)
    model = TabNet(max_epochs=15, device="cpu").fit(train, test=test, progress=False)
    assert model.scores["test"]["acc"] > 0.9


def test_keeps_the_contract_with_masks():
    check_learner(TabNet(**QUICK, masks="features"), [example_tasks()["two"]])


@pytest.mark.parametrize("n_rows", [3, 5, 9])
def test_virtual_batches_have_more_than_one_row(n_rows):
    frame = example_tasks()["number"].frame.head(n_rows)
    task = Task.from_frame(frame[["width", "amount"]], "amount")
    for size in (2, 3, 64):
        model = TabNet(**QUICK, batch_size=size, virtual_batch_size=2, validation=(0,)).fit(task, progress=False)
        assert np.isfinite(model.predict(task).response).all()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"n_shared": 0, "n_independent": 0}, "n_independent=0 and n_shared=0 leave no layers: give one of them at least 1"),
        ({"virtual_batch_size": 1}, r"virtual_batch_size has to be int >= 2, not 1"),
        ({"mask_type": "softmax"}, r"mask_type has to be sparsemax \| entmax, not 'softmax'"),
        ({"gamma": 0.5}, r"gamma has to be float >= 1, <= 10, not 0.5"),
        ({"gamma": 1e30}, r"gamma has to be float >= 1, <= 10, not 1e\+30"),
        ({"activation": "relu"}, r"learner 'tabnet' has no parameter 'activation'\. It has 'accumulate', "),
        ({"epochs": 3}, r"learner 'tabnet' has no parameter 'epochs'\. Did you mean 'max_epochs'"),
        ({"masks": "rows"}, r"masks has to be none \| steps \| features, not 'rows'"),
    ],
)
def test_settings_that_are_refused(params, message):
    with pytest.raises(ParameterError, match=message):
        TabNet(**params)


def test_what_batch_norm_cannot_take_is_refused_before_training():
    task = example_tasks()["two"]
    with pytest.raises(ParameterError, match=r"learner 'tabnet': batch norm .* would have one: choose a larger batch_size"):
        TabNet(batch_size=1, device="cpu").fit(task, progress=False)
    two_rows = Task.from_frame(task.frame[["width", "two"]].groupby("two").head(1), "two")
    with pytest.raises(ParameterError, match=r"learner 'tabnet': batch norm .* there is 1 training row: give more rows, or"):
        TabNet(device="cpu", validation=(0,)).fit(two_rows, progress=False)


class Disturbance:
    """Before the training, changes the initial vectors of absent codes and the scales of columns that stand still."""

    def __init__(self, patch):
        self.size, self.n_changed = 0.0, 0
        self.train_network = network_learner.train_network
        patch.setattr(network_learner, "train_network", self)

    def __call__(self, module, train, valid, *, objective, **options):
        with torch.random.fork_rng():
            masks = untrained(module, train, objective.train)
            for (name, parameter), mask in zip(module.named_parameters(), masks, strict=True):
                # Units that are cut off for all rows have no gradient either: those of the layers may come to life.
                if name.startswith(("embedding.", "norm.")):
                    parameter.data[mask] += self.size * torch.randn(int(mask.sum()))
                    self.n_changed += int(mask.sum())
        return self.train_network(module, train, valid, objective=objective, **options)


@pytest.mark.parametrize("target", ["class", "number"])
@pytest.mark.parametrize("options", [{"cat_encoding": "onehot"}, {"d_embedding": 3, "masks": "features"}], ids=str)
def test_untrained_initial_values_move_nothing(monkeypatch, target, options):
    learner = TabNet(**QUICK, validation=VALIDATION, min_level_rows=1, **options)
    disturbance = Disturbance(monkeypatch)
    models = []
    for disturbance.size in (0.0, 5.0):
        models.append(learner.fit(task_of(target), progress=False))
    for before, after in zip(*map(outputs_of, models), strict=True):
        np.testing.assert_array_equal(before, after)
    assert models[0].history.equals(models[1].history)
    assert disturbance.n_changed > 40
