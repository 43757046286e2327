"""The graph language: putting together, addresses, structure, data, pictures, and what it refuses."""

import copy
import json
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from layer_cases import KINDS, case

import onnxlearn as ol
from onnxlearn.errors import DataError, ParameterError
from onnxlearn.networks import ingress, nn
from onnxlearn.networks.data import graph_from_dict, graph_to_dict, read_graph
from onnxlearn.networks.draw import mermaid, svg, told
from onnxlearn.networks.graph import INPUT, Graph
from onnxlearn.networks.shapes import place, unfold


def schema():
    return ol.example_task("penguins").schema


def names(graph):
    return [name for name, _ in graph.nodes]


def reads(graph):
    known = {id(node): name for name, node in graph.nodes}
    return {name: [known.get(id(each), "...") for each in node.inputs] for name, node in graph.nodes}


def shapes(graph):
    return {node.name: str(node.output) for node in place(graph, schema())}


def residual(d=8):
    return [nn.identity(), nn.linear(d) >> nn.relu()] >> nn.merge_sum()


def doubled(i):
    return {"linear__d_out": 8 * 2**i}


def deep():
    return (
        [ingress.num() >> nn.linear(8), ingress.cat() >> nn.embedding(4)]
        >> nn.merge_cat()
        >> nn.linear(8, id="joined")
        >> nn.block(residual(), n_blocks=2)
        >> nn.choice({"soft": nn.gelu(), "hard": nn.relu() >> nn.dropout(0.1)}, choose="hard")
        >> nn.head()
    )


def test_what_is_shared_is_one_node():
    x = ingress.num() >> nn.linear(8)
    graph = [x, x >> nn.relu() >> nn.linear(8)] >> nn.merge_sum()
    assert reads(graph) == {
        "num": [], "linear": ["num"], "relu": ["linear"], "linear_2": ["relu"], "merge_sum": ["linear", "linear_2"],
    }  # fmt: skip


def test_a_part_is_new_wherever_it_stands():
    part = nn.linear(8) >> nn.relu()
    graph = ingress.num() >> part >> part
    assert names(graph) == ["num", "linear", "relu", "linear_2", "relu_2"]
    assert [name for name in graph.settings if name.endswith("d_out")] == ["linear__d_out", "linear_2__d_out"]


def test_lists_stand_on_either_side():
    graph = ingress.num() >> [nn.linear(4), nn.linear(2) >> nn.relu()] >> nn.merge_cat()
    assert reads(graph)["merge_cat"] == ["linear", "relu"]
    assert shapes(graph)["merge_cat"] == "[N, 6]"
    assert names([nn.relu(), nn.tanh()] >> nn.merge_prod()) == ["relu", "tanh", "merge_prod"]


def test_what_is_optional_drops_out_where_there_are_no_columns():
    graph = (
        [ingress.num(optional=True) >> nn.linear(4), ingress.cat(optional=True) >> nn.embedding(3)]
        >> nn.merge_cat()
        >> nn.head()
    )
    assert shapes(graph)["merge_cat"] == "[N, 10]"
    left = place(graph, ol.example_task("iris").schema)
    assert [node.name for node in left] == ["num", "linear", "merge_cat", "head"]
    assert str(left[2].output) == "[N, 4]"
    pair = [ingress.num() >> nn.tokenizer_num(4), ingress.cat(optional=True) >> nn.tokenizer_categ(4)]
    with pytest.raises(ParameterError, match="it needs all its tensors, and one of them begins with an ingress that dropped"):
        place(pair >> nn.multihead_attention(2) >> nn.flatten() >> nn.head(), ol.example_task("iris").schema)
    with pytest.raises(ParameterError, match="no columns left for this task"):
        place(ingress.cat(optional=True) >> nn.embedding() >> nn.head(), ol.example_task("iris").schema)


def test_functions_are_nodes():
    graph = ingress.num() >> nn.linear(4) >> abs >> nn.head()
    assert names(graph) == ["num", "linear", "fn", "head"]
    assert "fn(function=abs)" in str(graph)


def test_settings_have_addresses_and_can_be_replaced():
    graph = deep()
    found = graph.replace(joined__d_out=3, block__linear__d_out=3, block__n_blocks=3, choice__choose="soft")
    assert found.settings["block__linear__d_out"] == 3
    assert graph.settings["block__linear__d_out"] == 8
    assert names(unfold(found)) == [
        "num", "linear", "cat", "embedding", "merge_cat", "joined",
        *(f"block_{i}_{name}" for i in (1, 2, 3) for name in ("identity", "linear", "relu", "merge_sum")),
        "choice_soft_gelu", "head",
    ]  # fmt: skip
    param = next(param for param in graph.params if param.name == "choice__hard__dropout__p")
    assert (param.type, param.default, param.range) == ("float", 0.1, ">= 0, <= 0.95")


