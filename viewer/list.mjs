/** The list at the side: a label's values by CPU, chosen by click or keyboard. */
import { amount, element, percent } from './format.mjs';

/** Most rows shown; a search finds the others. */
const MAX_SHOWN = 200;

export class ValueList {
  #list;
  #note;
  #onChoose;
  #label = '';
  #rows = [];
  #active = 0;

  /**
   * @param {{ list: HTMLElement, note: HTMLElement }} elements
   * @param {(row: any, how: { add: boolean, compare: boolean }) => void} onChoose
   */
  constructor({ list, note }, onChoose) {
    this.#list = list;
    this.#note = note;
    this.#onChoose = onChoose;
    list.addEventListener('click', (event) => {
      const item = event.target.closest('li');
      if (item === null) return;
      this.#activate(Number(item.dataset.index));
      this.#choose(event);
    });
    list.addEventListener('keydown', (event) => this.#key(event));
  }

  draw({ rows, count, total }, { label, unit, chosen }) {
    this.#label = label;
    this.#rows = rows.slice(0, MAX_SHOWN);
    const most = Math.max(...this.#rows.map((row) => row.total), 1);
    this.#list.replaceChildren(
      ...this.#rows.map((row, index) => item(row, { index, label, unit, total, most })),
    );
    this.#activate(Math.min(this.#active, Math.max(this.#rows.length - 1, 0)), false);
    const hidden = count - this.#rows.length;
    this.mark(chosen);
    this.#note.textContent = hidden > 0 ? `… and ${hidden.toLocaleString('en')} more: search` : '';
  }

  /** Shows which rows are chosen, by their filters. */
  mark(chosen) {
    this.#rows.forEach((row, index) => {
      const selected = chosen.includes(`${this.#label}=${row.value}`);
      this.#list.children[index].setAttribute('aria-selected', String(selected));
    });
  }

  /** Scrolls to the top: after a search the first row is another one. */
  reset() {
    this.#active = 0;
    this.#list.scrollTop = 0;
  }

  #activate(index, scroll = true) {
    this.#list.querySelector('.active')?.classList.remove('active');
    this.#active = index;
    const active = this.#list.children[index];
    if (active === undefined) return;
    active.classList.add('active');
    this.#list.setAttribute('aria-activedescendant', active.id);
    if (scroll) active.scrollIntoView({ block: 'nearest' });
  }

  #choose(event) {
    const row = this.#rows[this.#active];
    if (row) this.#onChoose(row, { add: event.ctrlKey || event.metaKey, compare: event.shiftKey });
  }

  #key(event) {
    const last = this.#rows.length - 1;
    const goals = {
      ArrowDown: Math.min(this.#active + 1, last),
      ArrowUp: Math.max(this.#active - 1, 0),
      PageDown: Math.min(this.#active + 10, last),
      PageUp: Math.max(this.#active - 10, 0),
      Home: 0,
      End: last,
    };
    if (event.key in goals) this.#activate(goals[event.key]);
    else if (event.key === 'Enter' || event.key === ' ') this.#choose(event);
    else return;
    event.preventDefault();
  }
}

function item(row, { index, label, unit, total, most }) {
  const isId = label === 'trace_id' || label === 'span_id';
  const value = row.value === '' ? `(without ${label})` : row.value;
  const name = isId && row.value !== '' ? row.spanName || '(no name)' : value;
  const sub = isId && row.value !== '' ? value : `${row.samples.toLocaleString('en')} stacks`;
  const made = element(
    'li',
    { id: `row-${index}`, role: 'option', title: value },
    element(
      'div',
      { className: 'head' },
      element('span', { className: 'name' }, name),
      element('span', {}, amount(row.total, unit)),
    ),
    element('div', { className: 'sub' }, `${percent(row.total, total)}  ${sub}`),
    element('progress', { max: most, value: Math.max(row.total, 0) }),
  );
  made.querySelector('progress').setAttribute('aria-hidden', 'true');
  made.dataset.index = String(index);
  return made;
}
