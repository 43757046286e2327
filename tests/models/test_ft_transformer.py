"""FT-Transformer against rtdl_revisiting_models and torch's own encoder layer, its settings and its way into ONNX."""

import numpy as np
import pandas as pd
import pytest
import rtdl_revisiting_models as rtdl
import torch
from torch import nn

from onnxlearn.errors import ParameterError
from onnxlearn.graph.builder import GraphBuilder
from onnxlearn.graph.check import check
from onnxlearn.runtime import open_session
from onnxlearn.schema import Column, Ingress, Schema, Target
from onnxlearn.task import Task
from onnxlearn.testing import check_learner, example_tasks
from onnxlearn_models.ft_transformer import Block, FTTransformer, FTTransformerConfig, FTTransformerNet
from onnxlearn_models.layers.numeric import NUM_EMBEDDINGS, LinearEmbedding, NumEmbeddingConfig
from onnxlearn_models.lowering.lower import lower
from onnxlearn_models.training.loop import evaluate
from onnxlearn_models.training.loss import row_loss
from onnxlearn_models.training.objective import Objective, accuracy
from onnxlearn_models.training.tensors import Tensors

LEVELS = (3, 12)
N_NUM, N_OUT = 4, 3
TINY = {"n_blocks": 2, "d_block": 16, "attention_n_heads": 4}


def ingress(n_num=N_NUM, levels=LEVELS):
    names = tuple(f"x{i}" for i in range(n_num))
    cats = tuple(f"c{i}" for i in range(len(levels)))
    return Ingress(num_names=names, num_kinds=("number",) * n_num, cat_names=cats, cardinalities=tuple(n + 2 for n in levels))


def network(n_num=N_NUM, levels=LEVELS, n_outputs=N_OUT, **settings):
    torch.manual_seed(0)
    return FTTransformerNet(ingress(n_num, levels), n_outputs, FTTransformerConfig(**settings))


def rows(n_rows=37, n_num=N_NUM, levels=LEVELS):
    torch.manual_seed(1)
    num = torch.randn(n_rows, n_num) if n_num else None
    return num, torch.stack([torch.randint(0, n + 2, (n_rows,)) for n in levels], dim=1) if levels else None


def published(n_num, levels, **kwargs):
    network = rtdl.FTTransformer(n_cont_features=n_num, cat_cardinalities=[n + 2 for n in levels], d_out=N_OUT, **kwargs)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.2)
    return network


def copy_weights(theirs, ours):
    """The published network's weights in ours."""
    pairs = [(ours.tokenizer.cls_token, theirs.cls_embedding.weight), *zipped(ours.head, theirs.backbone.output.linear)]
    if theirs.cont_embeddings is not None:
        pairs += zipped(ours.tokenizer.numbers, theirs.cont_embeddings)
    if theirs.cat_embeddings is not None:
        tables = torch.cat([table.weight for table in theirs.cat_embeddings.embeddings])
        pairs += [(next(ours.tokenizer.categories.embedding.parameters()), tables)]
        pairs += [(ours.tokenizer.categories.bias, theirs.cat_embeddings.bias)]
    pairs += zipped(ours.norm, theirs.backbone.output.normalization)
    for block, other in zip(ours.blocks, theirs.backbone.blocks, strict=True):
        attention, theirs_ = block.attention, other["attention"]
        for part, name in (
            (attention.query, "W_q"),
            (attention.key, "W_k"),
            (attention.value, "W_v"),
            (attention.mix, "W_out"),
        ):
            pairs += zipped(part, getattr(theirs_, name))
        pairs += [*zipped(block.ffn[0], other["ffn"].linear1), *zipped(block.ffn[3], other["ffn"].linear2)]
        pairs += zipped(block.ffn_norm, other["ffn_normalization"])
        if "attention_normalization" in other:
            pairs += zipped(block.attention_norm, other["attention_normalization"])
    with torch.no_grad():
        for our, their in pairs:
            our.copy_(their)
    assert sum(our.numel() for our, _ in pairs) == count(ours) == count(theirs)


def zipped(ours, theirs):
    return list(zip(ours.parameters(), theirs.parameters(), strict=True))


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("n_blocks", range(1, 7))
def test_published_sizes_give_the_published_outputs(n_blocks):
    kwargs = rtdl.FTTransformer.get_default_kwargs(n_blocks)
    theirs, ours = published(N_NUM, LEVELS, **kwargs).eval(), network(n_blocks=n_blocks).eval()
    copy_weights(theirs, ours)
    torch.testing.assert_close(ours(*rows()), theirs(*rows()), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("n_num", "levels"), [(N_NUM, ()), (0, LEVELS), (1, (2,))])
