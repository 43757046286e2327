"""For every kind of layer: settings and shapes that go together, drawn by hypothesis."""

from hypothesis import strategies as st

from onnxlearn.networks.layers.activation import Gate, Pointwise
from onnxlearn.networks.layers.ingress import Entry
from onnxlearn.networks.layers.prep import Prep
from onnxlearn.networks.layers.structure import Structure
from onnxlearn.networks.nn import LAYERS
from onnxlearn.networks.tensor import Tensor
from onnxlearn.schema import ColumnTensor, Ingress, Schema, Target

SCHEMA = Schema(
    name="t",
    features=(),
    target=Target(names=("y",), type="classification", dtype="str", classes=("a", "b", "c")),
    ingress=Ingress(
        num_names=("x", "z"),
        cat_names=("c", "d"),
        cardinalities=(4, 7),
        columns=(ColumnTensor(name="text_t", column="t", dtype="int64", shape=(5,), n_ids=9),),
    ),
    d_out=3,
)
# A function of the user's own is tried, not inferred.
KINDS = sorted(
    kind
    for kind, layer in LAYERS.items()
    if not issubclass(layer, Entry | Prep | Structure) and kind not in ("input", "fn", "shared")
)
N_ROWS = 5
CODES, WORDS = Tensor((N_ROWS, 2), "int64", "cat"), Tensor((N_ROWS, 5), "int64", "text_t")
CASES = {}
"""By kind a function: draws settings, and rows of one or more tensors."""

small = st.integers(1, 6)
flags = st.booleans()


def of(*kinds):
    def enter(draw_case):
        CASES.update(dict.fromkeys(kinds, draw_case))
        return draw_case

    return enter


@st.composite
def case(draw, kind):
    """A layer of this kind, and the tensors that go in, all sizes known; some cannot go together."""
    settings, *rows = CASES[kind](draw, kind)
    return LAYERS[kind](**settings), tuple(row if isinstance(row, Tensor) else Tensor((N_ROWS, *row)) for row in rows)


def row_of(draw, least=1, most=4):
    return tuple(draw(st.lists(small, min_size=least, max_size=most)))


def either(draw, strategy, n):
    """One setting, or one for each of ``n`` dimensions."""
    return draw(st.one_of(strategy, st.tuples(*[strategy] * n)))


def n_places(kind):
    return int(kind[-2])


def window(draw, kind):
    n = n_places(kind)
    row = (draw(st.sampled_from([2, 4])), *draw(st.tuples(*[st.integers(1, 9)] * n)))
    drawn = {"kernel_size": st.integers(1, 3), "stride": st.integers(1, 3), "padding": st.integers(0, 2)}
    return {name: either(draw, strategy, n) for name, strategy in drawn.items()}, row


def channels(draw):
    return {"d_out": draw(st.sampled_from([2, 4, 6])), "groups": draw(st.sampled_from([1, 2])), "bias": draw(flags)}


above, anywhere = st.sampled_from([0.25, 1.0, 2.5]), st.sampled_from([-2.5, -0.5, 0.0, 1.5])
POINTWISE = {
    "leaky_relu": {"slope": anywhere}, "rrelu": {"low": st.sampled_from([-0.5, 0.125]), "high": above},
    "elu": {"alpha": above}, "celu": {"alpha": above}, "gelu": {"approximate": st.sampled_from(["none", "tanh"])},
    "hardtanh": {"low": st.sampled_from([-2.5, 0.0]), "high": above}, "softplus": {"beta": above, "threshold": anywhere},
    "softshrink": {"lambd": above}, "hardshrink": {"lambd": above}, "threshold": {"threshold": anywhere, "value": anywhere},
}  # fmt: skip


@of(*(kind for kind in KINDS if issubclass(LAYERS[kind], Pointwise)), "identity")
def as_it_was(draw, kind):
    return {name: draw(strategy) for name, strategy in POINTWISE.get(kind, {}).items()}, row_of(draw)


@of(*(kind for kind in KINDS if issubclass(LAYERS[kind], Gate)))
def gate(draw, kind):
    del kind
    row = row_of(draw)
    return {}, (*row[:-1], 2 * row[-1])


