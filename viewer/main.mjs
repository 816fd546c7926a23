/** The page: reads its state from the link, requests data from the server, and draws it. */
import './viewer.css';
import { ask } from './api.mjs';
import { differenceColour, frameColour, highlight, isDark } from './colours.mjs';
import { describe, showTip } from './describe.mjs';
import { FlameGraph } from './flame.mjs';
import { amount, element } from './format.mjs';
import { listenToKeys } from './keys.mjs';
import { ValueList } from './list.mjs';
import { readState, writeState } from './state.mjs';
import { drawTable } from './table.mjs';
import { drawTraces } from './traces.mjs';

/** Interval of requests for new windows of a running process, in milliseconds. */
const FOLLOW_MS = 3_000;

/** Tabs that show a table, and what draws it; the others show graphs. */
const TABLES = new Map([
  ['top', drawTop],
  ['traces', drawTracesOfA],
]);

const at = (id) => document.getElementById(id);
let state = readState();
let profile;
const drawn = {};
let listed;

const graphs = Object.fromEntries(
  ['a', 'b'].map((side) => [
    side,
    new FlameGraph(
      at(`graph-${side}`),
      (path) => change({ zoom: path.join('.') }, true),
      (node, event) => show(side, node, event),
    ),
  ]),
);
const list = new ValueList({ list: at('list'), note: at('list-note') }, (row, { add, compare }) => {
  const filter = `${state.label}=${row.value}`;
  if (compare) change({ b: [filter], zoom: '' }, true);
  else if (state.a.includes(filter)) change({ a: without(state.a, filter), zoom: '' }, true);
  else change({ a: add ? [...state.a, filter] : [filter], zoom: '' }, true);
});

/** Applies changes to the state, and draws. */
function change(changes, push = false) {
  state = { ...state, ...changes };
  writeState(state, push);
  return refresh();
}

async function refresh() {
  try {
    showControls();
    await Promise.all([drawList(), (TABLES.get(state.tab) ?? drawGraphs)()]);
    document.body.dataset.ready = String(Number(document.body.dataset.ready ?? 0) + 1);
  } catch (error) {
    at('note').textContent = error.message;
  }
}

const filters = (name, values) => values.map((value) => [name, value]);
const compared = () => state.b !== null;
const sideBySide = () => compared() && state.mode === 'side';

async function drawList() {
  const { label, find } = state;
  const key = JSON.stringify([label, find, profile.source.version]);
  if (key === listed) return list.mark(state.a);
  const found = await ask('rows', 'rows', [
    ['label', label],
    ['search', find],
  ]);
  if (found === undefined) return;
  listed = key;
  list.draw(found, { label, unit: profile.valueType.unit, chosen: state.a });
}

async function drawGraphs() {
  const how = [
    ['inverse', state.tab === 'inverse' ? '1' : ''],
    ['split', state.split],
    ['zoom', state.zoom],
    ['search', state.search],
  ];
  if (sideBySide()) {
    await Promise.all(
      [drawGraph('a', [...filters('a', state.a), ...how])].concat(
        drawGraph('b', [...filters('a', state.b), ...how]),
      ),
    );
  } else {
    const b = compared() ? [['compare', '1'], ...filters('b', state.b)] : [];
    await drawGraph('a', [...filters('a', state.a), ...b, ...how]);
  }
}

async function drawGraph(side, parameters) {
  const found = await ask(`graph-${side}`, 'graph', parameters);
  if (found === undefined) return;
  drawn[side] = found;
  const { a, b, root, zoomed, matched } = found;
  const isDifference = b !== undefined;
  const empty = root.a === 0 && root.b === 0;
  const share = (node, value) => (value === 0 ? 0 : node / value);
  const weigh = isDifference
    ? (node) => Math.abs(share(node.a, a.total)) + Math.abs(share(node.b, b.total))
    : (node) => Math.abs(node.a);
  const term = state.search.toLowerCase();
  const matches = ({ name, file }) =>
    term !== '' && (name.toLowerCase().includes(term) || file.toLowerCase().includes(term));
  const colour = (node) => {
    if (matches(node)) return highlight();
    return isDifference ? differenceColour(differenceOf(node, found)) : frameColour(node);
  };
  at('empty').hidden = !empty || side === 'b';
  at(`figure-${side}`).hidden = empty;
  const zoom = zoomed ? state.zoom.split('.').filter((key) => key !== '') : [];
  if (!empty) graphs[side].draw(root, { zoom, weigh, colour });
  at(`caption-${side}`).textContent = caption(side, found);
  if (side === 'a') noteMatches(matched, a.total, zoomed);
}

