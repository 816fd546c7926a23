/** Adds up the test runs in a file of SummaryReporter: prints each failure, a line per run, and `N passed, N failed`. */
import { existsSync, readFileSync } from 'node:fs';

const [file, expectedRuns] = process.argv.slice(2);
const runs = (existsSync(file) ? readFileSync(file, 'utf8') : '')
  .split('\n')
  .filter(Boolean)
  .map((line) => JSON.parse(line));
const line = ({ passes, failures, pending }) =>
  `${passes} passed, ${failures} failed${pending > 0 ? `, ${pending} skipped` : ''}`;

for (const run of runs) {
  for (const { title, error } of run.failed) {
    console.log(`FAILED on Node ${run.node}: ${title}\n${error.slice(0, 4_000)}\n`);
  }
}
for (const run of runs) console.log(`Node ${run.node}: ${line(run)}`);
// A run that ended before its report is a failure too.
const missing = Math.max(0, Number(expectedRuns) - runs.length);
if (missing > 0) console.log(`${missing} of ${expectedRuns} test runs did not report`);
const sum = (key) => runs.reduce((total, run) => total + run[key], 0);
const total = {
  passes: sum('passes'),
  failures: sum('failures') + missing,
  pending: sum('pending'),
};
console.log(line(total));
if (total.failures > 0 || total.passes === 0) process.exitCode = 1;
