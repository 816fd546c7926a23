/** The labels of earlier `withLabels` calls: services use the same few again and again. */
import { activeLabels } from './active-labels.js';
import { createUserLabels, type UserLabels } from './label-set.js';

/** Labels that are known at one time; a power of two. */
const SLOTS = 256;
/** With more names or characters they are not remembered, because what is remembered stays in memory. */
const MAX_NAMES = 4;
const MAX_CHARACTERS = 256;
/** Characters at the end of each value that decide about the slot. */
const HASHED = 8;

/** The slot of labels that are not remembered: beyond the array, so that nothing is found there. */
const NO_SLOT = SLOTS;
const slots = new Array<UserLabels | undefined>(SLOTS).fill(undefined);

/** Returns the slot for labels with these names and values, or `NO_SLOT`. */
export function slotOf(
  names: readonly string[],
  labels: Readonly<Record<string, unknown>>,
): number {
  if (names.length > MAX_NAMES) return NO_SLOT;
  let characters = 0;
  let hash = names.length;
  for (const name of names) {
    const value = labels[name];
    if (typeof value !== 'string') return NO_SLOT;
    characters += name.length + value.length;
    for (let i = Math.max(0, value.length - HASHED); i < value.length; i++) {
      hash = (Math.imul(hash, 31) + value.charCodeAt(i)) | 0;
    }
  }
  return characters > MAX_CHARACTERS ? NO_SLOT : hash & (SLOTS - 1);
}

/**
 * Returns the labels of an earlier call with the same names, in the same order, and values, which were
 * checked then.
 */
export function findLabels(
  slot: number,
  names: readonly string[],
  labels: Readonly<Record<string, unknown>>,
): UserLabels | undefined {
  const known = slots[slot];
  if (known === undefined || !hasNames(known, names)) return undefined;
  return names.every((name, i) => known.values[i] === labels[name]) ? known : undefined;
}

function hasNames(labels: UserLabels, names: readonly string[]): boolean {
  return labels.names.length === names.length && names.every((name, i) => labels.names[i] === name);
}

/** Makes labels that `findLabels` finds until others take their slot. */
export function createKnownLabels(
  slot: number,
  names: readonly string[],
  values: readonly string[],
): UserLabels {
  const replaced = slots[slot];
  // With labels of its own at each call, a place in a program has the same names at each.
  const isRepeated = replaced !== undefined && hasNames(replaced, names);
  const labels = createUserLabels(isRepeated ? replaced.names : names, values);
  if (slot !== NO_SLOT) slots[slot] = labels;
  if (replaced?.alone !== undefined) activeLabels.pack(replaced.alone);
  return labels;
}
