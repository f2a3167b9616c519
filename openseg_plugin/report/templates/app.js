// The page around a model: images, videos and the camera in, classes over them. metadata.json says
// whether the browser computes (a worker with ONNX Runtime) or the server that the page comes from.
// Names of files and classes are only ever written as text.
'use strict';

const $ = (id) => document.getElementById(id);
const AUTOMATIC_IMAGE = 2 * 2 ** 20; // pixels that a photo has at most, unless all are asked for
const AUTOMATIC_FRAME = { wasm: 0.25 * 2 ** 20, webgpu: 2 ** 20, server: 2 ** 20 };
const TILE = 1024;
const OVERLAP = 128;

let about = null; // of metadata.json
let engine = null; // what predicts
let shown = null; // { name, width, height, labels, labelWidth, labelHeight, milliseconds }
let isolated = -1; // class that is drawn alone
let rows = []; // of the list of classes
let turn = 0; // of what was asked for last; older answers are dropped
let stream = null; // the video or camera that is played

const state = (name) => ($('app').dataset.state = name);

function say(text) {
  $('message').hidden = !text;
  $('message').textContent = text || '';
}

function busy(text, fraction) {
  $('busy').hidden = text === null;
  if (text === null) return;
  $('busy-text').textContent = text;
  if (fraction === undefined) $('busy-bar').removeAttribute('value');
  else $('busy-bar').value = fraction;
}

const seconds = (milliseconds) => (milliseconds < 995 ? `${Math.round(milliseconds)} ms` : `${(milliseconds / 1000).toFixed(2)} s`);
const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(1);

// ---- engines -------------------------------------------------------------------------------

class BrowserEngine {
  constructor() {
    this.worker = new Worker('assets/app_worker.js', { type: 'module' });
    this.waiting = new Map();
    this.number = 0;
    this.worker.onmessage = (event) => this.heard(event.data);
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) reject(new Error(event.message || 'the worker stopped'));
      this.waiting.clear();
    };
  }

  ask(task, transfer, progress) {
    const id = ++this.number;
    return new Promise((resolve, reject) => {
      this.waiting.set(id, { resolve, reject, progress });
      this.worker.postMessage({ ...task, id }, transfer);
    });
  }

  heard(answer) {
    const asked = this.waiting.get(answer.id);
    if (!asked) return;
    if (answer.kind === 'bytes' || answer.kind === 'tile' || answer.kind === 'step') {
      asked.progress(answer);
      return;
    }
    this.waiting.delete(answer.id);
    if (answer.kind === 'failed') asked.reject(new Error(answer.text));
    else asked.resolve(answer);
  }

  async load() {
    const model = about.models[$('model').value || 0];
    this.model = model;
    const wanted = $('device').value;
    const devices = wanted === 'auto' ? (about.webgpu ? ['webgpu', 'wasm'] : ['wasm']) : [wanted];
    const task = { kind: 'load', devices, model: { ...model, classes: about.classes.length } };
    const found = await this.ask(task, [], (step) => {
      if (step.kind === 'step') busy(`${step.text} ...`);
      else busy(`Loading the model, ${megabytes(step.done)} of ${megabytes(step.total)} MB`, step.total ? step.done / step.total : undefined);
    });
    this.device = found.device;
    const threads = found.threads > 1 ? `, ${found.threads} threads` : '';
    $('engine').textContent =
      `${model.precision}, ${megabytes(model.bytes)} MB, in this browser on ` +
      (found.device === 'webgpu' ? 'the GPU (WebGPU)' : `the CPU (WebAssembly${threads})`);
  }

  // size that an image is predicted at, and the tiles where it is cut
  plan(width, height, isFrame) {
    const fixed = this.model.size; // [rows, columns]
    const choice = $('size').value;
    if (fixed) {
      const [rowsOf, columns] = fixed;
      const fits = width >= columns && height >= rowsOf;
      if (choice === 'full' && fits && !isFrame) {
        const overlap = Math.min(OVERLAP, Math.floor(Math.min(...fixed) / 4));
        return { width, height, tile: { width: columns, height: rowsOf, overlap } };
      }
      return { width: columns, height: rowsOf };
    }
    const { smallest } = this.model; // pixels of a side
    if (Math.min(width, height) < smallest) {
      const factor = smallest / Math.min(width, height);
      return { width: Math.ceil(width * factor), height: Math.ceil(height * factor) };
    }
    if (choice === 'full' && !isFrame) {
      const tile = width > TILE || height > TILE ? { width: TILE, height: TILE, overlap: OVERLAP } : null;
      return { width, height, tile };
    }
    const limit = isFrame ? AUTOMATIC_FRAME[this.device] : AUTOMATIC_IMAGE;
    return reduced(width, height, choice === 'auto' || choice === 'full' ? limit : Number(choice));
  }

  async predict(bitmap, _blob, isFrame, progress) {
    const plan = this.plan(bitmap.width, bitmap.height, isFrame);
    const copy = await createImageBitmap(bitmap);
    return this.ask({ kind: 'predict', bitmap: copy, ...plan }, [copy], progress);
  }
}

