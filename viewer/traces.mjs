/** The table of traces by span name: how many there are, and the CPU of one. */
import { amount, element, percent } from './format.mjs';

const HEADS = [
  ['CPU', 'CPU of all samples with this span name'],
  ['%', 'Share of the selection'],
  ['Traces', 'Number of traces with samples of this span name'],
  ['Median', 'CPU of a trace: half of the traces have used no more'],
  ['95th', 'CPU of a trace: 95 % of the traces have used no more'],
  ['Most', 'CPU of the most expensive trace'],
];

/**
 * @param {HTMLTableElement} table
 * @param {any} data Of the request `traces`.
 * @param {{ unit: string, onName: (name: string) => void, onTrace: (id: string) => void }} how
 */
export function drawTraces(table, { rows, total }, { unit, onName, onTrace }) {
  const heads = HEADS.map(([text, title]) => element('th', { scope: 'col', title }, text));
  const name = element('th', { scope: 'col', className: 'text' }, 'Span name');
  const body = rows.map((row) => {
    const { spanName, traces, mostTraceId } = row;
    const each = (value) => (traces === 0 ? '–' : amount(value, unit));
    const texts = [
      ...[amount(row.total, unit), percent(row.total, total), traces.toLocaleString('en')],
      ...[each(row.median), each(row.p95)],
    ];
    const most =
      traces === 0
        ? each(row.most)
        : link(each(row.most), `Trace ${mostTraceId}`, () => onTrace(mostTraceId));
    const named = spanName || '(without span_name)';
    return element(
      'tr',
      {},
      ...texts.map((text) => element('td', {}, text)),
      element('td', {}, most),
      element(
        'td',
        { className: 'text', title: named },
        link(named, '', () => onName(spanName)),
      ),
    );
  });
  table.className = 'traces';
  table.replaceChildren(
    element('thead', {}, element('tr', {}, ...heads, name)),
    element('tbody', {}, ...body),
  );
}

function link(text, title, action) {
  const button = element('button', { type: 'button', className: 'link', title }, text);
  button.addEventListener('click', action);
  return button;
}
