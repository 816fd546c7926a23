/**
 * Does work whose CPU is known; reports it by name, and our profile. Arguments: `suite`, the compute
 * suite of the tests, or `clock`, two equal loops of which one reads a clock often; our interval,
 * without which there is no profiler.
 */

import { BURNER_PREFIX, createBurners, roundsFor } from '../../test/support/burners.mjs';
import { processMicros } from '../clock.mjs';
import { work } from './counted-work.mjs';

const ROUNDS = 60;
/** Calls into which the work of a turn is divided; each reads the clock. */
const CALLS = { often: 700, rarely: 1 };
const TURNS = 250;
const TURN_MICROS = 10_000;

/** Adds up the CPU of each kind of work, in microseconds, each time it has run. */
function account() {
  const micros = {};
  let before = processMicros();
  const add = (name) => {
    const now = processMicros();
    micros[name] = (micros[name] ?? 0) + now - before;
    before = processMicros();
  };
  return { micros, add };
}

function suite() {
  const { micros, add } = account();
  work(ROUNDS, (kind) => add(kind.name));
  return micros;
}

/** Does not measure the truth, which would include the clock: both loops do as many rounds. */
function clock() {
  const burners = createBurners(['calibrate', ...Object.keys(CALLS)]);
  const perCall = Math.ceil(roundsFor(TURN_MICROS, burners.get('calibrate')) / CALLS.often);
  const rounds = perCall * CALLS.often;
  for (let turn = 0; turn < TURNS; turn++) {
    for (const [name, calls] of Object.entries(CALLS)) {
      for (let call = 0; call < calls; call++) {
        burners.get(name)(rounds / calls);
        processMicros();
      }
    }
  }
  return Object.fromEntries(Object.keys(CALLS).map((name) => [BURNER_PREFIX + name, rounds]));
}

const [what, interval] = process.argv.slice(2);
let profiler;
if (interval !== undefined) {
  const { CpuProfiler } = await import('otelpyroscope');
  profiler = new CpuProfiler({ intervalMicros: Number(interval) });
  profiler.start();
}
const truth = { suite, clock }[what]();
const profile = await profiler?.stop();
console.log(JSON.stringify({ truth, profile: profile && Buffer.from(profile).toString('base64') }));
