// Runs a model on columns given as JSON: node predict.mjs MODEL COLUMNS.json > OUTPUTS.json
// COLUMNS.json: {"column": {"type": "float64" | "float32" | "int64" | "bool" | "string", "values": [...]}}
// Numbers that JSON lacks come as text ("NaN", "Infinity"), 64-bit integers always do.
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";

const readers = {
  float64: (values) => Float64Array.from(values, Number),
  float32: (values) => Float32Array.from(values, Number),
  int64: (values) => BigInt64Array.from(values, BigInt),
  bool: (values) => Uint8Array.from(values, Number),
  string: (values) => values,
};

const [modelPath, columnsPath] = process.argv.slice(2);
const session = await ort.InferenceSession.create(modelPath, { logSeverityLevel: 3 });
const columns = JSON.parse(readFileSync(columnsPath, "utf8"));
const feeds = {};
for (const [name, { type, values }] of Object.entries(columns)) {
  feeds[name] = new ort.Tensor(type, readers[type](values), [values.length, 1]);
}
const outputs = await session.run(feeds);
const result = {};
for (const [name, tensor] of Object.entries(outputs)) {
  result[name] = { dims: tensor.dims, values: Array.from(tensor.data, (value) => (typeof value === "bigint" ? String(value) : value)) };
}
process.stdout.write(JSON.stringify(result));