class ServerEngine {
  async load() {
    this.device = 'server';
    $('engine').textContent = `computed by the server, openseg_plugin ${about.version}`;
  }

  async predict(bitmap, blob, isFrame) {
    const began = performance.now();
    const body = blob || (await frameFile(bitmap, isFrame));
    let answer;
    try {
      answer = await fetch('predict?output=raw', { method: 'POST', body });
    } catch {
      throw new Error('the server does not answer: is it still running?');
    }
    if (!answer.ok) {
      const found = await answer.json().catch(() => ({}));
      throw new Error(found.error || `the server answered with status ${answer.status}`);
    }
    const [width, height] = answer.headers.get('x-image-size').split('x').map(Number);
    const numbers = await answer.arrayBuffer();
    const labels = about.classes.length > 256 ? new Uint16Array(numbers) : new Uint8Array(numbers);
    return { labels, width, height, milliseconds: performance.now() - began };
  }
}

function reduced(width, height, limit) {
  const factor = Math.min(1, Math.sqrt(limit / (width * height)));
  return { width: Math.max(1, Math.round(width * factor)), height: Math.max(1, Math.round(height * factor)) };
}

async function frameFile(bitmap, isFrame) {
  const size = isFrame ? reduced(bitmap.width, bitmap.height, AUTOMATIC_FRAME.server) : bitmap;
  const canvas = new OffscreenCanvas(size.width, size.height);
  canvas.getContext('2d').drawImage(bitmap, 0, 0, size.width, size.height);
  return canvas.convertToBlob({ type: isFrame ? 'image/jpeg' : 'image/png', quality: 0.92 });
}

// ---- one image -----------------------------------------------------------------------------

async function openFile(file) {
  stopStream();
  say('');
  if (file.type.startsWith('video/')) {
    playVideo(file);
    return;
  }
  const mine = ++turn;
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: 'none', premultiplyAlpha: 'none' });
  } catch {
    failed(`${file.name || 'This'} cannot be shown: it is no image, or is broken.`);
    return;
  }
  if (mine !== turn) return;
  await showImage({ bitmap, blob: file, name: file.name || 'pasted image' });
}

let current = null; // the image that is shown, for another model or size

async function showImage(image) {
  if (current && current.bitmap !== image.bitmap) current.bitmap.close();
  current = image;
  const mine = ++turn;
  state('working');
  drawImage(image.bitmap);
  clearLabels();
  busy('Finding classes ...');
  try {
    const found = await engine.predict(image.bitmap, image.blob, false, (step) => {
      if (mine === turn && step.kind === 'tile') busy(`Finding classes, part ${step.done} of ${step.total}`, step.done / step.total);
    });
    if (mine !== turn) return;
    showLabels(found, image.name, image.bitmap.width, image.bitmap.height);
    busy(null);
    state('done');
  } catch (error) {
    if (mine === turn) failed(`${image.name} could not be predicted: ${error.message}`);
  }
}

function failed(text) {
  busy(null);
  say(text);
  state('failed');
}

function drawImage(bitmap) {
  const canvas = $('image');
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  canvas.getContext('2d').drawImage(bitmap, 0, 0);
  $('empty').hidden = true;
  $('frame').hidden = false;
  $('stage').classList.add('filled');
  fit();
}

// as large as fits the stage
function fit() {
  const canvas = $('image');
  if (!canvas.width) return;
  const stage = $('stage');
  const factor = Math.min(stage.clientWidth / canvas.width, stage.clientHeight / canvas.height);
  $('frame').style.width = `${canvas.width * factor}px`;
  $('frame').style.height = `${canvas.height * factor}px`;
  $('frame').classList.toggle('sharp', factor >= 2);
}

function clearLabels() {
  shown = null;
  $('overlay').getContext('2d').clearRect(0, 0, $('overlay').width, $('overlay').height);
  pointAt(null);
  $('result').textContent = '';
  for (const id of ['save-labels', 'save-overlay']) $(id).disabled = true;
}

