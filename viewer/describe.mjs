/** Describes a frame in words, for the tooltip and for screen readers. */
import { amount, element, percent } from './format.mjs';

/**
 * @param {any} node
 * @param {{ unit: string, side: 'a' | 'b', sums: any, compared: boolean }} how
 * @returns {string[]} Name, file with lines, and values.
 */
export function describe(node, { unit, side, sums, compared }) {
  const where = node.lines.length > 0 ? `${node.file}:${node.lines.join(', ')}` : node.file;
  const values = (name, total, self, whole) =>
    `${name}total ${amount(total, unit)} (${percent(total, whole)}), self ${amount(self, unit)}`;
  const a = values(compared ? 'A: ' : '', node.a, node.selfA, sums.a.total);
  if (!compared) return [node.name, where, a];
  const b = values('B: ', node.b, node.selfB, sums.b.total);
  return side === 'b' ? [node.name, where, b] : [node.name, where, a, b];
}

export function showTip(tip, texts, event) {
  tip.hidden = texts === undefined || event === undefined;
  if (tip.hidden) return;
  const [name, where, ...values] = texts;
  tip.replaceChildren(
    element('strong', {}, name),
    element('span', { className: 'file' }, where),
    ...values.map((text) => element('span', {}, text)),
  );
  const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
  const below = event.clientY + 18;
  const fits = below + tip.offsetHeight < innerHeight;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${fits ? below : event.clientY - tip.offsetHeight - 10}px`;
}
