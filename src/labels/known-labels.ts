/** The labels of earlier `withLabels` calls: services use the same few again and again. */
import type { UserLabels } from './label-set.js';

/** Labels that are known at one time; a power of two. */
const SLOTS = 256;
/** More or longer ones are not known: they stay in memory. */
const MAX_NAMES = 4;
const MAX_CHARACTERS = 256;
/** Characters at the end of each value that decide about the slot. */
const HASHED = 8;

const slots = new Array<UserLabels | undefined>(SLOTS).fill(undefined);

/** Returns the labels of an earlier call with the same names and values, which were checked then. */
export function findLabels(labels: Readonly<Record<string, unknown>>): UserLabels | undefined {
  const names = Object.keys(labels);
  const slot = slotOf(labels, names);
  const known = slot === undefined ? undefined : slots[slot];
  if (known === undefined || known.values.size !== names.length) return undefined;
  for (const name of names) if (known.values.get(name) !== labels[name]) return undefined;
  return known;
}

/** Lets `findLabels` find `user`, which was made of these labels, until others take its slot. */
export function rememberLabels(labels: Readonly<Record<string, string>>, user: UserLabels): void {
  const slot = slotOf(labels, Object.keys(labels));
  if (slot !== undefined) slots[slot] = user;
}

function slotOf(
  labels: Readonly<Record<string, unknown>>,
  names: readonly string[],
): number | undefined {
  if (names.length > MAX_NAMES) return undefined;
  let characters = 0;
  let hash = names.length;
  for (const name of names) {
    const value = labels[name];
    if (typeof value !== 'string') return undefined;
    characters += name.length + value.length;
    for (let i = Math.max(0, value.length - HASHED); i < value.length; i++) {
      hash = (Math.imul(hash, 31) + value.charCodeAt(i)) | 0;
    }
  }
  return characters > MAX_CHARACTERS ? undefined : hash & (SLOTS - 1);
}