function showLabels(found, name, width, height) {
  shown = { name, width, height, labels: found.labels, labelWidth: found.width, labelHeight: found.height, milliseconds: found.milliseconds };
  window.openseg.shown = shown;
  paint();
  listAreas();
  const at = found.width === width && found.height === height ? '' : `, predicted at ${found.width} × ${found.height}`;
  $('result').textContent = `${name}: ${width} × ${height} pixels${at}, ${seconds(found.milliseconds)}`;
  for (const id of ['save-labels', 'save-overlay']) $(id).disabled = false;
}

function paint() {
  if (!shown) return;
  const canvas = $('overlay');
  canvas.width = shown.labelWidth;
  canvas.height = shown.labelHeight;
  const context = canvas.getContext('2d');
  context.putImageData(colored(), 0, 0);
}

function colored() {
  const colors = new Uint32Array(65536);
  about.palette.forEach(([red, green, blue], index) => {
    if (isolated < 0 || isolated === index) colors[index] = (0xff000000 | (blue << 16) | (green << 8) | red) >>> 0;
  });
  const pixels = new ImageData(shown.labelWidth, shown.labelHeight);
  const target = new Uint32Array(pixels.data.buffer);
  const { labels } = shown;
  for (let k = 0; k < target.length; k++) target[k] = colors[labels[k]];
  return pixels;
}

// ---- videos and the camera -----------------------------------------------------------------

function stopStream() {
  if (!stream) return;
  stream.stopped = true;
  stream.video.pause();
  if (stream.tracks) stream.tracks.forEach((track) => track.stop());
  if (stream.address) URL.revokeObjectURL(stream.address);
  stream = null;
  $('playing').hidden = true;
  $('camera').textContent = 'Camera';
}

async function playVideo(file) {
  const video = document.createElement('video');
  const address = URL.createObjectURL(file);
  stream = { video, address, name: file.name };
  video.muted = true;
  video.loop = true;
  video.playsInline = true;
  video.src = address;
  await play(`${file.name} cannot be played: it is no video that this browser knows, or is broken.`);
}

async function openCamera() {
  if (stream && stream.tracks) {
    stopStream();
    return;
  }
  stopStream();
  say('');
  let media;
  try {
    media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1280 } } });
  } catch (error) {
    const none = error.name === 'NotFoundError';
    say(none ? 'There is no camera.' : 'The camera may not be used: allow it in the address bar, or see whether another program has it.');
    return;
  }
  const video = document.createElement('video');
  stream = { video, tracks: media.getTracks(), name: 'camera' };
  video.muted = true;
  video.playsInline = true;
  video.srcObject = media;
  $('camera').textContent = 'Stop the camera';
  await play('The camera gives no image.');
}

async function play(complaint) {
  const mine = stream;
  ++turn;
  state('working');
  busy('Opening ...');
  clearLabels();
  try {
    await mine.video.play();
  } catch {
    if (stream === mine) {
      stopStream();
      failed(complaint);
    }
    return;
  }
  $('playing').hidden = Boolean(mine.tracks);
  $('pause').textContent = 'Pause';
  busy(null);
  let rate = 0;
  let before = performance.now();
  while (!mine.stopped) {
    if (mine.video.paused && mine.place === mine.video.currentTime) {
      await new Promise((resolve) => setTimeout(resolve, 60));
      before = performance.now();
      continue;
    }
    mine.place = mine.video.currentTime;
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(mine.video);
      const found = await engine.predict(bitmap, null, true, () => {});
      if (mine.stopped) break;
      drawImage(bitmap);
      showLabels(found, mine.name, bitmap.width, bitmap.height);
      const now = performance.now();
      rate = rate ? 0.7 * rate + 0.3 * (1000 / (now - before)) : 1000 / (now - before);
      before = now;
      $('result').textContent += `, ${rate.toFixed(1)} images/s`;
      if (!mine.tracks) $('seek').value = (1000 * mine.video.currentTime) / mine.video.duration;
      state('playing');
    } catch (error) {
      if (mine.stopped) break;
      stopStream();
      failed(`${mine.name} could not be predicted: ${error.message}`);
      break;
    } finally {
      if (bitmap) bitmap.close();
    }
  }
}

// ---- classes -------------------------------------------------------------------------------

function element(tag, properties, ...children) {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
}

