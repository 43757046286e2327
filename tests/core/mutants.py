"""Model files that somebody damaged, or made to do harm; and a process that opens them.

``python mutants.py FOLDER SEED START STOP`` makes mutants ``START`` to ``STOP`` of the files in a folder, opens and uses each,
and prints what became of them. What a mutant is depends on the files, the seed and its number alone.
"""

import collections
import copy
import faulthandler
import json
import random
import resource
import signal
import sys
import traceback
from pathlib import Path

import onnx

from onnxlearn.card import card_lines
from onnxlearn.errors import OnnxlearnError
from onnxlearn.graph.hostile import hostile_feeds
from onnxlearn.metadata import CHECKSUM, KEY, NO_CHECKSUM, checksum, message_fields, read_metadata
from onnxlearn.model import Model
from onnxlearn.operators import OPERATORS

GIGABYTES = 6
SECONDS = 20
ODD = (
    None, True, -1, 0, 3.5, 1e308, 2**31, 2**63, -(2**63), 10**40, "", "x", "N", "a\nb", "\ud800", "ü" * 300, "\x1b[2J", [], {},
    [[]], [None], ["x"], [1, 1], {"": 1}, {"x": {"x": []}}, "float64", "label", "../x", "indices", "packed",
)  # fmt: skip
NAMES = (
    "axis",
    "axes",
    "k",
    "keepdims",
    "to",
    "group",
    "kernel_shape",
    "strides",
    "pads",
    "dilations",
    "hidden_size",
    "perm",
    "mode",
)
EQUATIONS = ("ij,jk->ik", "...i->i", "ii", "a,b,c,d", "->", "\0", "(" * 99, "linear", "reverse", "mean")
NUMBERS = (-1, 0, 1, 2, 7, 16, 255, 2**31 - 1, 2**31, 2**40, 2**62, 2**63 - 1, -(2**63))


def field(number, content):
    """A field of bytes in protobuf's encoding."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def signed(graph, text, *, header=None):
    """A file of these parts whose checksum is right. The text has zeros, or any other 64 digits, in its place."""
    text = text.replace(NO_CHECKSUM, checksum(graph, text), 1)
    entry = field(1, KEY.encode()) + field(2, text.encode("utf-8", "surrogatepass"))
    return (header or varint(1 << 3) + varint(8) + OPSETS) + field(7, graph) + field(14, entry)


OPSETS = b"".join(
    field(8, entry.SerializeToString())
    for entry in (onnx.helper.make_opsetid("", 20), onnx.helper.make_opsetid("ai.onnx.ml", 2))
)


def parts(data):
    """The graph's bytes and the document, with zeros for a checksum."""
    graph = next(bytes(value) for number, value in message_fields(memoryview(data)) if number == 7)
    return graph, {**read_metadata(data, verify=False), CHECKSUM: NO_CHECKSUM}


def written(document):
    return json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def flipped(data, rng):
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8, 64))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def spliced(data, rng):
    at, to = sorted(rng.randrange(len(data) + 1) for _ in "ab")
    to = min(to, at + rng.choice((1, 4, 64, 10**6)))
    other = rng.choice((b"", data[at:to] * 2, bytes(rng.randbytes(to - at)), b"\xff" * 10, b"\x7a\x00", varint(2**35)))
    return data[:at] + other + data[to:]


def cut(data, rng):
    return data[: rng.randrange(len(data))]


def bits(data, rng, _):
    return rng.choice((flipped, flipped, spliced, cut))(data, rng)


def graph_bits(data, rng, _):
    graph, document = parts(data)
    return signed(rng.choice((flipped, spliced))(graph, rng), written(document))


def text_bits(data, rng, _):
    graph, document = parts(data)
    text = rng.choice((flipped, spliced))(written(document).encode(), rng).decode("utf-8", "replace")
    return signed(graph, text)


def values(data, rng, _):
    """Values of the document, at any depth, that are others, absent or elsewhere."""
    graph, document = parts(data)
    document = copy.deepcopy(document)
    del document[CHECKSUM]
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place, key = rng.choice(list(places(document)))
        how = rng.random()
        if how < 0.15:
            del place[key]
        elif how < 0.3:
            place[key] = copy.deepcopy(rng.choice([inner[at] for inner, at in places(document)]))
        else:
            place[key] = copy.deepcopy(rng.choice(ODD))
        if not document:
            break
    if rng.random() < 0.02:
        document["deep"] = json.loads("[" * 900 + "]" * 900)
    text = written({**document, CHECKSUM: NO_CHECKSUM})
    return signed(graph, text.encode("utf-8", "replace").decode() if rng.random() < 0.5 else escaped(document))