/** Returns the difference of both sides' costs, per trace or share of the CPU, over their sum: −1 … 1. */
function differenceOf(node, { scale }) {
  const a = node.a / scale.a;
  const b = node.b / scale.b;
  return a + b === 0 ? 0 : (a - b) / (Math.abs(a) + Math.abs(b));
}

function caption(side, { a, b, scale }) {
  const { unit } = profile.valueType;
  const words = ({ total, traces }) =>
    `${amount(total, unit)}${traces > 0 ? ` in ${traces.toLocaleString('en')} ${traces === 1 ? 'trace' : 'traces'}` : ''}`;
  if (b === undefined) return `${sideBySide() ? `${side.toUpperCase()}: ` : ''}${words(a)}`;
  const per = scale.by === 'trace' ? 'by trace' : 'by share of the CPU';
  return `A: ${words(a)} against B: ${words(b)}. Red costs more in A, blue more in B, ${per}.`;
}

function noteMatches(matched, total, zoomed = true) {
  const { unit } = profile.valueType;
  at('note').textContent = !zoomed
    ? 'The zoomed function is not in this selection.'
    : matched === undefined || matched === null
      ? ''
      : `Found in ${amount(matched, unit)} of ${amount(total, unit)}`;
}

async function drawTop() {
  const b = compared() ? [['compare', '1'], ...filters('b', state.b)] : [];
  const found = await ask('table', 'top', [
    ...filters('a', state.a),
    ...b,
    ['by', state.by],
    ['search', state.search],
    ['sort', compared() ? '' : state.sort],
  ]);
  if (found === undefined) return;
  at('empty').hidden = true;
  noteMatches(undefined, 0);
  drawTable(at('table'), found, {
    unit: profile.valueType.unit,
    sort: state.sort,
    onSort: (sort) => change({ sort }),
    onName: (search) => change({ search, tab: 'flame', zoom: '' }, true),
  });
}

async function drawTracesOfA() {
  const found = await ask('table', 'traces', [...filters('a', state.a), ['search', state.name]]);
  if (found === undefined) return;
  at('empty').hidden = true;
  const hidden = found.count - found.rows.length;
  at('note').textContent = compared()
    ? 'These are the traces of A.'
    : hidden > 0
      ? `… and ${hidden.toLocaleString('en')} more: search`
      : '';
  const open = (filter) =>
    change({ a: [...without(state.a, filter), filter], tab: 'flame', zoom: '' }, true);
  drawTraces(at('table'), found, {
    unit: profile.valueType.unit,
    onName: (name) => open(`span_name=${name}`),
    onTrace: (id) => open(`trace_id=${id}`),
  });
}

function show(side, node, event) {
  const sums = drawn[side];
  const how = { unit: profile.valueType.unit, side, sums, compared: sums?.b !== undefined };
  const texts = node && describe(node, how);
  showTip(at('tip'), texts, event);
  at('details').textContent = texts?.filter((text) => text !== '').join('   ') ?? '';
}

/** Updates all controls that show the state, without the server. */
function showControls() {
  for (const [side, chosen] of [
    ['a', state.a],
    ['b', state.b ?? []],
  ]) {
    const chips = chosen.map((filter) => {
      const title = `Without ${filter}`;
      const chip = element('button', { type: 'button', className: 'chip', title }, `${filter} ✕`);
      chip.addEventListener('click', () =>
        change({ [side]: without(state[side], filter), zoom: '' }, true),
      );
      return chip;
    });
    at(`chips-${side}`).replaceChildren(...(chips.length > 0 ? chips : ['everything']));
  }
  at('bar-b').hidden = !compared();
  at('others').disabled = traceOf(state.a) === undefined;
  at('figure-b').hidden = true;
  const isTable = TABLES.has(state.tab);
  at('table-box').hidden = !isTable;
  if (isTable) at('figure-a').hidden = true;
  for (const tab of document.querySelectorAll('[role=tab]')) {
    tab.setAttribute('aria-selected', String(tab.dataset.tab === state.tab));
  }
  for (const [name, shown] of [
    ['graph', !isTable],
    ['table', state.tab === 'top'],
    ['functions', state.tab !== 'traces'],
    ['traces', state.tab === 'traces'],
  ]) {
    for (const box of document.querySelectorAll(`.for-${name}`)) box.hidden = !shown;
  }
  for (const id of ['label', 'split', 'by', 'mode', 'search']) setValue(at(id), state[id]);
  setValue(at('list-search'), state.find);
  setValue(at('name-search'), state.name);
}

