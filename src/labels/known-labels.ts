/** The labels of earlier `withLabels` calls: services use the same few again and again. */
import { activeLabels } from './active-labels.js';
import type { UserLabels } from './label-set.js';

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

/** Returns the slot for labels with these names and values, which are strings then, or `NO_SLOT`. */
export function slotOf(names: readonly string[], values: readonly unknown[]): number {
  if (names.length > MAX_NAMES) return NO_SLOT;
  let characters = 0;
  let hash = names.length;
  for (let n = 0; n < names.length; n++) {
    const value = values[n];
    if (typeof value !== 'string') return NO_SLOT;
    characters += (names[n] as string).length + value.length;
    for (let i = Math.max(0, value.length - HASHED); i < value.length; i++) {
      hash = (Math.imul(hash, 31) + value.charCodeAt(i)) | 0;
    }
  }
  return characters > MAX_CHARACTERS ? NO_SLOT : hash & (SLOTS - 1);
}

/**
 * Returns the labels in the slot if they have these names, in this order, which have been checked then:
 * calls from one place of a program have the same names each time.
 */
export function findByNames(slot: number, names: readonly string[]): UserLabels | undefined {
  const known = slots[slot];
  if (known?.names.length !== names.length) return undefined;
  return known.names.every((name, i) => name === names[i]) ? known : undefined;
}

/** Lets `findByNames` find the labels, until others take their slot. */
export function rememberLabels(slot: number, labels: UserLabels): void {
  if (slot === NO_SLOT) return;
  const replaced = slots[slot];
  slots[slot] = labels;
  if (replaced?.alone !== undefined) activeLabels.pack(replaced.alone);
}