@pytest.mark.parametrize("activation", ["ReLU", "ReGLU"])
def test_same_weights_give_the_same_outputs_and_gradients(n_num, levels, activation):
    kwargs = {"n_blocks": 2, "d_block": 24, "attention_n_heads": 4, "ffn_d_hidden": 20}
    none = {"attention_dropout": 0.0, "ffn_dropout": 0.0, "residual_dropout": 0.0}
    theirs = published(n_num, levels, **kwargs, **none, ffn_d_hidden_multiplier=None, ffn_activation=activation)
    ours = network(n_num, levels, **kwargs, **none, activation=activation.lower())
    copy_weights(theirs, ours)
    inputs = rows(50, n_num, levels)
    found, expected = ours(*inputs), theirs(*inputs)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    found.square().mean().backward()
    expected.square().mean().backward()
    # The gradients in the place of the weights.
    for module in (ours, theirs):
        for parameter in module.parameters():
            parameter.data = parameter.grad
    gradients = network(n_num, levels, **kwargs, activation=activation.lower())
    copy_weights(theirs, gradients)
    for found, expected in zip(ours.parameters(), gradients.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_dropouts_drop_what_the_published_ones_do():
    settings = {"n_blocks": 2, "d_block": 16, "attention_n_heads": 4, "attention_dropout": 0.3, "ffn_dropout": 0.2}
    theirs = published(N_NUM, LEVELS, **settings, residual_dropout=0.1, ffn_d_hidden_multiplier=4 / 3)
    ours = network(**settings, residual_dropout=0.1)
    copy_weights(theirs, ours)
    num, cat = rows(1)
    many = num.expand(4000, -1), cat.expand(4000, -1)
    with torch.no_grad():
        found, expected = ours(*many), theirs(*many)
    error = (found.var(0) / len(found) + expected.var(0) / len(expected)).sqrt()
    assert ((found.mean(0) - expected.mean(0)).abs() < 4 * error).all()
    torch.testing.assert_close(found.std(0), expected.std(0), rtol=0.1, atol=0)


def test_parameters_are_as_many_as_published_ones_and_two_rows_a_category():
    kwargs = rtdl.FTTransformer.get_default_kwargs()
    assert count(network(levels=())) == count(published(N_NUM, (), **kwargs))
    without = rtdl.FTTransformer(n_cont_features=N_NUM, cat_cardinalities=list(LEVELS), d_out=N_OUT, **kwargs)
    assert count(network()) == count(without) + 2 * len(LEVELS) * 192


@pytest.mark.parametrize("n_blocks", range(1, 7))
def test_what_is_left_open_goes_by_the_number_of_blocks(n_blocks):
    kwargs = rtdl.FTTransformer.get_default_kwargs(n_blocks)
    chosen = FTTransformerConfig(n_blocks=n_blocks).filled()
    assert (chosen.d_block, chosen.attention_dropout, chosen.ffn_dropout) == (
        kwargs["d_block"], kwargs["attention_dropout"], kwargs["ffn_dropout"],
    )  # fmt: skip
    given = FTTransformerConfig(n_blocks=n_blocks, d_block=8, attention_dropout=0.0, ffn_dropout=0.5)
    assert given.filled() == given


@pytest.mark.parametrize("prenormalization", [True, False])
def test_a_block_is_an_encoder_layer(prenormalization):
    settings = {"d_block": 16, "attention_n_heads": 4, "ffn_d_hidden": 24, "attention_dropout": 0.0, "ffn_dropout": 0.0}
    config = FTTransformerConfig(**settings, activation="gelu", prenormalization=prenormalization)
    block = Block(16, config, is_first=False, is_last=False)
    layer = nn.TransformerEncoderLayer(16, 4, 24, dropout=0.0, activation="gelu", batch_first=True, norm_first=prenormalization)
    with torch.no_grad():
        for parameter in block.parameters():
            parameter.normal_(0, 0.3)
        maps = (block.attention.query, block.attention.key, block.attention.value)
        layer.self_attn.in_proj_weight.copy_(torch.cat([linear.weight for linear in maps]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([linear.bias for linear in maps]))
        parts = (
            (layer.self_attn.out_proj, block.attention.mix), (layer.norm1, block.attention_norm),
            (layer.norm2, block.ffn_norm), (layer.linear1, block.ffn[0]), (layer.linear2, block.ffn[3]),
        )  # fmt: skip
        for theirs, ours in parts:
            theirs.load_state_dict(ours.state_dict())
    x = torch.randn(5, 7, 16)
    torch.testing.assert_close(block(x), layer(x), rtol=1e-5, atol=1e-5)


def test_only_the_first_prenormalized_block_has_a_bare_attention():
    assert [isinstance(block.attention_norm, nn.Identity) for block in network(n_blocks=2).blocks] == [True, False]
    post = network(n_blocks=2, prenormalization=False)
    assert not any(isinstance(block.attention_norm, nn.Identity) for block in post.blocks)
    assert isinstance(post.norm, nn.Identity)


def test_initial_weights():
    bound = 192**-0.5
    uniform, normal = network(), network(token_initialization="normal")
    for net, std in ((uniform, bound / 3**0.5), (normal, bound)):
        table = next(net.tokenizer.categories.embedding.parameters())
        assert table.std().item() == pytest.approx(std, rel=0.05)
        assert net.tokenizer.numbers.weight.std().item() == pytest.approx(std, rel=0.1)
    assert uniform.tokenizer.numbers.bias.abs().max() <= bound < normal.tokenizer.numbers.bias.abs().max()
    attention = network(attention_initialization="xavier").blocks[1].attention
    # The range of one matrix for all three: sqrt(6 / (192 + 3 * 192)).
    for linear in (attention.query, attention.key, attention.value):
        assert linear.weight.abs().max().item() == pytest.approx((6 / (4 * 192)) ** 0.5, rel=0.01)
    assert attention.mix.weight.abs().max().item() == pytest.approx(bound, rel=0.01)
    assert not any(linear.bias.any() for linear in (attention.query, attention.key, attention.value, attention.mix))
    single = network(attention_initialization="xavier", attention_n_heads=1).blocks[1].attention
    assert single.mix is None
    assert single.value.weight.abs().max().item() == pytest.approx(bound, rel=0.01)


def test_biases_can_be_left_out():
    net = network(attention_bias=False, ffn_bias_first=False, ffn_bias_second=False)
    names = {name.partition(".")[2] for name, _ in net.blocks.named_parameters() if name.endswith("bias")}
    assert names == {"attention_norm.bias", "ffn_norm.bias"}


MIXED = (N_NUM, LEVELS)
VARIANTS = [
    ({}, (N_NUM, ())), ({}, (0, LEVELS)), ({}, (1, ())), ({"n_blocks": 1}, MIXED), ({"prenormalization": False}, MIXED),
    ({"activation": "geglu"}, MIXED), ({"activation": "swiglu"}, MIXED), ({"activation": "gelu"}, MIXED),
    ({"attention_n_heads": 1}, MIXED), ({"attention_bias": False, "ffn_bias_first": False, "ffn_bias_second": False}, MIXED),
    ({"attention_normalization": "rms", "ffn_normalization": "none"}, MIXED),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "columns"), VARIANTS, ids=str)
def test_leaves_by_the_table(settings, columns):
    net, (n_num, levels) = network(*columns, **TINY | settings).eval(), columns
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3)
    session = session_of(net, n_num, levels)
    for n_rows in (0, 1, 37):
        num, cat = rows(n_rows, n_num, levels)
        feeds = {name: tensor.numpy() for name, tensor in (("num", num), ("cat", cat)) if tensor is not None}
        with torch.no_grad():
            expected = net(num, cat).numpy()
        np.testing.assert_allclose(session.run(None, feeds)[0], expected, rtol=1e-5, atol=1e-5)


