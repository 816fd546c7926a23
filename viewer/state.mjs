/** The state of the page, kept in the link, so that a reload or a sent link shows the same. */

const DEFAULTS = {
  label: '',
  find: '',
  tab: 'flame',
  mode: 'diff',
  by: 'function',
  sort: 'self',
  split: '',
  search: '',
  name: '',
  zoom: '',
};

/** @returns {typeof DEFAULTS & { a: string[], b: string[] | null }} */
export function readState() {
  const query = new URLSearchParams(location.hash.slice(1));
  const state = { a: query.getAll('a'), b: query.has('compare') ? query.getAll('b') : null };
  for (const [name, value] of Object.entries(DEFAULTS)) state[name] = query.get(name) ?? value;
  return state;
}

/** @param {boolean} push Whether the back button returns to the previous state. */
export function writeState(state, push) {
  const query = new URLSearchParams();
  for (const filter of state.a) query.append('a', filter);
  if (state.b !== null) query.set('compare', '1');
  for (const filter of state.b ?? []) query.append('b', filter);
  for (const [name, value] of Object.entries(DEFAULTS)) {
    if (state[name] !== value) query.set(name, state[name]);
  }
  const url = `#${query}`;
  if (push) history.pushState(null, '', url);
  else history.replaceState(null, '', url);
}
