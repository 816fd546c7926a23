/** A profiled process ends as it would without us, however it ends and whatever we are doing. */

import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { runNode } from '../support/run-child.mjs';
import { buildAddon, buildPreload } from './build.mjs';
import { ALL, countPrinted, program, torture, tortures } from './torture.mjs';

const ENDING = program('ending.cjs');

const states = [
  'before start',
  'started',
  'running',
  'collecting',
  'encoding',
  'compressing',
  'stopping',
  'stopped',
  'with busy workers',
  'in a worker',
];
const ends = [
  'exit',
  'exit listener',
  'reallyExit',
  'abort',
  'uncaught exception',
  'unhandled rejection',
  'stack overflow',
  'SIGTERM',
  'SIGINT',
  'SIGKILL',
  'SIGTERM with a listener',
  'fault in C++',
  'nothing left to do',
];
/** Endings that a worker cannot have: signals are the process's, and abort() is forbidden in them. */
const notInWorkers = new Set(['abort', 'reallyExit']);
/** A process that goes on because of them. */
const endless = (state, end) => state === 'with busy workers' && end === 'nothing left to do';
const possible = (state, end) =>
  !endless(state, end) && !(state === 'in a worker' && notInWorkers.has(end));
/** For `npm test`: each state and each end at least once. */
const isShort = (state, end) => (ends.indexOf(end) * 3 + states.indexOf(state) * 5) % 13 === 0;

const environment = {};
const howItEnded = async (state, end, mode) => {
  const ended = await runNode([ENDING, state, end, mode], { env: environment });
  const { code, signal, stderr } = ended;
  if (mode === 'on') countPrinted(ended);
  const planned = /planned/.test(stderr);
  const fatal = /FATAL|Assertion|terminate called/.test(stderr);
  return { end: { code, signal, planned, fatal }, stderr };
};

async function inTurns(jobs, work) {
  const waiting = [...jobs];
  const next = async () => {
    for (let job = waiting.shift(); job !== undefined; job = waiting.shift()) await work(job);
  };
  await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, next));
}

tortures('torture by endings', function () {
  before(async () => {
    environment.TORTURE_ADDON = await buildAddon();
  });

  for (const state of states) {
    const jobs = ends.filter((end) => possible(state, end) && (ALL || isShort(state, end)));
    torture(`is the same as without a profiler: ${state}`, { short: jobs.length > 0 }, async () => {
      await inTurns(jobs, async (end) => {
        const on = await howItEnded(state, end, 'on');
        const off = await howItEnded(state, end, 'off');
        assert.deepEqual(on.end, off.end, `${state}, ${end}: ${on.stderr}`);
      });
    });
  }

  torture('is the same as without a profiler: at random moments, under a storm', {}, async () => {
    const storm = { LD_PRELOAD: await buildPreload(), TORTURE_STORM_MICROS: '50' };
    const jobs = [];
    for (let round = 0; round < 6; round++) {
      for (const state of ['running', 'encoding', 'stopping', 'with busy workers']) {
        for (const [end, code, signal] of [
          ['exit', 3, null],
          ['exit listener', 6, null],
          ['uncaught exception', 1, null],
          ['SIGTERM', null, 'SIGTERM'],
        ]) {
          jobs.push({ state, end, code, signal });
        }
      }
    }
    await inTurns(jobs, async ({ state, end, code, signal }) => {
      const ended = await runNode([ENDING, state, end, 'on'], {
        env: { ...environment, ...storm },
      });
      countPrinted(ended);
      assert.deepEqual(
        [ended.code, ended.signal],
        [code, signal],
        `${state}, ${end}: ${ended.stderr}`,
      );
    });
  });
});