function setValue(field, value) {
  if (field.value !== value) field.value = value;
}

function traceOf(chosen) {
  return chosen.find((filter) => /^(trace_id|span_id)=./.test(filter));
}

function without(values, value) {
  return values.filter((other) => other !== value);
}

/** Compares the selected trace with all others of the same name. */
function compareWithOthers() {
  const trace = traceOf(state.a);
  if (trace !== undefined) change({ b: [trace.replace('=', '~')], zoom: '' }, true);
}

function showProfile() {
  const { valueType, total, labels, source } = profile;
  document.title = `${source.title} – otelpyroscope`;
  at('title').textContent = source.title;
  at('total').textContent = `${amount(total, valueType.unit)} of ${valueType.type}`;
  at('follow-box').hidden = !source.live;
  const option = (value, text) => element('option', { value }, text);
  const words = new Map([
    ['trace_id', 'trace'],
    ['span_id', 'span'],
    ['span_name', 'span name'],
  ]);
  const options = labels.map(({ name, values }) =>
    option(name, `${words.get(name) ?? name} (${values.toLocaleString('en')})`),
  );
  if (!labels.some(({ name }) => name === state.label)) state.label = labels[0]?.name ?? '';
  at('label').replaceChildren(...options);
  at('split').replaceChildren(
    option('', 'nothing'),
    ...labels.map(({ name }) => option(name, name)),
  );
  at('labels').replaceChildren(...labels.map(({ name }) => option(`${name}=`, '')));
}

async function follow() {
  try {
    if (at('follow').checked) {
      const found = await ask('profile', 'profile');
      if (found !== undefined && found.source.version !== profile.source.version) {
        profile = found;
        showProfile();
        await refresh();
      }
    }
  } catch {
    at('note').textContent = 'The process does not answer any more.';
  }
  setTimeout(follow, FOLLOW_MS);
}

function listen() {
  const on = (id, event, action) => at(id).addEventListener(event, action);
  on('label', 'change', () => change({ label: at('label').value, find: '' }));
  on('list-search', 'input', () => (list.reset(), change({ find: at('list-search').value })));
  on('search', 'input', () => change({ search: at('search').value }));
  on('name-search', 'input', () => change({ name: at('name-search').value }));
  on('split', 'change', () => change({ split: at('split').value, zoom: '' }));
  on('by', 'change', () => change({ by: at('by').value }));
  on('mode', 'change', () => change({ mode: at('mode').value }));
  on('unzoom', 'click', () => change({ zoom: '' }, true));
  on('others', 'click', compareWithOthers);
  on('compare-rest', 'click', () => change({ b: [], zoom: '' }, true));
  on('swap', 'click', () => change({ a: state.b, b: state.a }, true));
  on('drop-b', 'click', () => change({ b: null }, true));
  on('help-button', 'click', () => at('help').showModal());
  on('theme', 'click', () => {
    document.documentElement.dataset.theme = isDark() ? 'light' : 'dark';
    refresh();
  });
  on('filter-form', 'submit', (event) => {
    event.preventDefault();
    const filter = at('filter').value;
    if (!/^[^=!~]+(=|!=|~)/.test(filter)) return;
    at('filter').value = '';
    change({ a: [...state.a, filter], zoom: '' }, true);
  });
  for (const tab of document.querySelectorAll('[role=tab]')) {
    tab.addEventListener('click', () => change({ tab: tab.dataset.tab, zoom: '' }, true));
  }
  listenToKeys(at('keys'));
  addEventListener('popstate', () => {
    state = { ...readState(), label: readState().label || state.label };
    refresh();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => refresh());
  let width = innerWidth;
  addEventListener('resize', () => {
    if (innerWidth !== width) refresh();
    width = innerWidth;
  });
}

try {
  profile = await ask('profile', 'profile');
  showProfile();
  listen();
  await refresh();
  if (profile.source.live) setTimeout(follow, FOLLOW_MS);
} catch (error) {
  at('note').textContent = error.message;
}
