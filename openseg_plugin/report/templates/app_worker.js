// Runs the model, so that the page stays alive. Messages in: load, predict. Nothing goes out of it
// but labels, how far it is, and sentences.
'use strict';

let ort = null;
let session = null;
let model = null;

onmessage = async (event) => {
  const task = event.data;
  try {
    if (task.kind === 'load') await load(task);
    else await predict(task);
  } catch (error) {
    postMessage({ kind: 'failed', id: task.id, text: sentence(error) });
  }
};

function sentence(error) {
  const text = String((error && error.message) || error).replace(/\s+/g, ' ');
  if (/memory|allocat|OOM/i.test(text)) return 'the browser has not enough memory for this size: choose a smaller one';
  return text.slice(0, 300);
}

// ---- loading -------------------------------------------------------------------------------

async function load(task) {
  model = task.model;
  const content = await fetched(task.id, model.file, model.bytes);
  postMessage({ kind: 'step', id: task.id, text: 'Preparing the model' });
  const tried = [];
  for (const device of task.devices) {
    try {
      await start(device, content);
      postMessage({ kind: 'loaded', id: task.id, device, threads: device === 'wasm' ? ort.env.wasm.numThreads : 0 });
      return;
    } catch (error) {
      tried.push(`${device}: ${sentence(error)}`);
    }
  }
  throw new Error(`the model could not be started (${tried.join('; ')})`);
}

async function start(device, content) {
  if (session) await session.release();
  session = null;
  if (device === 'webgpu') {
    const adapter = navigator.gpu && (await navigator.gpu.requestAdapter());
    if (!adapter) throw new Error('there is none in this browser');
  }
  ort = await import(device === 'webgpu' ? '../ort/ort.webgpu.min.mjs' : '../ort/ort.wasm.min.mjs');
  ort.env.logLevel = 'error';
  // several threads need a page that is isolated from others (two headers of the server)
  ort.env.wasm.numThreads = self.crossOriginIsolated ? Math.min(8, navigator.hardwareConcurrency || 1) : 1;
  session = await ort.InferenceSession.create(content, {
    executionProviders: [device],
    graphOptimizationLevel: 'all',
  });
}

async function fetched(id, address, expected) {
  const answer = await fetch(`../${address}`);
  if (!answer.ok) throw new Error(`${address} is not there (${answer.status})`);
  const total = expected || Number(answer.headers.get('content-length')) || 0;
  const reader = answer.body.getReader();
  const parts = [];
  let done = 0;
  for (;;) {
    const { value, done: ended } = await reader.read();
    if (ended) break;
    parts.push(value);
    done += value.length;
    postMessage({ kind: 'bytes', id, done, total });
  }
  const content = new Uint8Array(done);
  let place = 0;
  for (const part of parts) {
    content.set(part, place);
    place += part.length;
  }
  return content;
}

// ---- predicting ----------------------------------------------------------------------------

async function predict(task) {
  const began = performance.now();
  const pixels = pixelsOf(task.bitmap, task.width, task.height);
  const { width, height } = task;
  let labels;
  if (!task.tile) {
    labels = await labelsOf(pixels.data, width, { left: 0, top: 0, width, height });
  } else {
    labels = await inTiles(task.id, pixels.data, width, height, task.tile);
  }
  const milliseconds = performance.now() - began;
  postMessage({ kind: 'labels', id: task.id, labels, width, height, milliseconds }, [labels.buffer]);
}

function pixelsOf(bitmap, width, height) {
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext('2d', { willReadFrequently: true, alpha: false });
  context.imageSmoothingQuality = 'high';
  context.drawImage(bitmap, 0, 0, width, height);
  bitmap.close();
  return context.getImageData(0, 0, width, height);
}

// first pixels of tiles that cover a side; the last one ends with it. Where tiles may be shorter they
// begin at multiples of 32, so that the network samples them as it samples the whole image.
function starts(side, tile, overlap) {
  if (side <= tile) return [0];
  const found = [];
  for (let first = 0; first < side - tile; first += tile - overlap) found.push(first);
  found.push(model.size ? side - tile : Math.ceil((side - tile) / 32) * 32);
  return found;
}

