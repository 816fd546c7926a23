/** The table of functions or lines: self and total time, or the difference of two selections. */
import { amount, element, percent } from './format.mjs';

/**
 * @param {HTMLTableElement} table
 * @param {any} data Of the request `top`.
 * @param {{ unit: string, sort: string, onSort: (sort: string) => void, onName: (name: string) => void }} how
 */
export function drawTable(table, { rows, a, b, scale }, { unit, sort, onSort, onName }) {
  const sortable = (name, text) => {
    const button = element('button', { type: 'button', className: 'link' }, text);
    button.addEventListener('click', () => onSort(name));
    const cell = element('th', { scope: 'col' }, button);
    if (sort === name) cell.setAttribute('aria-sort', 'descending');
    return cell;
  };
  const plain = (text, className = '') => element('th', { scope: 'col', className }, text);
  const compared = b !== undefined;
  const per = compared && scale.by === 'trace' ? ' a trace' : '';
  const heads = compared
    ? [sortable('self', `A − B, self${per}`), plain(`A self${per}`), plain(`B self${per}`)]
    : [sortable('self', 'Self'), plain('%'), sortable('total', 'Total'), plain('%')];
  const values = (row) =>
    compared ? differenceCells(row, scale, unit) : cells(row, a.total, unit);
  const body = rows.map((row) => {
    const button = element('button', { type: 'button', className: 'link' }, row.name || '?');
    button.addEventListener('click', () => onName(row.name));
    const file = row.line > 0 ? `${row.file}:${row.line}` : row.file;
    return element(
      'tr',
      {},
      ...values(row),
      element('td', { className: 'text', title: row.name }, button),
      // Isolated: the cell is written from right to left, so that the end of the path is seen.
      element('td', { className: 'text file', title: file }, element('bdi', { dir: 'ltr' }, file)),
    );
  });
  table.className = 'functions';
  table.replaceChildren(
    element(
      'thead',
      {},
      element('tr', {}, ...heads, plain('Function', 'text'), plain('File', 'text')),
    ),
    element('tbody', {}, ...body),
  );
}

function cells({ flat, cum }, total, unit) {
  const texts = [amount(flat, unit), percent(flat, total), amount(cum, unit), percent(cum, total)];
  return texts.map((text) => element('td', {}, text));
}

function differenceCells({ flat, flatB, delta }, scale, unit) {
  const text = (value) =>
    scale.by === 'trace' ? amount(Math.round(value), unit) : percent(value, 1);
  const className = delta > 0 ? 'more' : delta < 0 ? 'less' : '';
  return [
    element('td', { className }, `${delta > 0 ? '+' : ''}${text(delta)}`),
    element('td', {}, text(flat / scale.a)),
    element('td', {}, text(flatB / scale.b)),
  ];
}
