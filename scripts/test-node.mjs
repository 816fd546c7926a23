/**
 * Builds and tests the checkout on other versions of Node, which are installed into .nodes/.
 * Leaves out what is the same on every Node, which `npm test` tests, unless arguments name it.
 *
 *     node scripts/test-node.mjs 22 24 26 [-- <arguments for mocha>]
 */
import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import path from 'node:path';
import { buildNative, describeNode, messageOf, packageRoot } from './lib/native-build.mjs';
import { installNode, mochaFor } from './lib/nodes.mjs';

const require = createRequire(import.meta.url);

/** A suite that hangs must not take the time of the next version's, in milliseconds. */
const MAX_SUITE_MS = 20 * 60_000;

function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: packageRoot,
    stdio: ['ignore', 'inherit', 'inherit'],
    ...options,
  });
  if (result.error) throw result.error;
  return result.status;
}

/**
 * Tests in plain C++, which need no Node; of the page in a browser; of building, installing and
 * benches; of parsers and formatters in plain JavaScript; of examples and of the documentation; of
 * frameworks, whose instrumentations test/integration/instrumentations.test.mjs has on each Node.
 */
const SAME_ON_ALL = [
  'test/house/needs.test.mjs',
  'test/integration/bench.test.mjs',
  'test/native/native.test.mjs',
  'test/integration/grafana-example.test.mjs',
  'test/integration/routes.test.mjs',
  'test/package/build-command.test.mjs',
  'test/package/readme.test.mjs',
  'test/package/types.test.mjs',
  'test/package/viewer.test.mjs',
  'test/unit/cli/run-arguments.test.mjs',
  'test/unit/cli/run-children.test.mjs',
  'test/unit/cli/top.test.mjs',
  'test/unit/otel/resource.test.mjs',
  'test/unit/otel/tracer-provider.test.mjs',
  'test/unit/profile/trace-rows.test.mjs',
  'test/unit/pyroscope/agent-labels.test.mjs',
  'test/unit/pyroscope/upload-labels.test.mjs',
  'test/unit/profile/reader.test.mjs',
  'test/unit/source-maps/map-files.test.mjs',
  'test/unit/source-maps/mappings.test.mjs',
  'test/unit/pprof/sample-writer.test.mjs',
  'test/integration/viewer.test.mjs',
  'test/integration/viewer-demo.test.mjs',
];

/**
 * Left out except on the last version, to keep CI short; `npm test` has the oldest. They take a
 * minute and a half, and labels come in one way without AsyncContextFrame (20, 22) and in another
 * with it (24, 26).
 */
const ON_FIRST_AND_LAST = [
  'test/integration/programs.test.mjs',
  'test/integration/register.test.mjs',
  'test/integration/span-cpu-time.test.mjs',
  'test/package/consumers.test.mjs',
  'test/unit/cli/attach.test.mjs',
  'test/unit/cli/run-signals.test.mjs',
  'test/unit/cli/run.test.mjs',
  'test/unit/pull/pprof-handler.test.mjs',
];

/** Only on the last version: compiles the addon twice more, and differs by V8's headers alone. */
const ON_LAST = ['test/builds/call-graph.test.mjs'];

/** Returns whether the suite passes on that version. */
function testOn(version, mochaArguments) {
  const prefix = installNode(version);
  const node = describeNode(prefix);
  console.log(`\n=== Node ${node.version} (ABI ${node.abi}) ===`);
  buildNative(node, { quiet: true });
  const status = run(node.execPath, [mochaFor(node.version), ...mochaArguments], {
    timeout: MAX_SUITE_MS,
    env: {
      ...process.env,
      PATH: `${path.join(prefix, 'bin')}${path.delimiter}${process.env.PATH}`,
      // npm's own setting is for the Node that runs npm.
      npm_config_nodedir: prefix,
    },
  });
  return status === 0;
}

const separator = process.argv.indexOf('--');
const versions = process.argv.slice(2, separator < 0 ? undefined : separator);
/** The folders of `npm test`. */
const suites = require('../package.json').scripts.test.split(' ').slice(1);
function mochaArgumentsFor(version) {
  if (separator >= 0) return process.argv.slice(separator + 1);
  const isLast = version === versions.at(-1);
  const ignored = isLast ? SAME_ON_ALL : [...SAME_ON_ALL, ...ON_FIRST_AND_LAST];
  const added = isLast ? ON_LAST : [];
  return [...ignored.map((file) => `--ignore=${file}`), ...suites, ...added];
}

const failed = [];
try {
  if (versions.length === 0) throw new Error('Which versions? For example: 22 24 26');
  if (run('npm', ['run', '--silent', 'build:ts']) !== 0) throw new Error('build:ts failed.');
  for (const version of versions) {
    try {
      if (!testOn(version, mochaArgumentsFor(version))) failed.push(version);
    } catch (error) {
      console.error(messageOf(error));
      failed.push(version);
    }
  }
  if (failed.length > 0) throw new Error(`Failed on Node ${failed.join(', ')}.`);
} catch (error) {
  console.error(`otelpyroscope: ${messageOf(error)}`);
  process.exitCode = 1;
}