def test_copies_of_a_block_may_differ():
    graph = ingress.num() >> nn.block(nn.linear(1) >> nn.relu(), n_blocks=3, tweak=doubled)
    found = shapes(graph)
    assert [found[f"block_{i}_linear"] for i in (1, 2, 3)] == ["[N, 8]", "[N, 16]", "[N, 32]"]
    assert names(unfold(ingress.num() >> nn.block(nn.relu(), n_blocks=0) >> nn.head())) == ["num", "head"]
    nested = ingress.num() >> nn.block(nn.block(nn.relu(), n_blocks=2), n_blocks=2)
    assert names(unfold(nested))[1:] == [f"block_{i}_block_{j}_relu" for i in (1, 2) for j in (1, 2)]


def test_shapes_follow_from_the_schema():
    assert shapes(deep())["num"] == "[N, 9]"
    assert shapes(deep())["cat"] == "[N, 2] int64"
    assert shapes(deep())["head"] == "[N, 3]"
    # Without codes categories are one-hot columns.
    assert shapes(ingress.num() >> nn.head())["num"] != "[N, 9]"


REFUSED = {
    r"node 'conv2d': it needs \[N, C, H, W\]; it gets \[N, 1\d\] from 'num'":
        lambda: place(ingress.num() >> nn.conv2d(3, 3), schema()),
    r"node 'block_1_merge_sum' \(merge_sum\): it needs equal sizes: 3 and 8":
        lambda: place(deep().replace(block__linear__d_out=3), schema()),
    r"node 'linear': it needs numbers, not codes: .* nn.embedding":
        lambda: place(ingress.cat() >> nn.linear(3), schema()),
    r"node 'embedding': it needs codes: put it behind ingress.cat\(\)":
        lambda: place(ingress.num() >> nn.embedding(), schema()),
    r"node 'cat': the task has no columns for ingress.cat\(\): leave it out, or .*optional=True":
        lambda: place(ingress.cat() >> nn.embedding(), ol.example_task("iris").schema),
    r"does not begin: put ingress.num\(\) or ingress.cat\(\) before it": lambda: place(nn.relu() >> nn.head(), schema()),
    r"ends in 2 nodes: put them together": lambda: place(ingress.num() >> [nn.relu(), nn.tanh()], schema()),
    r"node 'fn': what its function gives is not known .* learner.shapes\(task\)":
        lambda: place(ingress.num() >> abs, schema()),
    r"linear takes 1 tensor, and 2 come .* nn.merge_sum\(\)": lambda: [ingress.num(), ingress.num()] >> nn.linear(3),
    "only steps of preprocessing can stand before a graph that begins with num, not relu": lambda: nn.relu() >> ingress.num(),
    r"only graphs, lists of graphs and functions stand around >>, not 3": lambda: ingress.num() >> 3,
    r"an empty list gives nothing": lambda: ingress.num() >> [],
    r"linear: d_out has to be int >= 1, not 0": lambda: nn.linear(0),
    r"linear needs d_out: features that come out": lambda: nn.linear(),
    r"a node cannot be called 'a__b'": lambda: nn.relu(id="a__b"),
    r"two nodes are called 'a'": lambda: names(nn.relu(id="a") >> nn.tanh(id="a")),
    r"no setting 'block__linear__dout'. Did you mean 'block__linear__d_out'": lambda: deep().replace(block__linear__dout=3),
    r"block: its graph begins with columns": lambda: nn.block(ingress.num() >> nn.relu()),
    r"block: tweak\(0\): it has to give a dict of settings, not 0":
        lambda: unfold(ingress.num() >> nn.block(nn.relu(), tweak=abs)),
    r"choose='b' has to be one of its options, 'a'": lambda: nn.choice({"a": nn.relu()}, choose="b"),
    r"choice: option 'a' has to be a graph": lambda: nn.choice({"a": 3}, choose="a"),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_does_not_fit_is_refused(message):
    with pytest.raises(ParameterError, match=message):
        REFUSED[message]()


def test_names_that_were_given_stay():
    graph = ingress.num() >> nn.relu() >> nn.relu(id="relu_2") >> nn.relu()
    assert names(graph) == ["num", "relu", "relu_2", "relu_3"]


def test_data_and_back():
    graph = [deep(), ingress.num() >> nn.block(nn.linear(3), tweak=doubled) >> nn.head(id="other")] >> nn.merge_sum()
    told = json.loads(json.dumps(graph_to_dict(graph)))
    assert graph_to_dict(graph_from_dict(told)) == told
    assert shapes(graph_from_dict(told)) == shapes(graph)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_layer_is_data(kind, data):
    layer, _ = data.draw(case(kind))
    told = json.loads(json.dumps(graph_to_dict(Graph.of(layer))))
    assert graph_from_dict(told).outputs[0].layer == layer


def node(**changed):
    return {"nodes": [{"id": "a", "kind": "relu", "reads": ["input"], "settings": {}} | changed], "ends": ["a"]}


NO_GRAPHS = {
    "a graph is told by an object with the lists 'nodes' and 'ends'": {},
    "a graph is told by an object with the lists": [1],
    "node 1 of a graph is an object with 'id', 'kind', 'reads' and 'settings'": {"nodes": [{"id": "a"}], "ends": ["a"]},
    "node 'a': there is no layer 'lineer'.* Did you mean 'linear'": node(kind="lineer"),
    "node 'a': it reads 'b', which is none of the nodes before it": node(reads=["b"]),
    "node 'a': a layer 'relu' has no setting 'p'": node(settings={"p": 1}),
    "node 'a': linear: d_out has to be int >= 1, not '4'": node(kind="linear", settings={"d_out": "4"}),
    "the graph ends in 'b', which is none of its nodes": node() | {"ends": ["b"]},
}


@pytest.mark.parametrize("message", NO_GRAPHS)
def test_what_tells_of_no_graph_is_refused(message):
    with pytest.raises(ParameterError, match=message):
        graph_from_dict(NO_GRAPHS[message])


def test_layers_refuse_names_that_they_do_not_have():
    with pytest.raises(ParameterError, match=r"linear\(\) has no parameter 'dout'.* Did you mean 'd_out'"):
        nn.linear(dout=8)
    with pytest.raises(ParameterError, match=r"relu\(\) takes 0 settings, and 1 were given"):
        nn.relu(2)
    with pytest.raises(AttributeError, match=r"there is no layer 'liner'. Did you mean 'linear'"):
        _ = nn.liner


def test_files(tmp_path):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(graph_to_dict(deep())))
    assert graph_to_dict(read_graph(path)) == graph_to_dict(deep())
    with pytest.raises(DataError, match=r"cannot read a graph from .*: No such file or directory"):
        read_graph(tmp_path / "none.json")
    path.write_text("{")
    with pytest.raises(DataError, match=r"cannot read a graph from .*: it holds no JSON"):
        read_graph(path)