def session_of(net, n_num, levels, dtype=torch.float32):
    g, kind = GraphBuilder(), "FLOAT" if dtype == torch.float32 else "DOUBLE"
    inputs, samples = {}, {}
    if n_num:
        inputs["num"], samples["num"] = g.input("num", kind, ["N", n_num]), torch.zeros(1, n_num, dtype=dtype)
    if levels:
        inputs["cat"] = g.input("cat", "INT64", ["N", len(levels)])
        samples["cat"] = torch.zeros(1, len(levels), dtype=torch.int64)
    g.output(lower(g, net, inputs, samples), "y", kind, ["N", N_OUT])
    model = g.to_model()
    check(model)
    return open_session(model.SerializeToString(), "cpu")


def test_leaves_in_double_precision():
    net = network(**TINY).double().eval()
    num, cat = rows()
    session = session_of(net, N_NUM, LEVELS, torch.float64)
    found = session.run(None, {"num": num.double().numpy(), "cat": cat.numpy()})[0]
    np.testing.assert_allclose(found, net(num.double(), cat).detach().numpy(), rtol=1e-9, atol=1e-9)


def test_weight_decay_is_where_the_package_has_it():
    net = network(**TINY)
    learner = FTTransformer(**TINY)
    groups = learner.parameter_groups(net, learner.configs[2])
    assert sum(len(group.parameters) for group in groups) == len(list(net.parameters()))
    theirs = published(N_NUM, LEVELS, **rtdl.FTTransformer.get_default_kwargs(2) | {"d_block": 16, "attention_n_heads": 4})
    bare = next(group for group in theirs.make_parameter_groups() if group.get("weight_decay") == 0)
    # The package forgets its last norm.
    n_bare = sum(parameter.numel() for parameter in bare["params"]) + theirs.backbone.output.normalization.weight.numel()
    assert sum(p.numel() for group in groups if group.weight_decay == 0 for p in group.parameters) == n_bare


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"d_block": 20}, r"attention_n_heads has to divide d_block: 8 heads .* 20; the next that works is d_block=24"),
        ({"attention_n_heads": 5}, r"5 heads do not share a width of 192; the next that works is d_block=195"),
        ({"ffn_d_hidden": 8, "ffn_d_hidden_multiplier": 2.0}, r"ffn_d_hidden and ffn_d_hidden_multiplier both .* got 8 and 2"),
        ({"attention_normalization": "batch"}, r"attention_normalization has to be none \| layer \| rms, not 'batch'"),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        FTTransformer(**settings)


