/** Resolves the label sets of a decoded pprof profile, each of them once. */
import { GrowingMap } from '../util/growing-maps.js';
import {
  ProfileLabelsTable,
  type ProfileLabels,
  type NumberColumn,
  type Profile,
} from './model.js';
import { limit } from './read-limits.js';

/** Samples whose labels are resolved in one step. */
const STEP_ITEMS = 64;

/**
 * Resolves labels in steps. `columns` has key, string, number and unit of each label, `starts` the
 * index of each sample's first number in it, and `text` returns strings. Throws a ProfileReadError,
 * and what `text` throws.
 */
export function* resolveLabels(
  starts: NumberColumn<Uint32Array>,
  columns: NumberColumn<Float64Array>,
  text: (index: number | undefined) => string,
): Generator<void, Pick<Profile, 'labelSetOf' | 'labelSets'>> {
  const table = new ProfileLabelsTable();
  const count = starts.length;
  const labelSetOf = new Uint32Array(count);
  const parts = yield* columns.take();
  // A few bytes can name a long text, so sets are first compared by the indices of their texts.
  const known = new GrowingMap<string, number>();
  let characters = 0;
  for (let i = 0; i < count; i++) {
    if (i % STEP_ITEMS === 0) yield;
    const begin = starts.at(i);
    const end = i + 1 < count ? starts.at(i + 1) : parts.length;
    if (begin === end) continue;
    const own = parts.subarray(begin, end);
    const key = Buffer.from(own.buffer, own.byteOffset, own.byteLength).toString('latin1');
    let number = known.get(key);
    if (number === undefined) {
      const labels = labelSet(own, text);
      for (const [name, value] of labels) characters += name.length + value.length;
      limit(characters, 'characters of labels');
      number = table.number(labels);
      limit(table.sets.length, 'sets of labels');
      known.add(key, number);
      characters += key.length;
    }
    labelSetOf[i] = number;
  }
  return { labelSetOf, labelSets: table.sets };
}

function labelSet(
  parts: Float64Array,
  textOf: (index: number | undefined) => string,
): ProfileLabels {
  const labels = new Map<string, string>();
  for (let at = 0; at < parts.length; at += 4) {
    const [key, text, number, unit] = parts.subarray(at, at + 4) as unknown as number[];
    const value = text !== 0 ? textOf(text) : `${String(number)} ${textOf(unit)}`.trimEnd();
    labels.set(textOf(key), value);
  }
  return labels;
}