function listClasses() {
  rows = about.classes.map((name, index) => {
    const swatch = element('span', { className: 'swatch' });
    swatch.style.background = `rgb(${about.palette[index].join(' ')})`;
    const button = element('button', { type: 'button', title: 'show this class alone' }, swatch, name);
    button.setAttribute('aria-pressed', 'false');
    button.addEventListener('click', () => isolate(index));
    const fill = element('span', {});
    fill.style.background = swatch.style.background;
    fill.style.width = 0;
    const area = element('td', { className: 'number' });
    const row = element('tr', {}, element('td', {}, button), element('td', {}, element('span', { className: 'bar' }, fill)), area);
    return { row, button, fill, area };
  });
  $('classes').tBodies[0].replaceChildren(...rows.map((one) => one.row));
}

function isolate(index) {
  isolated = isolated === index ? -1 : index;
  rows.forEach((one, k) => one.button.setAttribute('aria-pressed', String(k === isolated)));
  paint();
}

function listAreas() {
  const counts = new Array(rows.length).fill(0);
  for (const label of shown.labels) counts[label] += 1;
  const most = Math.max(...counts, 1);
  rows.forEach((one, index) => {
    const percent = (100 * counts[index]) / shown.labels.length;
    one.area.textContent = counts[index] ? `${percent < 0.1 ? '< 0.1' : percent.toFixed(1)} %` : '';
    one.fill.style.width = `${(100 * counts[index]) / most}%`;
    one.row.classList.toggle('none', !counts[index]);
  });
  const order = [...rows.keys()].sort((a, b) => counts[b] - counts[a] || a - b);
  const body = $('classes').tBodies[0];
  // a video would make the list jump
  if (!stream) order.forEach((index) => body.append(rows[index].row));
  $('class-hint').textContent = `${counts.filter(Boolean).length} of ${rows.length} are in this image. Click one to see it alone.`;
  shown.areas = counts;
}

function pointAt(event) {
  const tag = $('tag');
  rows.forEach((one) => one.row.classList.remove('near'));
  if (!shown || !event) {
    tag.hidden = true;
    return;
  }
  const box = $('frame').getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width;
  const y = (event.clientY - box.top) / box.height;
  if (x < 0 || y < 0 || x >= 1 || y >= 1) {
    tag.hidden = true;
    return;
  }
  const label = shown.labels[Math.floor(y * shown.labelHeight) * shown.labelWidth + Math.floor(x * shown.labelWidth)];
  const row = rows[label];
  if (row) row.row.classList.add('near');
  tag.textContent = about.classes[label] || `class ${label}`;
  tag.hidden = false;
  tag.classList.toggle('left', x > 0.75);
  tag.style.left = `${x * box.width}px`;
  tag.style.top = `${y * box.height}px`;
}

// ---- saving --------------------------------------------------------------------------------