def test_what_was_chosen_is_recorded():
    task = example_tasks()["two"]
    model = FTTransformer(n_blocks=1, max_epochs=1, device="cpu").fit(task, progress=False)
    chosen = model.inspect()["training"]["chosen"]
    assert {name: chosen[name] for name in ("d_block", "attention_dropout", "ffn_dropout")} == {
        "d_block": 96, "attention_dropout": 0.1, "ffn_dropout": 0.0,
    }  # fmt: skip
    assert model.inspect()["learner"]["params"]["cat_encoding"] == "embedding"
    assert model.schema.ingress.cat_names == ("shape", "code", "grade")


def chosen_batch(n_columns, n_rows, kind="numeric", **settings):
    columns = tuple(
        Column(name=f"x{i}", kind=kind, dtype="naive" if kind == "datetime" else "float64") for i in range(n_columns)
    )
    schema = Schema(name="t", features=columns, target=Target(names=("y",), type="regression", dtype="float64"))
    learner = FTTransformer(**settings)
    return FTTransformer.choose(learner.configs[0], learner.configs[2], schema, n_rows)[1].batch_size


def test_batches_fit_into_memory():
    assert [chosen_batch(20, n_rows) for n_rows in (300, 3_000, 10_000, 10**6)] == [32, 64, 128, 256]
    wide = [chosen_batch(n_columns, 10**6) for n_columns in (100, 300, 1000)]
    assert 256 >= wide[0] > wide[1] > wide[2] == 16
    assert chosen_batch(30, 10**6, kind="datetime") == chosen_batch(300, 10**6)
    assert chosen_batch(300, 10**6, batch_size=512) == 512


def test_evaluation_goes_in_parts():
    net, (num, cat) = network(**TINY).eval(), rows(500)
    some = Tensors({"num": num, "cat": cat}, torch.randint(0, N_OUT, (500,)))
    objective = Objective(row_loss(None, "classification"), classes=True, score=accuracy())
    found = []
    for net.evaluation_rows in (7, 500):
        found.append(evaluate(net, some, objective))
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert network(n_num=300, levels=()).evaluation_rows == 16 < network().evaluation_rows


@pytest.mark.parametrize("settings", [{"prenormalization": False, "activation": "gelu", "attention_n_heads": 2}], ids=str)
def test_keeps_the_contract_with_other_settings(settings):
    check_learner(FTTransformer(n_blocks=2, d_block=8, max_epochs=2, device="cpu", **settings), [example_tasks()["classes"]])


class Disturbed(FTTransformer):
    """Begins with other vectors of the codes that have no training rows."""

    shift = 0.0

    def build(self, schema, config):
        net = super().build(schema, config)
        seen, late = net.tokenizer.categories.embedding.column_tables()
        with torch.no_grad():
            # Unseen, missing, and the level that only later rows have.
            seen[:2] += self.shift
            late[[0, 1, 4]] += self.shift
        return net


