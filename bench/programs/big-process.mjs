/** Makes a process as large as those in production: its heap, its code, its mappings. */

import { createRequire } from 'node:module';
import { Script } from 'node:vm';
import { MAPPINGS } from '../mappings.mjs';

const MEGABYTE = 1 << 20;
const FUNCTIONS_OF_SCRIPT = 100;
/** Lines of a function, as modules have them: without them a script would be one line. */
const LINES_OF_FUNCTION = 12;

const kept = [];

/** Allocates objects of several kinds, which stay, until the heap has this size. */
function fillHeap(megabytes) {
  while (process.memoryUsage().heapUsed < megabytes * MEGABYTE) {
    const block = Array.from({ length: 25_000 }, (_, i) => ({
      i,
      next: { value: i, half: i + 0.5 },
      list: [i],
    }));
    kept.push(block);
  }
}

const sourceOf = (number) => `function loaded_${number}(n) {
  let sum = ${number};
  for (let i = 0; i < n; i++) {
    if (i % 3 === 0) sum += i;
    else sum ^= i;
${'    // As a function of an application has.\n'.repeat(LINES_OF_FUNCTION - 8)}    sum &= 65535;
  }
  return sum;
}`;

/** Creates functions in scripts of a hundred, and calls them twice, so that they have bytecode. */
function loadFunctions(count) {
  const functions = [];
  while (functions.length < count) {
    const first = functions.length;
    const numbers = Array.from({ length: FUNCTIONS_OF_SCRIPT }, (_, i) => first + i);
    const names = numbers.map((number) => `loaded_${number}`);
    const source = `(() => {\n${numbers.map(sourceOf).join('\n')}\nreturn [${names}];\n})()`;
    const filename = `/app/module-${first / FUNCTIONS_OF_SCRIPT}.js`;
    functions.push(...new Script(source, { filename }).runInThisContext());
  }
  for (const loaded of functions) loaded(1) + loaded(2);
  return functions;
}

function addMappings(count) {
  const { map } = createRequire(import.meta.url)(process.env[MAPPINGS]);
  const made = map(count);
  if (made < count) throw new Error(`${made} of ${count} mappings: see vm.max_map_count`);
}

/**
 * Needs --expose-gc.
 * @param {{ heapMegabytes?: number, functions?: number, mappings?: number }} size Without a property
 *   that size stays as it is.
 * @returns {((n: number) => number)[]} The functions; a few by default.
 */
export function makeBig({ heapMegabytes = 0, functions = FUNCTIONS_OF_SCRIPT, mappings = 0 }) {
  fillHeap(heapMegabytes);
  const loaded = loadFunctions(functions);
  if (mappings > 0) addMappings(mappings);
  // Frees garbage of this function, so that V8 has no reason for a full collection for a while.
  globalThis.gc();
  globalThis.gc();
  return loaded;
}