def test_copies_keep_the_open_end():
    for copied in (pickle.loads(pickle.dumps(nn.linear(3))), copy.deepcopy(nn.linear(3))):
        assert copied.outputs[0].inputs[0] is INPUT
        assert names(ingress.num() >> copied) == ["num", "linear"]


def test_pictures():
    for drawn in (svg(deep()), svg(deep(), schema()), svg(residual())):
        texts = ["".join(text.itertext()) for text in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}text")]
        assert "merge_sum" in " ".join(texts) or "block" in " ".join(texts)
    assert "[N, 3]" in svg(deep(), schema())
    lines = mermaid(deep()).splitlines()
    assert lines[0] == "flowchart TD"
    assert "    n_embedding --> n_merge_cat" in lines
    assert len(told(deep(), schema()).splitlines()) == len(place(deep(), schema()))


def test_a_picture_has_a_box_for_each_node_and_none_lie_on_each_other():
    drawn = ET.fromstring(svg(deep(), schema()))
    boxes = [(float(box.get("x")), float(box.get("y"))) for box in drawn.iter("{http://www.w3.org/2000/svg}rect")]
    assert len(set(boxes)) == len(boxes) == len(place(deep(), schema()))


def test_a_process_that_only_reads_graphs_knows_every_layer():
    code = (
        "import json, sys\n"
        "from onnxlearn.networks.data import graph_from_dict, graph_to_dict\n"
        "told = json.loads(sys.argv[1])\n"
        "assert graph_to_dict(graph_from_dict(told)) == told"
    )
    subprocess.run([sys.executable, "-c", code, json.dumps(graph_to_dict(deep()))], check=True)


def test_describing_a_network_takes_no_torch():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import onnxlearn as ol\n"
        "net = ol.ingress.num() >> ol.nn.linear(4) >> ol.nn.relu() >> ol.nn.head()\n"
        "from onnxlearn.networks.draw import told\n"
        "print(told(net, ol.example_task('penguins').schema))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines()[-1].split() == ["head", "head", "[N,", "3]", "<", "relu"]