async function save(canvas, suffix) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve, 'image/png'));
  const link = element('a', { href: URL.createObjectURL(blob), download: `${shown.name.replace(/\.[^.]*$/, '')}_${suffix}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// class numbers as gray values, at the size of the image
function labelCanvas() {
  const { labels, labelWidth, labelHeight, width, height } = shown;
  const canvas = element('canvas', { width, height });
  const context = canvas.getContext('2d');
  const pixels = context.createImageData(width, height);
  const target = new Uint32Array(pixels.data.buffer);
  for (let y = 0, k = 0; y < height; y++) {
    const line = Math.floor((y * labelHeight) / height) * labelWidth;
    for (let x = 0; x < width; x++, k++) {
      target[k] = (0xff000000 | (0x10101 * labels[line + Math.floor((x * labelWidth) / width)])) >>> 0;
    }
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}

function overlayCanvas() {
  const canvas = element('canvas', { width: shown.width, height: shown.height });
  const context = canvas.getContext('2d');
  context.drawImage($('image'), 0, 0);
  context.globalAlpha = $('opacity').value / 100;
  context.imageSmoothingEnabled = false;
  context.drawImage($('overlay'), 0, 0, shown.width, shown.height);
  return canvas;
}

// ---- the page ------------------------------------------------------------------------------

function options(select, entries) {
  select.replaceChildren(...entries.map(([value, text]) => element('option', { value, textContent: text })));
}

async function load() {
  for (const id of ['choose', 'camera']) $(id).disabled = true;
  state('loading');
  busy('Loading the model ...');
  try {
    await engine.load();
  } catch (error) {
    failed(`The model could not be loaded: ${error.message}`);
    return false;
  }
  busy(null);
  $('choose').disabled = false;
  $('camera').disabled = !(navigator.mediaDevices && navigator.mediaDevices.getUserMedia);
  state('ready');
  return true;
}

async function again() {
  stopStream();
  say('');
  ++turn;
  if (await load()) repeat();
}

function repeat() {
  if (current && !stream) showImage(current);
}

function setUpTheme() {
  const system = matchMedia('(prefers-color-scheme: dark)');
  $('theme').hidden = false;
  $('theme').addEventListener('click', () => {
    const chosen = document.documentElement.dataset.theme || (system.matches ? 'dark' : 'light');
    document.documentElement.dataset.theme = chosen === 'dark' ? 'light' : 'dark';
  });
}

function setUpInput() {
  $('choose').addEventListener('click', () => $('file').click());
  $('file').addEventListener('change', () => {
    if ($('file').files.length) openFile($('file').files[0]);
    $('file').value = '';
  });
  $('camera').addEventListener('click', openCamera);
  const stage = $('stage');
  for (const kind of ['dragenter', 'dragover']) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      stage.classList.add('over');
    });
  }
  document.addEventListener('dragleave', (event) => {
    if (!event.relatedTarget) stage.classList.remove('over');
  });
  document.addEventListener('drop', (event) => {
    event.preventDefault();
    stage.classList.remove('over');
    take(event.dataTransfer.files);
  });
  document.addEventListener('paste', (event) => take(event.clipboardData.files));
  $('pause').addEventListener('click', () => {
    if (!stream) return;
    if (stream.video.paused) stream.video.play();
    else stream.video.pause();
    $('pause').textContent = stream.video.paused ? 'Play' : 'Pause';
  });
  $('seek').addEventListener('input', () => {
    if (stream) stream.video.currentTime = ($('seek').value / 1000) * stream.video.duration;
  });
}

function take(files) {
  if (!files || !files.length) return;
  if ($('choose').disabled) say('The model is still being loaded: drop the image again when it is there.');
  else openFile(files[0]);
}

function setUpView() {
  const show = () => {
    $('overlay').style.opacity = $('opacity').value / 100;
    $('opacity-value').textContent = `${$('opacity').value} %`;
  };
  $('opacity').addEventListener('input', show);
  show();
  $('frame').addEventListener('pointermove', pointAt);
  $('frame').addEventListener('pointerleave', () => pointAt(null));
  new ResizeObserver(fit).observe($('stage'));
  $('save-labels').addEventListener('click', () => save(labelCanvas(), 'labels'));
  $('save-overlay').addEventListener('click', () => save(overlayCanvas(), 'overlay'));
}

function setUpSettings() {
  if (about.engine === 'server') return;
  options($('model'), about.models.map((one, index) => [index, `${one.precision} (${megabytes(one.bytes)} MB)`]));
  $('model-row').hidden = about.models.length < 2;
  const devices = [['auto', 'what is fastest']];
  if (about.webgpu && navigator.gpu) devices.push(['webgpu', 'the GPU (WebGPU)']);
  devices.push(['wasm', 'the CPU (WebAssembly)']);
  options($('device'), devices);
  $('device-row').hidden = devices.length < 3;
  setUpSizes();
  $('size-row').hidden = false;
  $('model').addEventListener('change', () => {
    setUpSizes();
    again();
  });
  $('device').addEventListener('change', again);
  $('size').addEventListener('change', repeat);
}

function setUpSizes() {
  const { size } = about.models[$('model').value || 0];
  if (size) options($('size'), [['auto', `whole, at ${size[1]} × ${size[0]}`], ['full', 'full size, in parts']]);
  else {
    options($('size'), [
      ['auto', 'up to 2 megapixels'],
      [String(2 ** 19), 'up to 0.5 megapixels'],
      ['full', 'full size, in parts'],
    ]);
  }
}

async function start() {
  window.openseg = { shown: null };
  setUpTheme();
  if (location.protocol === 'file:') {
    failed('Browsers run no model in a page from the disk. In its folder, run "python -m http.server" and open http://localhost:8000.');
    return;
  }
  try {
    const answer = await fetch('metadata.json');
    about = await answer.json();
  } catch {
    failed('metadata.json, which names the model, is not there or is damaged: export the page again.');
    return;
  }
  const isServer = about.engine === 'server';
  $('privacy').textContent = isServer ? 'It is sent to the server of this page, which keeps nothing.' : 'It never leaves this computer.';
  $('about').textContent = isServer ? 'The model runs on the server.' : 'The model runs in this browser, without a server.';
  engine = isServer ? new ServerEngine() : new BrowserEngine();
  listClasses();
  setUpSettings();
  setUpInput();
  setUpView();
  await load();
}

start();
