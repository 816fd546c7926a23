/**
 * Loaded by `otelpyroscope run` before the program, in whichever Node.js starts: loads the rest
 * where it can run. Its syntax must be one that every version of Node.js knows.
 */
const OLDEST = [20, 6];

const runtime = process.versions as NodeJS.Dict<string>;
const version = process.versions.node.split('.').map(Number);
const major = version[0] as number;
const minor = version[1] as number;
const isKnown =
  major > (OLDEST[0] as number) || (major === OLDEST[0] && minor >= (OLDEST[1] as number));

if (runtime.bun || runtime.deno || runtime.electron) {
  // It is not Node.js, and reads NODE_OPTIONS all the same.
} else if (isKnown) {
  // eslint-disable-next-line @typescript-eslint/no-require-imports
  require('./profiled-process.js');
} else {
  process.stderr.write(
    'otelpyroscope: no profile of process ' +
      String(process.pid) +
      ': it runs on Node.js ' +
      process.versions.node +
      ', and 20.6 is the oldest that is supported\n',
  );
}
