/** Variants and table that the benches under load share. */

import { atMost, median, NAMES, paired, PEERS, show, showPercent, spread } from './measure.mjs';

/** Limit of the CPU that our own counts add up to, in percent. */
const OWN_PERCENT = 0.5;

/** Returns the variants. Two are without a profiler, to show differences by chance. */
export function loadModes(peers) {
  return ['off', 'again', 'ours', ...(peers ? PEERS : [])];
}

/**
 * @param {Record<string, { value: number, micros: number, own?: object }[]>} results By variant.
 *   `value`: the CPU of the same work; `micros`: all CPU; `own`: our own counts.
 * @param {string} unit Unit of the values.
 */
export function loadTable(results, unit, digits) {
  const values = (mode) => results[mode].map(({ value }) => value);
  const ratios = (mode) => paired(values(mode), values('off'));
  // The difference between the two variants without a profiler, in either direction.
  const chance = spread(ratios('again').map((ratio) => Math.abs(ratio - 1)));
  const limit = 1 + Math.max(chance.median, chance.high);
  const percents = results.ours.map(({ own, micros }) =>
    Object.fromEntries(Object.entries(own).map(([name, nanos]) => [name, nanos / micros / 10])),
  );
  const sums = percents.map((own) => Object.values(own).reduce((sum, percent) => sum + percent));
  const parts = Object.keys(percents[0]).map(
    (name) => `${name} ${median(percents.map((own) => own[name])).toFixed(2)}`,
  );
  return {
    columns: ['', unit, 'beside no profiler'],
    rows: [
      ...Object.keys(results).map((mode) => ({
        cells: [
          NAMES[mode],
          show(values(mode), digits),
          mode === 'off' ? '' : showPercent(ratios(mode)),
        ],
        target:
          mode === 'ours'
            ? {
                text: `≤ +${(100 * (limit - 1)).toFixed(1)} %, the spread of no profiler`,
                met: median(ratios(mode)) <= limit,
              }
            : undefined,
      })),
      {
        cells: [
          `${NAMES.ours}, as it counts itself`,
          `${show(sums, 2)} % of all CPU: ${parts.join(', ')}`,
          '',
        ],
        target: atMost(median(sums), OWN_PERCENT, '%'),
      },
    ],
  };
}