def escaped(document):
    return json.dumps({**document, CHECKSUM: NO_CHECKSUM}, sort_keys=True)


def places(value):
    """Every list and object of a document with each of its keys; cells of long lists seldom come."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, inner in list(pairs):
        yield value, key
        yield from places(inner)


def nodes(data, rng, _):
    """A graph that protobuf reads, and that means something else."""
    graph, document = parts(data)
    made = onnx.GraphProto.FromString(graph)
    for _ in range(rng.choice((1, 1, 2, 4))):
        change_graph(made, rng)
    return signed(made.SerializeToString(), written(document))


def change_graph(graph, rng):
    node = rng.choice(graph.node)
    names = [name for other in graph.node for name in other.output] + [value.name for value in graph.input]
    numbers = [attribute for attribute in node.attribute if attribute.ints or attribute.type == attribute.INT]
    weights = list(graph.initializer)
    way = rng.randrange(8)
    if way == 0:
        node.op_type = rng.choice((*sorted(OPERATORS[""]), "Loop", "Nothing"))
        del node.attribute[:]
        for name in rng.sample(NAMES, rng.randrange(4)):
            number = rng.choice(NUMBERS)
            node.attribute.append(onnx.helper.make_attribute(name, rng.choice((number, [number] * 2))))
        if node.op_type in ("Einsum", "RegexFullMatch", "StringSplit"):
            name = {"Einsum": "equation", "RegexFullMatch": "pattern", "StringSplit": "delimiter"}[node.op_type]
            node.attribute.append(onnx.helper.make_attribute(name, rng.choice(EQUATIONS)))
    elif way == 1 and node.input:
        node.input[rng.randrange(len(node.input))] = rng.choice(names)
    elif way == 2 and numbers:
        attribute = rng.choice(numbers)
        attribute.i = rng.choice(NUMBERS)
        attribute.ints[:] = [rng.choice(NUMBERS) for _ in attribute.ints]
    elif way == 3 and weights:
        weight = rng.choice(weights)
        weight.dims[:] = [rng.choice(NUMBERS) for _ in range(rng.randrange(4))]
    elif way == 4 and weights:
        weight = rng.choice(weights)
        weight.raw_data = flipped(weight.raw_data or b"\0", rng)
    elif way == 5 and weights:
        rng.choice(weights).data_type = rng.randrange(24)
    elif way == 6:
        rng.choice(graph.output).type.tensor_type.elem_type = rng.randrange(24)
    else:
        graph.node.add().CopyFrom(node)


def mixed(data, rng, files):
    """The graph of one file with the document of another."""
    return signed(parts(rng.choice(files))[0], written(parts(data)[1]))


WAYS = (bits, graph_bits, text_bits, values, values, nodes, nodes, mixed)


def mutant(files, seed, number):
    """The mutant of a number, and in which way it was made."""
    rng = random.Random(f"{seed} {number}")
    way = WAYS[number % len(WAYS)]
    return way(rng.choice(files), rng, files), way.__name__


def use(data):
    """Everything that is done with a file which was opened."""
    model = Model(data, provider="cpu", source="mutant.onnx")
    card_lines(model.inspect())
    repr(model), model.scores, model.history, model.columns
    feeds = hostile_feeds(model.schema, 5)
    model.to_prediction(model.predict_feeds(feeds)).to_frame()
    model.verify()


def outcome(data):
    """``used``, ``refused``, or what went wrong."""
    try:
        use(data)
    except OnnxlearnError as error:
        text = str(error)
        return (
            "refused"
            if "\n" not in text and len(text) < 3000
            else f"WRONG: a message of {len(text)} characters: {text[:300]!r}"
        )
    except Exception:  # noqa: BLE001 - any other error is what is looked for
        return f"WRONG: {traceback.format_exc()}"
    return "used"


def main(folder, seed, start, stop):
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (GIGABYTES * 2**30,) * 2)
    files = [path.read_bytes() for path in sorted(Path(folder).glob("*.onnx"))]
    counts = collections.Counter()
    for number in range(int(start), int(stop)):
        print(f"at {number}", flush=True)
        signal.alarm(SECONDS)
        data, way = mutant(files, seed, number)
        result = outcome(data)
        signal.alarm(0)
        counts[f"{way} {result[:7].rstrip(':')}"] += 1
        if result.startswith("WRONG"):
            print(json.dumps({"number": number, "way": way, "wrong": result}), flush=True)
    print(json.dumps({"counts": counts, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