def test_a_node_is_read_by_its_name_inside_of_blocks():
    """The cross network of Wang et al. (2017): every copy multiplies by the same beginning."""
    x = ingress.num() >> nn.linear(4, id="x")
    cross = [[nn.linear(4), nn.shared("x")] >> nn.merge_prod(), nn.identity()] >> nn.merge_sum()
    net = x >> nn.block(cross, n_blocks=2) >> nn.head()
    flat = unfold(net)
    assert names(flat).count("x") == 1
    assert sum("linear" in name for name in names(flat)) == 2
    products = [node for name, node in flat.nodes if name.endswith("merge_prod")]
    (begin,) = [node for name, node in flat.nodes if name == "x"]
    assert all(begin in product.inputs for product in products)
    assert shapes(graph_from_dict(json.loads(json.dumps(graph_to_dict(net))))) == shapes(net)
    x0 = ingress.num() >> nn.linear(4)
    with pytest.raises(ParameterError, match=r"node 'block' \(block\) has 'linear' inside, which stands outside too"):
        shapes(x0 >> nn.block([nn.linear(4), x0] >> nn.merge_prod(), n_blocks=2) >> nn.head())
    with pytest.raises(ParameterError, match=r"no node has the id 'y'; there are the ids 'x'"):
        shapes(x >> nn.block([nn.identity(), nn.shared("y")] >> nn.merge_sum()) >> nn.head())
    itself = nn.block([nn.identity(), nn.shared("x")] >> nn.merge_sum()) >> nn.linear(4, id="x")
    with pytest.raises(ParameterError, match=r"node 'x' reads itself, by nn.shared\(\)"):
        shapes(ingress.num() >> itself >> nn.head())


def test_functions_and_lists_stand_inside_of_blocks_and_choices():
    assert names(unfold(ingress.num() >> nn.block(abs, n_blocks=2))) == ["num", "block_1_fn", "block_2_fn"]
    lists = nn.choice({"a": [nn.linear(3), nn.identity()], "b": nn.relu()}, choose="a")
    assert names(unfold(ingress.num() >> lists >> nn.merge_cat())) == [
        "num",
        "choice_a_linear",
        "choice_a_identity",
        "merge_cat",
    ]
    with pytest.raises(ParameterError, match="an option of a choice cannot be called 'a_'"):
        nn.choice({"a_": nn.relu()}, choose="a_")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.conv2d(3, 0), "kernel_size has to be int .*>= 1, not 0"),
        (lambda: nn.conv2d(3, 1, stride=0), "stride has to be .*>= 1, not 0"),
        (lambda: nn.conv2d(3, (1, 2), dilation=(1, -1)), r"dilation has to be .*>= 1, not \(1, -1\)"),
        (lambda: nn.max_pool2d(0), "kernel_size has to be .*>= 1, not 0"),
        (lambda: nn.conv_transpose2d(2, 2, output_padding=-1), "output_padding has to be .*>= 0, not -1"),
        (lambda: nn.adaptive_avg_pool2d(0), "n_out has to be .*>= 1, not 0"),
        (lambda: nn.hardtanh(1.0, -1.0), r"low=1.0 has to be at most high=-1.0"),
        (lambda: nn.rrelu(0.5, 0.1), r"low=0.5 has to be at most high=0.1"),
        (lambda: shapes(ingress.num() >> nn.block(nn.linear(4), tweak=lambda i: {}[i])), r"tweak\(0\) fails with KeyError: 0"),
        (lambda: shapes(ingress.num() >> nn.block(nn.linear(4), tweak=lambda i: {"linear__d_out": i})),
         r"tweak\(0\): d_out has to be int >= 1, not 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be(make, message):
    with pytest.raises(ParameterError, match=message):
        make()


def test_copies_of_a_block_stand_behind_each_other():
    ids = ingress.text(id="ids")
    layer = nn.transformer_encoder_layer(2, d_feedforward=8)
    x = ids >> nn.embedding(4)
    with pytest.raises(ParameterError, match=r"node 'block' \(block\): a copy takes 2 tensors and gives 1"):
        unfold([x, ids] >> nn.block(layer, n_blocks=2) >> nn.mean() >> nn.head())
    both = unfold(x >> nn.block([nn.identity(), nn.shared("ids")] >> layer, n_blocks=2) >> nn.mean() >> nn.head())
    layers = [node for name, node in both.nodes if name.endswith("layer")]
    assert [len(node.inputs) for node in layers] == [2, 2]
    assert layers[0].inputs[1] is layers[1].inputs[1]


def test_parts_with_branches_are_told_as_they_are_written():
    text = str(ingress.num() >> nn.block([nn.identity(), nn.linear(3) >> nn.relu()] >> nn.merge_sum()))
    assert "graph=[identity, linear(d_out=3) >> relu] >> merge_sum" in text
