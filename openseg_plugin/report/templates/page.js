// One script for every page. Names of files and classes are only ever written as text.
'use strict';
(function () {
  const data = window.OPENSEG_DATA || { classes: [], palette: [], runs: [], images: [] };
  const { classes, palette, runs, images } = data;
  const K = classes.length;
  const RIGHT = 0, MISSED = 1, FALSE = 2, BOUNDARY = 3, IGNORED = 4;
  const KINDS = [
    null,
    { name: 'missed', color: [0, 114, 178], all: 'missed: the true class is the rarer of the two', one: 'missed: the class is here and was not predicted' },
    { name: 'false', color: [213, 94, 0], all: 'false: the predicted class is the rarer of the two', one: 'false: predicted, but another class is here' },
    { name: 'boundary', color: [240, 228, 66], all: 'boundary: wrong within 3 px of a boundary of the ground truth', one: 'boundary: wrong within 3 px of a boundary' },
    { name: 'ignored', color: [150, 150, 150], all: 'ignored: no ground truth', one: 'ignored: no ground truth' },
  ];
  const CELL_COLOR = [255, 64, 160];
  const PAGE_SIZE = 60;

  const $ = (id) => document.getElementById(id);
  function element(tag, properties, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties || {})) {
      if (key in node && key !== 'style') node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children);
    return node;
  }
  const number = (value) => value.toLocaleString('en-US');
  const imagesText = (value) => `${number(value)} ${value === 1 ? 'image' : 'images'}`;
  const percent = (value) => (value === null || Number.isNaN(value) ? '-' : value.toFixed(2));
  const className = (id) => (id < K ? classes[id] : 'no class');
  const rgb = (color) => `rgb(${color[0]} ${color[1]} ${color[2]})`;

  // ---- theme, tables -------------------------------------------------------------------------

  const system = matchMedia('(prefers-color-scheme: dark)');

  let printing = false; // paper is white

  function isDark() {
    if (printing) return false;
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === 'dark' : system.matches;
  }

  function setUpTheme() {
    const button = $('theme');
    const changed = () => document.dispatchEvent(new Event('theme'));
    button.hidden = false;
    button.addEventListener('click', () => {
      document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
      changed();
    });
    system.addEventListener('change', changed);
    for (const [event, on] of [['beforeprint', true], ['afterprint', false]]) {
      addEventListener(event, () => {
        printing = on;
        if (on) for (const one of document.images) one.loading = 'eager';
        changed();
      });
    }
  }

  function sortTable(table, head) {
    const heads = [...head.parentNode.children];
    const column = heads.indexOf(head);
    const isNumber = head.querySelector('button').dataset.kind !== 'text';
    // numbers begin with the largest, text with A
    const descending = head.getAttribute('aria-sort') === 'none'
      ? isNumber
      : head.getAttribute('aria-sort') === 'ascending';
    const body = table.tBodies[0];
    const key = (row) => row.children[column].dataset.value;
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === '' || y === '') return (x === '') - (y === '');
      const order = isNumber ? x - y : x.localeCompare(y);
      return descending ? -order : order;
    });
    body.append(...rows);
    heads.forEach((one) => one.hasAttribute('aria-sort') && one.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', descending ? 'descending' : 'ascending');
  }

  function setUpTables() {
    for (const table of document.querySelectorAll('table.sortable')) {
      for (const head of table.tHead.rows[0].cells) {
        const button = head.querySelector('button');
        if (button) button.addEventListener('click', () => sortTable(table, head));
      }
    }
    for (const button of document.querySelectorAll('button[data-class]')) {
      button.addEventListener('click', () => {
        $('class-filter').value = button.dataset.class;
        $('class-filter').dispatchEvent(new Event('change'));
        $('images').scrollIntoView();
        $('class-filter').focus({ preventScroll: true });
      });
    }
  }

  // ---- counts of an image --------------------------------------------------------------------

  function cellPixels(image, run, truth, predicted) {
    const { cells } = image.runs[run];
    for (let i = 0; i < cells.length; i += 3) {
      if (cells[i] === truth && cells[i + 1] === predicted) return cells[i + 2];
    }
    return 0;
  }

  // pixels of a class in ground truth, prediction, both
  function classPixels(image, run, id) {
    const { cells } = image.runs[run];
    let truth = 0, predicted = 0, both = 0;
    for (let i = 0; i < cells.length; i += 3) {
      if (cells[i] === id) truth += cells[i + 2];
      if (cells[i + 1] === id) predicted += cells[i + 2];
      if (cells[i] === id && cells[i + 1] === id) both += cells[i + 2];
    }
    return { truth, predicted, both, union: truth + predicted - both };
  }

  function classIoU(image, run, id) {
    const { both, union } = classPixels(image, run, id);
    return union ? (100 * both) / union : null;
  }

  // ---- samples: image and class ids, loaded when they are needed -----------------------------

  const waiting = new Map();
  const loaded = new Map(); // number -> promise, the last used at the end
  const KEPT = 40;

  window.openseg = {
    sample(id, record) {
      const settle = waiting.get(id);
      if (settle) settle(record);
    },
  };

  function loadSample(id) {
    const known = loaded.get(id);
    if (known) {
      loaded.delete(id);
      loaded.set(id, known);
      return known;
    }
    const promise = new Promise((resolve, reject) => {
      waiting.set(id, resolve);
      const script = element('script', { src: `samples/${id}.js` });
      script.onload = () => { waiting.delete(id); script.remove(); };
      script.onerror = () => { waiting.delete(id); script.remove(); reject(new Error(`samples/${id}.js cannot be read`)); };
      document.head.append(script);
    }).then(decodeSample);
    loaded.set(id, promise);
    promise.catch(() => loaded.delete(id));
    if (loaded.size > KEPT) loaded.delete(loaded.keys().next().value);
    return promise;
  }

  async function unpack(text, bytes) {
    if (text === null) return null;
    const packed = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream('deflate'));
    const buffer = await new Response(stream).arrayBuffer();
    return bytes === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer);
  }

  async function decodeSample(record) {
    const maps = (list, bytes) => Promise.all(list.map((one) => unpack(one, bytes)));
    const sample = {
      width: record.width,
      height: record.height,
      ignored: record.bytes === 2 ? 65535 : 255,
      noImage: record.noImage,
      label: await unpack(record.label, record.bytes),
      predictions: await maps(record.predictions, record.bytes),
      kinds: await maps(record.kinds, 1),
      image: null,
    };
    if (record.image !== null) {
      sample.image = element('img', { src: record.image, alt: '' });
      await sample.image.decode();
    }
    return sample;
  }

  // ---- drawing -------------------------------------------------------------------------------

  function prepare(canvas, sample) {
    canvas.width = sample.width;
    canvas.height = sample.height;
    const context = canvas.getContext('2d');
    context.fillStyle = '#808080';
    context.fillRect(0, 0, canvas.width, canvas.height);
    return context;
  }

  function drawImage(canvas, sample) {
    const context = prepare(canvas, sample);
    if (sample.image) context.drawImage(sample.image, 0, 0);
    else {
      context.fillStyle = '#fff';
      context.font = `${Math.max(sample.width / 24, 10)}px sans-serif`;
      context.fillText(sample.noImage, 8, sample.height / 2);
    }
    return context;
  }

  function drawDim(canvas, sample) {
    const context = prepare(canvas, sample);
    if (sample.image) {
      context.filter = 'grayscale(1) brightness(.55)';
      context.drawImage(sample.image, 0, 0);
      context.filter = 'none';
    } else {
      context.fillStyle = '#333';
      context.fillRect(0, 0, canvas.width, canvas.height);
    }
    return context;
  }

  // pixel -> [r, g, b] or null; drawn over what is there
  function paint(context, sample, colorAt, opacity) {
    const layer = document.createElement('canvas');
    layer.width = sample.width;
    layer.height = sample.height;
    const pixels = new ImageData(sample.width, sample.height);
    const target = pixels.data;
    for (let i = 0, j = 0; j < target.length; i++, j += 4) {
      const color = colorAt(i);
      if (!color) continue;
      target[j] = color[0];
      target[j + 1] = color[1];
      target[j + 2] = color[2];
      target[j + 3] = 255;
    }
    layer.getContext('2d').putImageData(pixels, 0, 0);
    context.globalAlpha = opacity;
    context.drawImage(layer, 0, 0);
    context.globalAlpha = 1;
  }

  const HATCH = [[104, 104, 104], [150, 150, 150]];
  function hatchAt(i, width) {
    return HATCH[((Math.floor(i / width) + (i % width)) >> 2) & 1];
  }

  function drawLabels(canvas, sample, map, options) {
    const context = drawImage(canvas, sample);
    if (!map) return note(context, sample, 'label map not found');
    const { width, height, ignored } = sample;
    const truth = sample.label;
    const black = [0, 0, 0];
    const outline = [24, 24, 28];
    paint(context, sample, (i) => {
      const id = map[i];
      if (options.outlines) {
        const x = i % width;
        if ((x + 1 < width && map[i + 1] !== id) || (i + width < map.length && map[i + width] !== id)) return outline;
      }
      if (id === ignored) return hatchAt(i, width);
      if (options.focus !== null && id !== options.focus) return null;
      return id < K ? palette[id] : black;
    }, options.opacity);
    if (options.names) drawNames(context, map, width, height, options);
    return truth;
  }

  function note(context, sample, text) {
    context.fillStyle = 'rgb(0 0 0 / .6)';
    context.fillRect(0, 0, sample.width, sample.height);
    context.fillStyle = '#fff';
    context.font = `${Math.max(sample.width / 24, 10)}px sans-serif`;
    context.fillText(text, 8, sample.height / 2);
  }

  // the name of every class at the place farthest from the rim of its regions
  function drawNames(context, map, width, height, options) {
    const distance = new Uint16Array(map.length);
    for (let i = 0; i < map.length; i++) {
      const left = i % width && map[i - 1] === map[i] ? distance[i - 1] : 0;
      const up = i >= width && map[i - width] === map[i] ? distance[i - width] : 0;
      distance[i] = 1 + Math.min(left, up);
    }
    const best = new Map();
    for (let i = map.length - 1; i >= 0; i--) {
      const right = (i + 1) % width && map[i + 1] === map[i] ? distance[i + 1] : 0;
      const down = i + width < map.length && map[i + width] === map[i] ? distance[i + width] : 0;
      distance[i] = Math.min(distance[i], 1 + Math.min(right, down));
      const found = best.get(map[i]);
      if (found === undefined || distance[i] > distance[found]) best.set(map[i], i);
    }
    const size = Math.max(12 / options.scale, 6);
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.textAlign = 'center';
    context.textBaseline = 'middle';
    context.lineJoin = 'round';
    context.lineWidth = size / 3;
    const taken = []; // boxes of the names that are there: left, top, right, bottom
    const byRoom = [...best].sort((a, b) => distance[b[1]] - distance[a[1]]);
    for (const [id, i] of byRoom) {
      if (id >= K || distance[i] < size * 0.7) continue;
      if (options.focus !== null && id !== options.focus) continue;
      const half = context.measureText(classes[id]).width / 2;
      if (distance[i] * 6 < 2 * half) continue; // as the drawings of the package
      const x = Math.min(Math.max(i % width, half + 2), Math.max(width - half - 2, half + 2));
      const y = Math.floor(i / width);
      const box = [x - half - size / 3, y - 0.7 * size, x + half + size / 3, y + 0.7 * size];
      if (taken.some((one) => box[0] < one[2] && one[0] < box[2] && box[1] < one[3] && one[1] < box[3])) continue;
      taken.push(box);
      context.strokeStyle = '#18181c';
      context.strokeText(classes[id], x, y);
      context.fillStyle = '#fff';
      context.fillText(classes[id], x, y);
    }
    context.textAlign = 'start';
  }

  function kindAt(sample, run, i, focus) {
    const kind = sample.kinds[run][i];
    if (focus === null || kind === RIGHT || kind === IGNORED) return kind;
    if (sample.label[i] === focus) return kind === BOUNDARY ? kind : MISSED;
    if (sample.predictions[run][i] === focus) return kind === BOUNDARY ? kind : FALSE;
    return RIGHT;
  }

  function drawErrors(canvas, sample, run, focus) {
    const context = drawDim(canvas, sample);
    if (!sample.kinds[run]) return note(context, sample, 'label map not found');
    paint(context, sample, (i) => {
      const kind = kindAt(sample, run, i, focus);
      if (kind === IGNORED) return hatchAt(i, sample.width);
      return kind === RIGHT ? null : KINDS[kind].color;
    }, 1);
  }

  function drawCell(canvas, sample, run, cell) {
    const context = drawDim(canvas, sample);
    const prediction = sample.predictions[run];
    if (!sample.label || !prediction) return note(context, sample, 'label map not found');
    const isChosen = (i) => sample.label[i] === cell.truth && Math.min(prediction[i], K) === cell.predicted;
    drawHalo(context, sample, isChosen, sample.width / (canvas.clientWidth || sample.width));
    paint(context, sample, (i) => (isChosen(i) ? CELL_COLOR : null), 1);
  }

  // few pixels would not be seen where the screen shows the canvas `shrunk` times smaller
  function drawHalo(context, sample, isChosen, shrunk) {
    if (shrunk <= 1) return;
    const { width } = sample;
    const found = [];
    for (let i = 0; i < sample.label.length; i++) if (isChosen(i)) found.push(i);
    if (found.length * 100 > sample.label.length) return;
    const radius = Math.ceil(2 * shrunk);
    context.beginPath(); // one path, so that halos do not add up
    for (const i of found) context.rect((i % width) - radius, Math.floor(i / width) - radius, 2 * radius + 1, 2 * radius + 1);
    context.fillStyle = `rgb(${CELL_COLOR.join(' ')} / .5)`;
    context.fill();
  }

  // how much smaller than the image its sample is; wrong pixels outlive that
  function scaleText(image, sample) {
    const scale = sample.width / image.size[1];
    return scale < 1 ? `, drawn at ${Math.round(100 * scale)} %` : '';
  }

  // ---- galleries -----------------------------------------------------------------------------

  const seen = 'IntersectionObserver' in window
    ? new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        seen.unobserve(entry.target);
        entry.target.draw();
      }
    }, { rootMargin: '300px' })
    : null;

  // shows `items` of {image, id, value} in steps of PAGE_SIZE
  function fillGallery(list, more, items, makeView, open) {
    list.replaceChildren();
    let shown = 0;
    const grow = () => {
      for (const item of items.slice(shown, shown + PAGE_SIZE)) {
        const card = element('button', { type: 'button', className: 'card' },
          makeView(item),
          element('span', { className: 'name', textContent: item.image.name, title: item.image.name }),
          element('span', { className: 'value', textContent: item.value }));
        card.dataset.id = item.id;
        card.addEventListener('click', () => open(item, items));
        list.append(element('li', {}, card));
      }
      shown = Math.min(shown + PAGE_SIZE, items.length);
      more.hidden = shown >= items.length;
      more.textContent = `Show more (${number(items.length - shown)} left)`;
    };
    more.onclick = grow;
    grow();
  }

  function missing(text) {
    return element('span', { className: 'view none', textContent: text });
  }

  function thumbnail(item) {
    if (!item.image.drawn) return missing('not drawn');
    const [height, width] = item.image.size;
    const view = element('img', {
      className: 'view', loading: 'lazy', decoding: 'async',
      alt: `${item.image.name}, and its errors${runs.length > 1 ? ` in ${runs[last]}` : ''}`, src: `thumbs/${item.id}.jpg`,
    });
    view.style.setProperty('--ratio', (2 * width) / height);
    view.onerror = () => view.replaceWith(missing('thumbnail not found'));
    return view;
  }

  function cellView(item, run, cell) {
    if (!item.image.drawn) return missing('not drawn');
    const [height, width] = item.image.size;
    const canvas = element('canvas', { className: 'view', width: 2, height: 1 });
    canvas.setAttribute('role', 'img');
    canvas.setAttribute('aria-label', `${item.image.name}: ${item.value}`);
    canvas.style.setProperty('--ratio', width / height);
    canvas.draw = () => loadSample(item.id)
      .then((sample) => {
        drawCell(canvas, sample, run, cell);
        canvas.dataset.ready = 'yes';
        canvas.parentNode.querySelector('.value').textContent = `${item.value}${scaleText(item.image, sample)}`;
      })
      .catch((error) => canvas.replaceWith(missing(error.message)));
    if (seen) seen.observe(canvas); else canvas.draw();
    return canvas;
  }

  // ---- list of images ------------------------------------------------------------------------

  const last = runs.length - 1;
  const METRICS = [
    ['mIoU', 'mean IoU'], ['aAcc', 'pixels right'], ['BF@1', 'boundary F, 1 px'],
    ['BF@3', 'boundary F, 3 px'], ['BF@5', 'boundary F, 5 px'], ['confidence', 'confidence'], ['ECE', 'calibration error'],
  ];

  // ways to order the images: {text, value(image) -> number or null, sign: 1 smallest first}
  function rankings() {
    const list = [];
    const known = (run, key) => images.some((image) => image.runs[run].metrics[key] !== null);
    for (const [key, text] of METRICS) {
      for (let run = 1; run < runs.length; run++) {
        if (!known(0, key) || !known(run, key)) continue;
        const change = (image) => {
          const [a, b] = [image.runs[0].metrics[key], image.runs[run].metrics[key]];
          return a === null || b === null ? null : b - a;
        };
        const name = runs.length > 2 ? `${text} of ${runs[run]}` : text;
        list.push({ text: `${name}: largest loss first`, value: change, sign: 1, change: true, run });
        list.push({ text: `${name}: largest gain first`, value: change, sign: -1, change: true, run });
      }
    }
    for (const [key, text] of METRICS) {
      if (!known(last, key)) continue;
      const name = runs.length > 1 ? `${text} of ${runs[last]}` : text;
      const sign = key === 'ECE' ? -1 : 1;
      list.push({ text: `${name}, worst first`, value: (image) => image.runs[last].metrics[key], sign });
    }
    const of = runs.length > 1 ? ` of ${runs[last]}` : '';
    list.push({ text: `IoU of the chosen class${of}, worst first`, byClass: true, value: (image, id) => classIoU(image, last, id), sign: 1 });
    list.push({
      text: `wrong pixels of the chosen class${of}, most first`, byClass: true, pixels: true, sign: -1,
      value: (image, id) => { const p = classPixels(image, last, id); return p.union - p.both; },
    });
    list.push({ text: 'order of the dataset', value: () => null, sign: 1 });
    return list;
  }

  function setUpImages() {
    if (!$('gallery')) return;
    const ranks = rankings();
    const rank = $('rank'), filter = $('class-filter'), name = $('name-filter');
    ranks.forEach((one, i) => rank.append(element('option', { value: i, textContent: one.text })));
    classes.forEach((text, i) => filter.append(element('option', { value: i, textContent: text })));
    const update = () => {
      const chosen = ranks[rank.value];
      const id = filter.value === '' ? null : Number(filter.value);
      const wanted = name.value.trim().toLowerCase();
      let items = images.map((image, i) => ({ image, id: i }));
      if (wanted) items = items.filter((item) => item.image.name.toLowerCase().includes(wanted));
      if (id !== null) items = items.filter((item) => runs.some((_, run) => classPixels(item.image, run, id).union));
      for (const item of items) {
        item.key = chosen.byClass && id === null ? null : chosen.value(item.image, id);
        item.value = describe(item, chosen);
      }
      // images without a value come last, in their old order
      items.sort((a, b) => (a.key === null) - (b.key === null) || chosen.sign * (a.key - b.key));
      $('found').textContent = `${number(items.length)} of ${imagesText(images.length)}`;
      fillGallery($('gallery'), $('more'), items, thumbnail, (item, all) => viewer.open(item.id, all.map((one) => one.id), { focus: id, run: chosen.run }));
    };
    const describe = (item, chosen) => {
      if (item.key === null) return 'no value';
      if (chosen.pixels) return `${number(item.key)} wrong pixels`;
      return `${chosen.change && item.key > 0 ? '+' : ''}${item.key.toFixed(2)} %`;
    };
    filter.addEventListener('change', () => {
      const byClass = ranks.findIndex((one) => one.byClass);
      if (filter.value !== '' && !ranks[rank.value].byClass) rank.value = byClass;
      else if (filter.value === '' && ranks[rank.value].byClass) rank.value = 0;
      update();
    });
    rank.addEventListener('change', update);
    name.addEventListener('input', update);
    $('filters').addEventListener('submit', (event) => event.preventDefault());
    update();
  }

  // ---- confusion matrix ----------------------------------------------------------------------

  function setUpMatrix() {
    const place = $('matrix');
    if (!place || !images.length) return;
    const counts = Array.from({ length: K }, () => new Array(K + 1).fill(0));
    for (const image of images) {
      const { cells } = image.runs[last];
      for (let i = 0; i < cells.length; i += 3) counts[cells[i]][cells[i + 1]] += cells[i + 2];
    }
    const rowSum = counts.map((row) => row.reduce((a, b) => a + b, 0));
    const columnSum = Array.from({ length: K + 1 }, (_, p) => counts.reduce((sum, row) => sum + row[p], 0));
    const columns = columnSum[K] ? K + 1 : K;
    const dense = K > 40;
    const table = element('table', { className: dense ? 'matrix dense' : 'matrix' });
    const head = element('tr', {}, element('th', { scope: 'col', textContent: 'ground truth \u2193  prediction \u2192' }));
    for (let p = 0; p < columns; p++) {
      head.append(element('th', { scope: 'col' }, element('span', { className: 'turned', textContent: className(p) })));
    }
    table.append(element('thead', {}, head));
    const body = element('tbody');
    const buttons = [];
    for (let t = 0; t < K; t++) {
      const row = element('tr', {}, element('th', { scope: 'row', textContent: classes[t] }));
      for (let p = 0; p < columns; p++) {
        const cell = element('td');
        if (counts[t][p]) {
          const button = element('button', { type: 'button', tabIndex: -1 });
          button.dataset.truth = t;
          button.dataset.predicted = p;
          button.setAttribute('aria-pressed', 'false');
          cell.append(button);
          buttons.push(button);
        }
        row.append(cell);
      }
      body.append(row);
    }
    table.append(body);
    place.append(table);
    if (buttons.length) buttons[0].tabIndex = 0;

    const paintCells = () => {
      const norm = document.querySelector('input[name=norm]:checked').value;
      const largest = Math.max(...counts.flat());
      const dark = isDark();
      for (const button of buttons) {
        const t = Number(button.dataset.truth), p = Number(button.dataset.predicted);
        const pixels = counts[t][p];
        const fraction = norm === 'row' ? pixels / rowSum[t] : norm === 'column' ? pixels / columnSum[p] : Math.log1p(pixels) / Math.log1p(largest);
        // the square root keeps small errors visible
        const strength = norm === 'count' ? fraction ** 2 : Math.sqrt(fraction);
        const full = dark ? (t === p ? [92, 164, 232] : [240, 130, 60]) : t === p ? [11, 92, 173] : [176, 58, 0];
        const none = dark ? 38 : 250;
        const shade = full.map((value) => Math.round(none + (value - none) * strength));
        button.parentNode.style.background = rgb(shade);
        button.style.color = luminance(shade) > 0.18 ? '#000' : '#fff';
        button.textContent = norm === 'count' ? compact(pixels) : (100 * fraction).toFixed(fraction < 0.0995 ? 1 : 0);
        button.title = `${classes[t]} predicted as ${className(p)}: ${number(pixels)} px`;
        button.setAttribute('aria-label', `${button.textContent}: ground truth ${classes[t]}, prediction ${className(p)}: ${number(pixels)} pixels, ${(100 * pixels / rowSum[t]).toFixed(2)} % of the row, ${(100 * pixels / columnSum[p]).toFixed(2)} % of the column`);
      }
    };
    $('matrix-controls').addEventListener('change', paintCells);
    document.addEventListener('theme', paintCells);
    $('matrix-controls').addEventListener('submit', (event) => event.preventDefault());
    paintCells();

    const wrong = buttons.filter((one) => one.dataset.truth !== one.dataset.predicted);
    const pixelsOf = (one) => counts[one.dataset.truth][one.dataset.predicted];
    wrong.sort((a, b) => pixelsOf(b) - pixelsOf(a));
    for (const one of wrong.slice(0, 10)) {
      const [t, p] = [one.dataset.truth, Number(one.dataset.predicted)];
      const link = element('button', { type: 'button', className: 'link', textContent: `${classes[t]} as ${className(p)}` });
      link.addEventListener('click', () => showCell(one, buttons));
      const rest = element('small', { textContent: ` ${compact(pixelsOf(one))} px, ${(100 * pixelsOf(one) / rowSum[t]).toFixed(1)} % of ${classes[t]}` });
      $('largest').append(element('li', {}, link, rest));
    }
    table.addEventListener('click', (event) => {
      const button = event.target.closest('button');
      if (button) showCell(button, buttons);
    });
    table.addEventListener('keydown', (event) => moveInMatrix(event, table, buttons));
    $('cell-close').addEventListener('click', () => {
      $('cell-images').hidden = true;
      const pressed = buttons.find((one) => one.getAttribute('aria-pressed') === 'true');
      buttons.forEach((one) => one.setAttribute('aria-pressed', 'false'));
      if (pressed) pressed.focus();
    });
  }

  function luminance(color) {
    const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function compact(value) {
    return new Intl.NumberFormat('en-US', { notation: 'compact', maximumSignificantDigits: 3 }).format(value);
  }

  // arrow keys go to the next cell that has pixels
  function moveInMatrix(event, table, buttons) {
    const move = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const button = event.target.closest('button');
    if (!move || !button) return;
    event.preventDefault();
    const rows = table.tBodies[0].rows;
    let row = button.closest('tr').rowIndex - 1, column = button.parentNode.cellIndex;
    for (;;) {
      row += move[0];
      column += move[1];
      const next = rows[row] && rows[row].cells[column];
      if (!next || column < 1) return;
      const target = next.querySelector('button');
      if (!target) continue;
      buttons.forEach((one) => { one.tabIndex = -1; });
      target.tabIndex = 0;
      target.focus();
      return;
    }
  }

  function showCell(button, buttons) {
    const cell = { truth: Number(button.dataset.truth), predicted: Number(button.dataset.predicted) };
    buttons.forEach((one) => one.setAttribute('aria-pressed', String(one === button)));
    const items = images
      .map((image, id) => ({ image, id, key: cellPixels(image, last, cell.truth, cell.predicted) }))
      .filter((item) => item.key)
      .sort((a, b) => b.key - a.key);
    for (const item of items) item.value = `${number(item.key)} px of them`;
    const total = items.reduce((sum, item) => sum + item.key, 0);
    $('cell-title').textContent = cellText(cell, `${number(total)} px in ${imagesText(items.length)}`);
    $('cell-images').hidden = false;
    fillGallery($('cell-gallery'), $('cell-more'), items, (item) => cellView(item, last, cell),
      (item, all) => viewer.open(item.id, all.map((one) => one.id), { cell }));
    $('cell-title').focus();
  }

  function cellText(cell, rest) {
    const what = cell.truth === cell.predicted
      ? `${classes[cell.truth]} predicted right`
      : `${classes[cell.truth]} predicted as ${className(cell.predicted)}`;
    return `${what}: ${rest}`;
  }

  // ---- viewer --------------------------------------------------------------------------------

  const viewer = (function () {
    const state = { id: 0, order: [], sample: null, cell: null, zoom: 1, x: 0, y: 0, probe: null };
    let stages = [];
    const dialog = $('viewer');
    if (!dialog) return null;
    const compared = Boolean($('wipe'));

    const option = {
      get opacity() { return Number($('opacity').value); },
      get focus() { return $('focus').value === '' ? null : Number($('focus').value); },
      get outlines() { return $('outlines').checked; },
      get names() { return $('names').checked; },
      get scale() { return stages.length && state.sample ? stages[0].node.clientWidth / state.sample.width || 1 : 1; },
      get left() { return compared ? Number($('left-run').value) : last; },
      get right() { return compared ? Number($('right-run').value) : last; },
    };

    // a panel: caption, and what draws its canvas; two functions are wiped over one another
    function panels() {
      const labels = (map) => (canvas) => drawLabels(canvas, state.sample, map, option);
      const errors = (run) => (canvas) => (state.cell
        ? drawCell(canvas, state.sample, run, state.cell)
        : drawErrors(canvas, state.sample, run, option.focus));
      const { left, right } = option;
      const list = [
        ['Image', [(canvas) => drawImage(canvas, state.sample)]],
        ['Ground truth', [labels(state.sample.label)]],
      ];
      const both = compared ? `: ${runs[left]} | ${runs[right]}` : '';
      const pair = compared ? [left, right] : [last];
      list.push([`Prediction${both}`, pair.map((run) => labels(state.sample.predictions[run]))]);
      list.push([`${state.cell ? 'Chosen pixels' : 'Errors'}${both}`, pair.map(errors)]);
      return list;
    }

    function build() {
      const { width, height } = state.sample;
      $('panels').classList.toggle('tall', height > width);
      $('panels').style.setProperty('--ratio', width / height);
      stages = panels().map(([caption, layers]) => {
        const node = element('div', { className: 'stage', tabIndex: 0 });
        node.setAttribute('role', 'img');
        node.setAttribute('aria-label', `${caption} of ${images[state.id].name}`);
        const canvases = layers.map(() => element('canvas'));
        node.append(...canvases);
        if (layers.length > 1) node.append(element('span', { className: 'seam' }));
        const text = element('figcaption', { textContent: caption });
        return { node, canvases, text };
      });
      $('panels').replaceChildren(...stages.map((stage) => element('figure', {}, stage.text, stage.node)));
      stages.forEach(listen);
      draw();
    }

    function draw() {
      if (!state.sample) return;
      panels().forEach(([caption, layers], i) => {
        stages[i].text.textContent = caption;
        layers.forEach((layer, k) => layer(stages[i].canvases[k]));
      });
      drawLegend();
      place();
    }

    function place() {
      if (!state.sample) return; // panels of the image before stay while the next one is loaded
      for (const { node, canvases } of stages) {
        const transform = `translate(${state.x * node.clientWidth}px, ${state.y * node.clientHeight}px) scale(${state.zoom})`;
        node.classList.toggle('sharp', state.zoom * node.clientWidth > 1.5 * state.sample.width);
        canvases.forEach((canvas) => { canvas.style.transform = transform; });
        if (canvases.length > 1) {
          const wiped = Number($('wipe').value);
          // the clip is in the canvas's own coordinates, the seam in those of the stage
          const edge = ((wiped / 100 - state.x) / state.zoom) * 100;
          canvases[0].style.clipPath = `inset(0 ${Math.min(Math.max(100 - edge, 0), 100)}% 0 0)`;
          canvases[1].style.clipPath = `inset(0 0 0 ${Math.min(Math.max(edge, 0), 100)}%)`;
          node.querySelector('.seam').style.left = `${wiped}%`;
        }
      }
      $('zoom').textContent = `${Math.round(100 * state.zoom)} %`;
      showProbe();
    }

    function zoomTo(zoom, x, y) {
      if (!state.sample) return;
      const next = Math.min(Math.max(zoom, 1), 32);
      state.x = x - ((x - state.x) / state.zoom) * next;
      state.y = y - ((y - state.y) / state.zoom) * next;
      state.zoom = next;
      keepInside();
      place();
    }

    function keepInside() {
      state.x = Math.min(Math.max(state.x, 1 - state.zoom), 0);
      state.y = Math.min(Math.max(state.y, 1 - state.zoom), 0);
    }

    function at(event, node) {
      const box = node.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    }

    function listen({ node }) {
      let drag = null;
      node.addEventListener('wheel', (event) => {
        event.preventDefault();
        zoomTo(state.zoom * Math.exp(-event.deltaY / 300), ...at(event, node));
      }, { passive: false });
      node.addEventListener('pointerdown', (event) => {
        node.setPointerCapture(event.pointerId);
        drag = { from: at(event, node), x: state.x, y: state.y };
      });
      node.addEventListener('pointerup', () => { drag = null; });
      node.addEventListener('pointermove', (event) => {
        if (!state.sample) return;
        const [x, y] = at(event, node);
        if (drag) {
          state.x = drag.x + x - drag.from[0];
          state.y = drag.y + y - drag.from[1];
          keepInside();
          place();
        }
        point((x - state.x) / state.zoom, (y - state.y) / state.zoom);
      });
      node.addEventListener('dblclick', () => zoomTo(1, 0, 0));
      node.addEventListener('keydown', (event) => {
        const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
        if (!move || !state.sample) return;
        event.preventDefault();
        const { width, height } = state.sample;
        const step = event.shiftKey ? 10 : 1;
        const from = state.probe || [Math.floor(width / 2), Math.floor(height / 2)];
        point((from[0] + move[0] * step + 0.5) / width, (from[1] + move[1] * step + 0.5) / height);
      });
    }

    // x, y: fractions of the image
    function point(x, y) {
      if (!state.sample) return;
      const { width, height } = state.sample;
      const column = Math.floor(x * width), row = Math.floor(y * height);
      if (column < 0 || row < 0 || column >= width || row >= height) return;
      state.probe = [column, row];
      showProbe();
    }

    function showProbe() {
      const { sample, probe } = state;
      document.querySelectorAll('.cross').forEach((one) => one.remove());
      if (!probe) return;
      const [column, row] = probe;
      const i = row * sample.width + column;
      const [fullHeight, fullWidth] = images[state.id].size;
      for (const { node } of stages) {
        const cross = element('span', { className: 'cross' });
        cross.style.left = `${(state.x + ((column + 0.5) / sample.width) * state.zoom) * 100}%`;
        cross.style.top = `${(state.y + ((row + 0.5) / sample.height) * state.zoom) * 100}%`;
        node.append(cross);
      }
      const name = (map) => (!map ? 'unknown' : map[i] === sample.ignored ? 'ignored' : className(map[i]));
      const parts = [
        `x ${Math.floor(((column + 0.5) / sample.width) * fullWidth)}, y ${Math.floor(((row + 0.5) / sample.height) * fullHeight)}`,
        `ground truth: ${name(sample.label)}`,
      ];
      const shown = compared ? [...new Set([option.left, option.right])] : [last];
      for (const run of shown) {
        const kind = sample.kinds[run] ? KINDS[kindAt(sample, run, i, null)] : null;
        parts.push(`${compared ? runs[run] : 'prediction'}: ${name(sample.predictions[run])}${kind ? ` (${kind.name})` : ''}`);
      }
      $('probe').textContent = parts.join('   \u00b7   ');
    }

    function drawLegend() {
      const present = new Set();
      for (const map of [state.sample.label, ...state.sample.predictions]) {
        if (map) for (const id of new Set(map)) if (id < K) present.add(id);
      }
      const { opacity, focus } = option;
      $('class-legend').replaceChildren(...[...present].sort((a, b) => a - b).map((id) => {
        const inner = element('span');
        inner.style.background = rgb(palette[id]);
        inner.style.opacity = opacity;
        const button = element('button', { type: 'button', className: 'link' },
          element('span', { className: 'swatch' }, inner), classes[id]);
        button.setAttribute('aria-pressed', String(focus === id));
        button.addEventListener('click', () => {
          $('focus').value = focus === id ? '' : id;
          draw();
        });
        return element('li', {}, button);
      }));
      const entries = state.cell
        ? [[CELL_COLOR, 'the chosen pixels; few ones have a paler halo']]
        : KINDS.slice(1).map((kind) => [kind.color, focus === null ? kind.all : kind.one]);
      $('kind-legend').replaceChildren(...entries.map(([color, text]) => {
        const inner = element('span', { className: text.startsWith('ignored') ? 'hatch' : '' });
        inner.style.background = rgb(color);
        return element('li', {}, element('span', { className: 'swatch' }, inner), text);
      }));
    }

    function metricsText(image) {
      return image.runs.map((run, i) => {
        const name = compared ? `${runs[i]}: ` : '';
        return `${name}mIoU ${percent(run.metrics.mIoU)}, right ${percent(run.metrics.aAcc)}, BF@3 ${percent(run.metrics['BF@3'])}`;
      }).join('   |   ');
    }

    async function show(id) {
      const image = images[id];
      Object.assign(state, { id, sample: null, probe: null, zoom: 1, x: 0, y: 0 });
      $('viewer-title').textContent = image.name;
      $('viewer-metrics').textContent = metricsText(image);
      $('probe').textContent = 'Point at a pixel to read its classes.';
      const position = state.order.indexOf(id);
      $('previous').disabled = position <= 0;
      $('next').disabled = position < 0 || position >= state.order.length - 1;
      $('cell-note').hidden = !state.cell;
      if (state.cell) {
        const pixels = cellPixels(image, last, state.cell.truth, state.cell.predicted);
        $('cell-note').firstElementChild.textContent = cellText(state.cell, `${number(pixels)} px here`);
      }
      $('zoom').textContent = '100 %';
      delete dialog.dataset.shown;
      if (!image.drawn) {
        showNothing('This image was not drawn: raise --report-images.');
        return;
      }
      try {
        const sample = await loadSample(id);
        if (state.id !== id) return;
        state.sample = sample;
        const scale = scaleText(image, sample);
        $('viewer-metrics').textContent = `${metricsText(image)}${scale}${scale && ', wrong pixels kept'}`;
        build();
        dialog.dataset.shown = id;
      } catch (error) {
        if (state.id === id) showNothing(error.message);
      }
    }

    // in place of the panels of an image; the legends of the one before go, too
    function showNothing(text) {
      stages = [];
      for (const part of ['class-legend', 'kind-legend']) $(part).replaceChildren();
      $('panels').replaceChildren(missing(text));
    }

    function go(step) {
      const next = state.order[state.order.indexOf(state.id) + step];
      if (next !== undefined) show(next);
    }

    classes.forEach((text, i) => $('focus').append(element('option', { value: i, textContent: text })));
    if (compared) {
      for (const [id, chosen] of [['left-run', 0], ['right-run', last]]) {
        runs.forEach((text, i) => $(id).append(element('option', { value: i, textContent: text, selected: i === chosen })));
        $(id).addEventListener('change', draw);
      }
      $('wipe').addEventListener('input', place);
    }
    for (const id of ['opacity', 'focus', 'outlines', 'names']) $(id).addEventListener('input', draw);
    $('zoom-in').addEventListener('click', () => zoomTo(state.zoom * 1.5, 0.5, 0.5));
    $('zoom-out').addEventListener('click', () => zoomTo(state.zoom / 1.5, 0.5, 0.5));
    $('zoom-reset').addEventListener('click', () => zoomTo(1, 0, 0));
    $('previous').addEventListener('click', () => go(-1));
    $('next').addEventListener('click', () => go(1));
    $('close').addEventListener('click', () => dialog.close());
    $('cell-off').addEventListener('click', () => { state.cell = null; show(state.id); });
    dialog.addEventListener('keydown', (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches('select, input[type=text], input[type=search]')) return;
      const action = {
        n: () => go(1), p: () => go(-1), '+': () => zoomTo(state.zoom * 1.5, 0.5, 0.5),
        '=': () => zoomTo(state.zoom * 1.5, 0.5, 0.5), '-': () => zoomTo(state.zoom / 1.5, 0.5, 0.5), 0: () => zoomTo(1, 0, 0),
      }[event.key.toLowerCase()];
      if (action) { event.preventDefault(); action(); }
    });
    window.addEventListener('resize', () => { if (dialog.open && state.sample) place(); });

    return {
      open(id, order, { focus = null, cell = null, run = last } = {}) {
        state.order = order;
        state.cell = cell;
        if (compared) $('right-run').value = run; // the one that the images are ordered by
        $('focus').value = focus === null ? '' : focus;
        dialog.showModal();
        show(id);
      },
    };
  })();

  setUpTheme();
  setUpTables();
  setUpImages();
  setUpMatrix();
})();