// the part of a tile that counts: up to the middle of what it shares with its neighbors
function kept(all, index, tile, side) {
  const before = index ? Math.floor((all[index - 1] + tile + all[index]) / 2) : 0;
  const after = index + 1 < all.length ? Math.floor((all[index] + tile + all[index + 1]) / 2) : side;
  return [before, after];
}

async function inTiles(id, data, width, height, tile) {
  const rows = starts(height, tile.height, tile.overlap);
  const columns = starts(width, tile.width, tile.overlap);
  const whole = model.classes > 256 ? new Uint16Array(width * height) : new Uint8Array(width * height);
  let done = 0;
  for (let r = 0; r < rows.length; r++) {
    for (let c = 0; c < columns.length; c++) {
      const place = {
        left: columns[c],
        top: rows[r],
        width: Math.min(tile.width, width - columns[c]),
        height: Math.min(tile.height, height - rows[r]),
      };
      const part = await labelsOf(data, width, place);
      const [top, bottom] = kept(rows, r, tile.height, height);
      const [left, right] = kept(columns, c, tile.width, width);
      for (let y = top; y < bottom; y++) {
        const from = (y - place.top) * place.width - place.left;
        whole.set(part.subarray(from + left, from + right), y * width + left);
      }
      done += 1;
      postMessage({ kind: 'tile', id, done, total: rows.length * columns.length });
    }
  }
  return whole;
}

async function labelsOf(data, stride, place) {
  const { width, height } = place;
  const planes = inputOf(data, stride, place);
  const batch = model.batch || 1;
  const values = batch === 1 ? planes : repeated(planes, batch);
  const isRows = model.layout === 'uint8-nhwc';
  const dims = isRows ? [batch, height, width, 3] : [batch, 3, height, width];
  const kind = model.layout.startsWith('float') ? 'float32' : 'uint8';
  const outputs = await session.run({ images: new ort.Tensor(kind, values, dims) });
  const first = outputs[session.outputNames[0]];
  const scores = first.location === 'cpu' || first.location === undefined ? first.data : await first.getData();
  const found = first.dims.length === 4 ? best(scores, first.dims[1], width * height) : compact(scores, width * height);
  for (const name of session.outputNames) outputs[name].dispose();
  return found;
}

function inputOf(data, stride, { left, top, width, height }) {
  const isRows = model.layout === 'uint8-nhwc';
  const Kind = model.layout.startsWith('float') ? Float32Array : Uint8Array;
  const values = new Kind(3 * width * height);
  const [red, blue] = model.channels === 'bgr' ? [2, 0] : [0, 2];
  const area = width * height;
  let to = 0;
  for (let y = 0; y < height; y++) {
    let from = 4 * ((top + y) * stride + left);
    for (let x = 0; x < width; x++, from += 4, to++) {
      if (isRows) {
        values[3 * to + red] = data[from];
        values[3 * to + 1] = data[from + 1];
        values[3 * to + blue] = data[from + 2];
      } else {
        values[red * area + to] = data[from];
        values[area + to] = data[from + 1];
        values[blue * area + to] = data[from + 2];
      }
    }
  }
  return values;
}

function repeated(values, times) {
  const all = new values.constructor(values.length * times);
  for (let k = 0; k < times; k++) all.set(values, k * values.length);
  return all;
}

function empty(area) {
  return model.classes > 256 ? new Uint16Array(area) : new Uint8Array(area);
}

function compact(values, area) {
  const labels = empty(area);
  labels.set(values.subarray(0, area));
  return labels;
}

// arg-max over classes; one channel: above its threshold
function best(scores, classes, area) {
  const labels = empty(area);
  if (classes === 1) {
    const threshold = model.threshold || 0.5;
    const limit = model.output === 'logits' ? Math.log(threshold / (1 - threshold)) : threshold;
    for (let k = 0; k < area; k++) labels[k] = scores[k] > limit ? 1 : 0;
    return labels;
  }
  const highest = scores.slice(0, area);
  for (let c = 1; c < classes; c++) {
    const plane = c * area;
    for (let k = 0; k < area; k++) {
      if (scores[plane + k] > highest[k]) {
        highest[k] = scores[plane + k];
        labels[k] = c;
      }
    }
  }
  return labels;
}
