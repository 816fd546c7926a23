/** Handles the keys that work everywhere, and lists all keys. */
import { element } from './format.mjs';

/** Descriptions of all keys. Those in `aria-keyshortcuts` of a button or field work unless the user is typing. */
const DESCRIPTIONS = [
  ['/', 'find in the list'],
  ['l, g', 'to the list, to the graph or table'],
  ['↑ ↓ Enter', 'in the list: choose; with Shift for comparison, with Ctrl in addition'],
  ['↑ ↓ ← → Enter', 'in the graph: go to a caller, the called, a neighbour; zoom'],
  ['Escape', 'in the graph: zoom out; in a field: leave it'],
  ['1, 2, 3, 4', 'flame graph, inverse, table, traces'],
  ['f', 'find a function or file, or a span name among the traces'],
  ['o, c', 'compare with others of its name, with all'],
  ['x', 'swap the two selections'],
  ['0', 'the whole graph'],
  ['d', 'light or dark'],
];

export function listenToKeys(help) {
  help.replaceChildren(
    ...DESCRIPTIONS.flatMap(([keys, text]) => [element('dt', {}, keys), element('dd', {}, text)]),
  );
  addEventListener('keydown', (event) => {
    const { target, key } = event;
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches('input, select, textarea')) {
      if (key === 'Escape') document.getElementById('list').focus();
      return;
    }
    const goals = { l: 'list', g: 'graph-a' };
    const named = document.querySelectorAll(
      key in goals ? `#${goals[key]}` : `[aria-keyshortcuts="${CSS.escape(key)}"]`,
    );
    const found = [...named].find(({ offsetParent }) => offsetParent !== null);
    if (found === undefined || found.disabled) return;
    event.preventDefault();
    if (found.matches('button')) found.click();
    else found.focus();
  });
}
