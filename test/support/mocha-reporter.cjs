/**
 * Mocha's "spec" reporter, which also prints at the end what did not run, appends counts and failures of a run to the
 * file that MOCHA_SUMMARY names, and ends a process that the tests keep alive.
 */
const { appendFileSync } = require('node:fs');
const { createRequire } = require('node:module');
// The one that runs, which is another than the checkout's on old versions of Node.
const { reporters } = createRequire(process.argv[1])('mocha');
const { notRun } = require('./not-run.cjs');

/** A process that ended all tests and lives on is ended after this time, and has failed. */
const MAX_MS_AFTER_TESTS = 20_000;

function appendSummary(summary) {
  const file = process.env.MOCHA_SUMMARY;
  if (file) appendFileSync(file, `${JSON.stringify({ node: process.version, ...summary })}\n`);
}

/** Ends what a test has left open, most often because it failed: the suites after it must not wait for it. */
function endLater() {
  const end = () => {
    const title = 'the process ends after the tests';
    const error = `It is kept alive by: ${process.getActiveResourcesInfo().join(', ')}`;
    console.error(`\n${title}: no. ${error}`);
    appendSummary({ passes: 0, failures: 1, pending: 0, failed: [{ title, error }] });
    // After Mocha's own listener, which counts the failed tests alone.
    process.once('exit', () => (process.exitCode ||= 1));
    process.exit();
  };
  setTimeout(end, MAX_MS_AFTER_TESTS).unref();
}

class SummaryReporter extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    const failed = [];
    runner.on('fail', (test, error) => {
      failed.push({ title: test.fullTitle(), error: error.stack ?? String(error) });
    });
    runner.once('end', () => {
      const { passes, failures, pending } = runner.stats;
      for (const reason of notRun()) console.log(`  not run: ${reason}`);
      appendSummary({ passes, failures, pending, failed });
      endLater();
    });
  }
}

module.exports = SummaryReporter;
