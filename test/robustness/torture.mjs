/**
 * Shared by the torture tests: which cases run, children that must survive, and the number of things
 * that they have survived. `npm run test:robustness` runs all cases, `npx mocha test/robustness` the short ones.
 */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { messageOf, runNode } from '../support/run-child.mjs';

/** Whether this is `npm run test:robustness`. */
export const ALL = process.env.TORTURE === 'all';
/** CPU time that a case burns, in seconds. */
export const SECONDS = Number(process.env.TORTURE_SECONDS ?? (ALL ? 4 : 0.5));
/** How long what burns so many seconds of CPU may take on a busy machine, in milliseconds. */
export const timeoutOf = (seconds) => (ALL ? 280_000 : 50_000) + seconds * 15_000;
/** Chosen anew each time, and printed: the same one gives the same inputs to what is fuzzed. */
export const SEED = Number(process.env.TORTURE_SEED ?? Date.now() % 1_000_000);
export const NODE_MAJOR = Number.parseInt(process.versions.node, 10);

/** Samples of labelled functions that may be without their label, as a fraction. */
const MISSING_LIMIT = 0.002;
/** One look of the kernel at a CPU timer, in microseconds, on most machines. */
const TICK_MICROS = 4_000;

const survived = { cases: 0, signals: 0, samples: 0 };

export const program = (name) => fileURLToPath(new URL(`programs/${name}`, import.meta.url));

/** Where the cases run that are the same on every Node. */
const OLDEST_MAJOR = 20;

/**
 * `it`, which counts what has passed. With `short`, one of the short ones; with `once`, one that
 * needs nothing of Node, and runs on the oldest alone.
 */
export function torture(name, { short = false, once = false } = {}, run) {
  if ((!ALL && !short) || (once && NODE_MAJOR !== OLDEST_MAJOR)) return;
  it(name, async function () {
    await run.call(this);
    survived.cases++;
  });
}

/** `describe` with the limits and the counts of torture. Empty ones are left out. */
export function tortures(name, define) {
  describe(name, function () {
    this.timeout(ALL ? 600_000 + 2 * timeoutOf(SECONDS) : 60_000 + timeoutOf(SECONDS));
    this.slow(60_000);
    define.call(this);
    after(() => {
      const { cases, signals, samples } = survived;
      console.log(
        `      survived so far on ${process.version}: ${cases} cases, ${signals} signals, ${samples} samples`,
      );
    });
  });
}

/** Adds what a child has counted: an object with `signals` and `samples`. */
export function count({ signals = 0, samples = 0 }) {
  survived.signals += signals;
  survived.samples += samples;
}

/** Counts the numbers that a child, which may end in any way, has printed as `signals=12 samples=3`. */
export function countPrinted({ stdout }) {
  const last = (name) =>
    Number([...stdout.matchAll(new RegExp(`${name}=(\\d+)`, 'g'))].at(-1)?.[1] ?? 0);
  count({ signals: last('signals'), samples: last('samples') });
}

const tell = (command, report) => {
  if (process.env.TORTURE_VERBOSE) console.log(command.join(' '), JSON.stringify(report));
};

/**
 * The report of a program that makes one of its own.
 * @param {string[]} command Flags, program and arguments.
 * @param {Parameters<typeof runNode>[1]} options
 */
export async function reportOf(command, options) {
  const report = await messageOf(runNode(command, options));
  count(report.metrics ?? report);
  tell(command, report);
  return report;
}

/**
 * Runs a program that reports by ./programs/harness.mjs, and asserts that it has come through well.
 *
 * @param {string[]} command Flags, program and arguments.
 * @param {{ env?: Record<string, string>, through?: string[], cwd?: string, limits?: Parameters<typeof assertWell>[1], timeoutMs?: number }} [options]
 */
export async function survives(
  command,
  { env, through, cwd, limits, timeoutMs = timeoutOf(SECONDS) } = {},
) {
  const ended = await runNode(command, { timeoutMs, env, through, cwd });
  assert.deepEqual([ended.code, ended.signal], [0, null], `${ended.stdout}\n${ended.stderr}`);
  assert.equal(ended.messages.length, 1, `${ended.stdout}\n${ended.stderr}`);
  const [report] = ended.messages;
  count(report.metrics);
  tell(command, report);
  assertWell(report, limits);
  return { ...report, ended };
}

/**
 * CPU complete, labels right, frames known.
 *
 * @param {object} report Of ./programs/harness.mjs.
 * @param {{ unresolved?: number, dropped?: number, sampled?: boolean, missing?: number, cpu?: number, labels?: boolean }} [limits]
 *   unresolved, missing, cpu: fractions; dropped: samples; sampled: whether the thread's own CPU
 *   must have been found, not only the process's; labels: false where there can be none.
 */
export function assertWell(
  report,
  {
    unresolved = 0.01,
    dropped = 0,
    sampled = true,
    missing = MISSING_LIMIT,
    cpu = 0.03,
    labels = true,
  } = {},
) {
  const text = JSON.stringify(report);
  const { metrics, processMicros, threadMicros } = report;
  assert.deepEqual(report.wrong, [], text);
  // Where there can be no labels, no thread but the main one takes signals, and that one waits.
  assert.ok((metrics.signals > 0 || !labels) && report.samples > 0, text);
  assert.ok(metrics.droppedSamples <= dropped, text);
  if (labels) {
    assert.ok(report.labelled > report.samples / 20, `few samples have labels: ${text}`);
    assert.ok(report.missing <= missing * report.labelled + 2 * (TICK_MICROS / 1_000), text);
  } else {
    assert.equal(report.labelled, 0, text);
  }
  assert.ok(report.unresolved <= unresolved * report.frames, text);
  const isBetween = (value, [least, most], fraction) =>
    value >= least * (1 - fraction) - 5 * TICK_MICROS &&
    value <= most * (1 + fraction) + 5 * TICK_MICROS;
  assert.ok(isBetween(report.profileMicros, processMicros, cpu), `CPU is not whole: ${text}`);
  if (sampled) {
    assert.ok(isBetween(report.sampledMicros, threadMicros, 0.05), `thread's CPU: ${text}`);
  }
}

let options;
/** Those of `flags` whose every flag this Node has, by name. */
export function knownFlags(flags) {
  options ??= new Set(
    ['--v8-options', '--help'].flatMap((list) =>
      spawnSync(process.execPath, [list], { encoding: 'utf8' })
        .stdout.match(/--[\w-]+/g)
        .map((flag) => flag.replace(/^--(no-)?/, '')),
    ),
  );
  return flags.every((flag) => {
    const name = flag.replace(/=.*/, '');
    return (
      process.allowedNodeEnvironmentFlags.has(name) || options.has(name.replace(/^--(no-)?/, ''))
    );
  });
}