def test_untrained_vectors_reach_no_prediction():
    rng = np.random.default_rng(0)
    n, n_train = 80, 60
    late = np.where(np.arange(n) < n_train, rng.choice(list("ab"), n), rng.choice(list("abc"), n))
    frame = pd.DataFrame({"seen": rng.choice(list("uvw"), n), "late": late, "x": rng.normal(size=n)})
    frame["y"] = frame["x"] + (frame["late"] == "a") + rng.normal(size=n)
    task = Task.from_frame(frame, "y")
    options = {**TINY, "max_epochs": 3, "min_level_rows": 1, "device": "cpu", "validation": tuple(range(n_train, n))}
    models = []
    for Disturbed.shift in (0.0, 3.0):
        models.append(Disturbed(**options).fit(task, progress=False))
    found = [model.predict_feeds(task.feeds())["prediction"] for model in models]
    np.testing.assert_array_equal(*found)
    assert models[0].history.equals(models[1].history)
    odd = {"seen": "never heard of", "late": None, "x": 0.3}
    assert models[0].predict_one(odd) == models[1].predict_one(odd)
    # Without training rows a level is as one that nobody has heard of.
    assert models[0].predict_one({**odd, "late": "c"}) == models[0].predict_one({**odd, "late": "?"})


# Embeddings of numbers as tokens.


FLAGGED = Ingress(num_names=("a", "b", "f"), num_kinds=("number", "time", "flag"), cat_names=("c",), cardinalities=(5,))


@pytest.mark.parametrize("embedding", sorted(set(NUM_EMBEDDINGS) - {"none"}))
def test_the_token_of_a_number_is_its_embedding(embedding):
    torch.manual_seed(0)
    net = FTTransformerNet(FLAGGED, N_OUT, FTTransformerConfig(**TINY, num_embedding=embedding))
    num, cat = torch.randn(50, 3), torch.randint(0, 5, (50, 1))
    net.initialize({"num": num, "cat": cat})
    tokenizer = net.tokenizer
    expected = NUM_EMBEDDINGS[embedding](["number", "time"], NumEmbeddingConfig(num_embedding=embedding, d_num_embedding=16))
    expected.initialize(num[:, :2])
    expected.load_state_dict(tokenizer.num_embedding.state_dict())
    tokens = tokenizer(num, cat)
    assert tokens.shape == (50, 5, 16)
    torch.testing.assert_close(tokens[:, 1:3], expected(num[:, :2]))
    torch.testing.assert_close(tokens[:, 3], num[:, 2:] * tokenizer.numbers.weight + tokenizer.numbers.bias)
    groups = FTTransformer.parameter_groups(net, FTTransformer().configs[2])
    decayed = {id(p) for group in groups if group.weight_decay for p in group.parameters}
    assert not decayed & {id(p) for p in tokenizer.parameters()}


def test_its_initial_values_are_its_own():
    torch.manual_seed(0)
    ours = FTTransformerNet(FLAGGED, 1, FTTransformerConfig(d_block=256, num_embedding="pbld"))
    frequency = ours.tokenizer.num_embedding.frequency[0].detach()
    assert float(frequency.std()) == pytest.approx(0.1, rel=0.5)
    # Without one nothing changes: the tokens are those of the published package.
    assert "tokenizer.numbers.weight" in dict(network().named_parameters())
    assert not [name for name, _ in network().named_parameters() if "num_embedding" in name]


@pytest.mark.parametrize("embedding", sorted(set(NUM_EMBEDDINGS) - {"none"}))
def test_embedded_numbers_leave_by_the_table(embedding, monkeypatch):
    monkeypatch.setattr("onnxlearn_models.lowering.lower._export", None)
    model = FTTransformer(**TINY, num_embedding=embedding, max_epochs=2, device="cpu").fit(
        example_tasks(60)["classes"], progress=False
    )
    assert model.metadata["parity"]["max_difference"] <= 2e-5


def test_the_width_of_an_embedding_is_that_of_a_token(monkeypatch):
    with pytest.raises(ParameterError, match=r"has no parameter 'd_num_embedding': .* its token, whose width is d_block"):
        FTTransformer(num_embedding="linear", d_num_embedding=24)
    monkeypatch.setitem(NUM_EMBEDDINGS, "narrow", lambda kinds, config: LinearEmbedding(len(kinds), 3))
    with pytest.raises(ParameterError, match="num_embedding='narrow' gives 3 numbers for each, and a token has 16"):
        FTTransformerNet(FLAGGED, 1, FTTransformerConfig(**TINY, num_embedding="narrow"))
    with pytest.raises(ParameterError, match=r"ffn_d_hidden_multiplier has to be float \| None > 0, <= 100, not 1"):
        FTTransformer(ffn_d_hidden_multiplier=1e9)