@of("conv1d", "conv2d", "conv3d")
def conv(draw, kind):
    settings, row = window(draw, kind)
    settings |= {**channels(draw), "dilation": either(draw, st.integers(1, 2), n_places(kind))}
    settings["padding_mode"] = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    same = {"padding": "same", "stride": draw(st.sampled_from([1, 1, 2]))} if draw(flags) else {}
    return settings | same, row


@of("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def conv_transpose(draw, kind):
    settings, row = window(draw, kind)
    settings |= {**channels(draw), "output_padding": draw(st.integers(0, 1))}
    return settings | {"dilation": either(draw, st.integers(1, 2), n_places(kind))}, row


@of("max_pool1d", "max_pool2d", "max_pool3d")
def max_pool(draw, kind):
    settings, row = window(draw, kind)
    return settings | {"ceil_mode": draw(flags), "dilation": either(draw, st.integers(1, 2), n_places(kind))}, row


@of("avg_pool1d", "avg_pool2d", "avg_pool3d")
def avg_pool(draw, kind):
    settings, row = window(draw, kind)
    return settings | {"ceil_mode": draw(flags), "count_include_pad": draw(flags)}, row


@of("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def adaptive(draw, kind):
    n = n_places(kind)
    return {"n_out": either(draw, st.integers(1, 4), n)}, (3, *draw(st.tuples(*[st.integers(1, 9)] * n)))


@of("batch_norm1d", "batch_norm2d", "batch_norm3d")
def batch_norm(draw, kind):
    n = n_places(kind)
    return {"affine": draw(flags)}, row_of(draw, n + (n > 1), n + 1)


@of("softmax", "log_softmax", "mean")
def along(draw, kind):
    if kind == "mean" and draw(flags):
        row = (draw(small), draw(small))
        return {"dim": draw(st.sampled_from([1, -2]))}, row, *(ids_of(draw, row))
    row = row_of(draw)
    # Never the rows: torch would mix them.
    return {
        "dim": draw(st.sampled_from([dim for dim in range(-len(row) - 2, len(row) + 2) if dim not in (0, -len(row) - 1)]))
    }, row


@of("take")
def take(draw, kind):
    del kind
    row = row_of(draw)
    dim = draw(st.integers(1, len(row)))
    return {"dim": dim, "index": draw(st.integers(-row[dim - 1] - 1, row[dim - 1]))}, row


@of("layer_norm")
def layer_norm(draw, kind):
    del kind
    row = row_of(draw)
    return {"n_dims": draw(st.integers(1, len(row))), "affine": draw(flags)}, row


@of("group_norm")
def group_norm(draw, kind):
    del kind
    groups, row = draw(st.integers(1, 3)), row_of(draw)
    return {"n_groups": groups}, (row[0] * draw(st.sampled_from([1, groups])), *row[1:])


@of("linear")
def linear(draw, kind):
    del kind
    return {"d_out": draw(small), "bias": draw(flags)}, row_of(draw)


@of("head")
def head(draw, kind):
    del kind
    return {"bias": draw(flags)}, row_of(draw, 1, 1)


@of("embedding")
def embedding(draw, kind):
    del kind
    return {"d_out": draw(st.one_of(st.none(), small)), "d_max": draw(small)}, draw(st.sampled_from([CODES, WORDS]))


@of("embedding_bag")
def embedding_bag(draw, kind):
    del kind
    settings = {"d_out": draw(st.one_of(st.none(), small)), "mode": draw(st.sampled_from(["mean", "sum"]))}
    return settings, WORDS


@of("tokenizer_categ")
def tokenizer_categ(draw, kind):
    del kind
    return {"d_token": draw(small)}, CODES


@of("tokenizer_num")
def tokenizer_num(draw, kind):
    del kind
    return {"d_token": draw(small), "bias": draw(flags)}, row_of(draw, 1, 1)


@of("ft_cls")
def ft_cls(draw, kind):
    del kind
    return {}, row_of(draw, 2, 2)


@of("upsample")
def upsample(draw, kind):
    del kind
    row = row_of(draw, 2, 4)
    modes = ["nearest", "linear", "cubic"] if len(row) == 3 else ["nearest", "linear"]
    return {"factor": draw(st.integers(1, 3)), "mode": draw(st.sampled_from(modes))}, row


@of("rnn", "gru", "lstm")
def recurrent(draw, kind):
    del kind
    settings = {"d_hidden": draw(small), "n_layers": draw(st.integers(1, 2))}
    row = row_of(draw, 2, 2)
    return settings | {name: draw(flags) for name in ("bidirectional", "last")}, row, *ids_of(draw, row, others=False)


@of("multihead_attention")
def attention(draw, kind):
    del kind
    n_heads, width = draw(st.integers(1, 3)), draw(small)
    row = (draw(small), n_heads * width)
    sequences = [row, *[(draw(small), row[1])] * draw(st.integers(0, 2))]
    return {"n_heads": n_heads, "bias": draw(flags), "causal": draw(flags)}, *sequences, *ids_of(draw, sequences[-1])


@of("transformer_encoder_layer")
def encoder_layer(draw, kind):
    del kind
    n_heads = draw(st.integers(1, 3))
    activation = draw(st.sampled_from(["relu", "gelu"]))
    settings = {"n_heads": n_heads, "d_feedforward": 8, "activation": activation}
    settings |= {"norm_first": draw(flags), "causal": draw(flags)}
    row = (draw(small), n_heads * draw(small))
    return settings, row, *ids_of(draw, row)


def ids_of(draw, row, *, others=True):
    """The ids of the words of a sequence, or none; ``others``: at times of another length, which torch refuses as well."""
    # One position alone would be repeated.
    length = draw(st.sampled_from([row[0], row[0], row[0] + (others and row[0] > 1)]))
    return [Tensor((N_ROWS, length), "int64", "text_t")] if draw(flags) else []


@of("positions")
def positions(draw, kind):
    del kind
    return {"learned": draw(flags)}, (draw(small), draw(small))


@of("ft_transformer_block")
def ft_block(draw, kind):
    del kind
    n_heads = draw(st.integers(1, 3))
    return {"n_heads": n_heads, "is_first": draw(flags)}, (draw(small), n_heads * draw(small))


@of("flatten")
def flatten(draw, kind):
    del kind
    row = row_of(draw)
    start = draw(st.integers(1, len(row)))
    return {"start": start, "end": draw(st.sampled_from([-1, *range(start, len(row) + 1)]))}, row


@of("reshape")
def reshape(draw, kind):
    del kind
    row = row_of(draw)
    kept = draw(st.permutations(row))
    return {"row": tuple(draw(st.sampled_from([kept, [*kept[:-1], -1], [-1, *kept[1:]], [-1], [7, -1]])))}, row


@of("squeeze")
def squeeze(draw, kind):
    del kind
    row = row_of(draw)
    at = draw(st.integers(0, len(row)))
    return {"dim": draw(st.sampled_from([at + 1, at - len(row) - 1]))}, (*row[:at], 1, *row[at:])


@of("unsqueeze")
def unsqueeze(draw, kind):
    del kind
    row = row_of(draw)
    return {"dim": draw(st.integers(-len(row) - 1, len(row) + 1).filter(bool))}, row


@of("permute")
def permute(draw, kind):
    del kind
    row = row_of(draw)
    return {"order": tuple(draw(st.permutations(range(1, len(row) + 1))))}, row


@of("merge_sum", "merge_prod")
def merge(draw, kind):
    del kind
    row = row_of(draw)
    sizes = st.sampled_from([0, 0, 0, 1, 2])
    others = [[(size, 1, size + 1)[draw(sizes)] for size in row] for _ in range(draw(st.integers(0, 2)))]
    return {}, row, *map(tuple, others)


@of("merge_cat")
def merge_cat(draw, kind):
    del kind
    row = row_of(draw)
    at = draw(st.integers(0, len(row) - 1))
    others = [(*row[:at], draw(small), *row[at + 1 :]) for _ in range(draw(st.integers(0, 2)))]
    return {"dim": draw(st.sampled_from([at + 1, at - len(row)]))}, row, *others
