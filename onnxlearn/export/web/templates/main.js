// Unpacks what lies in the page, starts the model beside it, and brings form, file and answers together.

async function unpacked(id) {
  const element = byId(id);
  const text = atob(element.textContent.trim());
  element.remove();
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) bytes[i] = text.charCodeAt(i);
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
}

/** The worker, asked by messages that it answers under their number. */
class Model {
  constructor(code) {
    const source = URL.createObjectURL(new Blob(code, { type: "text/javascript" }));
    this.worker = new Worker(source);
    this.waiting = new Map();
    this.progress = new Map();
    this.number = 0;
    this.worker.onmessage = ({ data }) => this.answered(data);
    this.worker.onerror = (event) => {
      for (const resolve of this.waiting.values()) resolve({ problems: [event.message || "the worker did not start"], isOurs: true });
    };
  }

  ask(message, onProgress = () => {}, transfer = []) {
    const id = (this.number += 1);
    this.progress.set(id, onProgress);
    this.worker.postMessage({ ...message, id }, transfer);
    return new Promise((resolve) => this.waiting.set(id, resolve));
  }

  answered(data) {
    if (data.kind === "progress") {
      this.progress.get(data.id)?.(data);
      return;
    }
    this.waiting.get(data.id)?.(data);
    this.waiting.delete(data.id);
    this.progress.delete(data.id);
  }
}

function showStatus(text, state) {
  byId("status").textContent = text;
  byId("status").dataset.state = state;
}

async function start() {
  const page = JSON.parse(byId("description").textContent);
  let model = null;
  let latest = 0;

  const form = new Form(page, async (values, remarks, quietly) => {
    if (model === null) return;
    const turn = (latest += 1);
    const answer = await model.ask({ kind: "row", values });
    if (turn !== latest) return;
    const nodes = answer.problems ? [problemsNode("The row", answer.problems, true)] : resultNodes(page, answer.outputs);
    if (remarks.length > 0) nodes.push(make("ul", { className: "remarks" }, ...remarks.map((remark) => make("li", { dir: "auto" }, `${remark}.`))));
    byId("result").replaceChildren(...nodes);
    if (!quietly) reveal(byId("result-card"));
  });
  byId("form").addEventListener("cleared", () => {
    latest += 1;
    byId("result").replaceChildren(make("p", { className: "empty" }, byId("result").dataset.empty));
  });
  const card = new FileCard(page, (...asked) => model.ask(...asked), () => model.worker.postMessage({ kind: "cancel" }));

  const [wasm, bytes, runtime] = await Promise.all(["wasm", "model", "runtime"].map(unpacked));
  const saved = new Blob([bytes], { type: "application/octet-stream" });
  const started = new Model([runtime, "\n", byId("worker").textContent]);
  const answer = await started.ask({ kind: "start", wasm, model: bytes, description: page }, undefined, [wasm, bytes]);
  if (answer.problems) throw new Error(answer.problems[0]);
  model = started;
  if (answer.difference <= page.check.tolerance) showStatus(`Ready. ${counted(page.check.n_rows, "test row")} gave the same answers here as where the model was made.`, "ready");
  else showStatus("This browser gives other answers than the model gave where it was made. Do not rely on them.", "wrong");
  byId("save").addEventListener("click", () => save(saved, page.file_name));
  for (const id of ["predict", "example", "file"]) byId(id).disabled = false;
  document.documentElement.dataset.ready = "true";
  return { form, card };
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  make("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

start().catch((error) => {
  showStatus(`The model could not be started: ${error.message}. The page needs a browser of 2023 or newer.`, "wrong");
});
