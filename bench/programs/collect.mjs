/**
 * Fills windows with 1,500 samples of 1,000 span ids, as many as 15 s at 100 Hz have, and takes
 * them; reports the main thread's CPU meanwhile. Arguments: the profiler, windows.
 */

import { emptyTurnNanos, measureTurns, processMicros } from '../clock.mjs';
import { kinds } from '../../test/integration/fixtures/programs/compute.mjs';
import { report, startProfiler } from './profilers.mjs';

const SAMPLES = 1_500;
const SPANS = 1_000;
/** A kernel tick: the windows fill in 6 s instead of 15 s. */
const INTERVAL_MICROS = 4_000;

const [mode, windows] = process.argv.slice(2);
const profiler = await startProfiler(mode, { intervalMicros: INTERVAL_MICROS });

/** As many requests as samples, each of one kind of work. */
async function fill() {
  const begin = processMicros();
  for (let i = 0; i < SAMPLES; i++) {
    const span = i % SPANS;
    const labels = {
      trace_id: span.toString(16).padStart(32, '0'),
      span_id: span.toString(16).padStart(16, '0'),
      span_name: `GET /route/${span % 20}`,
    };
    const end = begin + (i + 1) * INTERVAL_MICROS;
    profiler.run(labels, () => {
      while (processMicros() < end) kinds[i % kinds.length]();
    });
    await new Promise(setImmediate);
  }
}

const results = [];
for (let window = 0; window < Number(windows); window++) {
  await fill();
  const empty = await emptyTurnNanos();
  const { result, totalNanos, longestNanos } = await measureTurns(() => profiler.collect(), empty);
  results.push({ cpu: totalNanos / 1e6, longest: longestNanos / 1e6, bytes: result?.length ?? 0 });
}
report({ windows: results });
