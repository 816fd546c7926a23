/** Every frame right: inlined functions under their own names, on the lines that run. */

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { OTHER_THREADS } from '../support/read-profile.mjs';
import { isFault, layoutEntries, sweepLayout } from '../support/layout-sweep.mjs';
import { MAGLEV_HAS_POSITIONS, USES_MAGLEV } from '../support/maglev.mjs';
import { EMULATED, messageOf, PATIENCE, runNode } from '../support/run-child.mjs';

const fixture = (name) => fileURLToPath(new URL(`fixtures/frames/${name}`, import.meta.url));

/**
 * Least share of a hot line in its function. An emulator stops a program where one of its blocks
 * begins, and nowhere else. In optimized code for arm64, one block of a loop is its comparison, which
 * V8's own table of positions gives to the `return` behind the loop, or to the function as a whole.
 */
const LEAST_ON_LINE = EMULATED ? 0.6 : 0.95;

/** Least share of the leaf, and of the leaf with the right callers. */
const LEAST_OWN = EMULATED ? 0.9 : 0.95;

/** Entries of the table that no version can do without: where one is wrong, it is counted. */
const MUST_FALL_BACK = [
  'map',
  'map_instance_type',
  'array_length',
  'array_data',
  'function_shared',
  'function_literal_id',
  'function_script',
  'script_id',
  'shared_name',
  'shared_data',
  'script_name',
  'script_line_offset',
  'scope_flags',
  'scope_locals',
  'scope_names',
  'string_length',
  'string_data',
  'frame_context_below',
  'frame_function_below',
  'frame_bytecode_below',
  'frame_offset_below',
  'bytecode_header',
  'bytecode_positions_before_start',
  'code_pointer_before_start',
  'deoptimization_data',
  'source_position_table',
  'instruction_start',
  'instruction_size',
  'inlined_count_index',
  'literals_index',
  'inlining_positions_index',
  'inlining_position_bytes',
];

/** Returns the profile of the fixture. It must be complete, or its shares would mean nothing. */
async function profileOf(file, mode, env) {
  const report = await messageOf(runNode([file, mode], { env }));
  const missing = report.threadNanos - report.totalNanos;
  assert.ok(Math.abs(missing) < 0.05 * report.threadNanos, JSON.stringify(report));
  const { unresolvedFrames, samples } = report.metrics;
  assert.ok(unresolvedFrames <= 0.02 * samples, JSON.stringify(report));
  return report;
}

/** The 1-based line of a file that has this text. */
function lineWith(file, text) {
  const lines = readFileSync(file, 'utf8').split('\n');
  const found = lines.findIndex((line) => line.includes(text));
  assert.ok(found >= 0, `${text} is not in ${file}`);
  return found + 1;
}

describe('frames', function () {
  this.timeout(60_000 * PATIENCE);
  this.slow(15_000 * PATIENCE);

  describe('of inlined functions', function () {
    const file = fixture('inlined.mjs');

    it('are in the profile, with the right callers, if the profiler starts first', async () => {
      const report = await profileOf(file, 'first');
      assert.ok(report.self >= LEAST_OWN, `the leaf's own share is ${report.self}`);
      assert.ok(report.rightChain >= LEAST_OWN, `${report.rightChain} with the right callers`);
      assert.ok(report.metrics.inlinedFrames > 0, 'nothing was inlined');
      assert.equal(report.metrics.layoutFallbacks, 0);
      const wrongStart = Object.entries(report.startLines).filter(
        ([name, line]) => line !== lineWith(file, `function ${name}(`),
      );
      assert.deepEqual(wrongStart, []);
    });

    it('are in the profile while V8 counts coverage', async () => {
      const coverage = mkdtempSync(path.join(os.tmpdir(), 'coverage-'));
      try {
        const env = { NODE_V8_COVERAGE: coverage };
        const { handlerNanos, threadNanos, metrics } = await profileOf(file, 'first', env);
        // The leaf calls V8 then, to have its blocks counted. The rest is the end of the profile.
        const share = handlerNanos / threadNanos;
        assert.ok(share >= 0.6, `the share of the handler is ${share}`);
        assert.equal(metrics.layoutFallbacks, 0);
        assert.ok(readdirSync(coverage).length > 0, 'nothing was counted');
      } finally {
        rmSync(coverage, { recursive: true });
      }
    });

    it('are on the lines that run, and their calls on the lines of the calls', async () => {
      const { lines, handlerNanos } = await profileOf(file, 'first');
      const leaf = `smallLeaf:${lineWith(file, "// the leaf's line")}`;
      const handler = `requestHandler:${lineWith(file, "// the caller's call")}`;
      const through = (call) => lines[`${leaf},caller:${lineWith(file, call)},${handler}`] ?? 0;
      const first = through('// the first call');
      const second = through('// the second call');
      assert.ok((first + second) / handlerNanos >= LEAST_ON_LINE, JSON.stringify(lines));
      // Two equal calls: neither has all of it.
      const least = EMULATED ? 0.05 : 0.25;
      assert.ok(Math.min(first, second) / handlerNanos > least, JSON.stringify(lines));
    });

    it('are never under a wrong name if the profiler starts late', async () => {
      const report = await profileOf(file, 'late');
      const known = [
        'smallLeaf',
        'caller',
        'requestHandler',
        'work',
        '(unresolved)',
        OTHER_THREADS,
      ];
      const strange = Object.entries(report.lines)
        .filter(([stack]) => !known.includes(stack.split(':')[0]))
        .reduce((sum, [, nanos]) => sum + nanos, 0);
      assert.ok(strange / report.totalNanos < 0.05, JSON.stringify(report.lines));
      assert.equal(report.metrics.layoutFallbacks, 0);
      console.log(
        `        started late: ${(100 * report.self).toFixed(1)} % found under the leaf's own name`,
      );
    });
  });

  describe('of one hot line', function () {
    const file = fixture('hot-line.mjs');
    const tiers = {
      'in every tier': USES_MAGLEV && !MAGLEV_HAS_POSITIONS ? ['--no-maglev'] : [],
      'in baseline code': ['--no-opt', '--no-maglev', '--always-sparkplug'],
      'in the interpreter': ['--no-opt', '--no-maglev', '--no-sparkplug'],
    };
    for (const [title, flags] of Object.entries(tiers)) {
      it(`are on it, and their callers on the call, ${title}`, async () => {
        const report = await messageOf(runNode([...flags, file]));
        const lines = [
          ['hotFunction', '// the hot line', title === 'in every tier' ? LEAST_ON_LINE : 0.95],
          ['caller', '// the call', 0.95],
        ];
        for (const [name, text, least] of lines) {
          const nanos = report.lines[name];
          const all = Object.values(nanos).reduce((sum, each) => sum + each, 0);
          const share = (nanos[lineWith(file, text)] ?? 0) / all;
          assert.ok(share >= least, `${name}: ${JSON.stringify(report)}`);
        }
        assert.ok(report.hotShare >= 0.9, JSON.stringify(report));
        assert.equal(report.metrics.layoutFallbacks, 0);
      });
    }
  });

  describe('at the first and last instructions of functions', function () {
    const file = fixture('short-calls.mjs');
    const NO_INLINING = ['--max-inlined-bytecode-size=0', '--max-inlined-bytecode-size-small=0'];
    const NO_MAGLEV_INLINING = ['--no-maglev-inlining'];
    const tiers = {
      'in optimized code': ['--no-maglev', ...NO_INLINING],
      'in Maglev code': ['--no-turbofan', '--maglev', ...NO_INLINING, ...NO_MAGLEV_INLINING],
      'in baseline code': ['--no-opt', '--no-maglev', '--always-sparkplug'],
      'in the interpreter': ['--no-opt', '--no-maglev', '--no-sparkplug'],
    };
    for (const [title, flags] of Object.entries(tiers)) {
      it(`have their callers, ${title}`, async () => {
        const { callers, metrics } = await messageOf(runNode([...flags, file]));
        const right = `many:${lineWith(file, '// the call')},work:${lineWith(file, "// the loop's")}`;
        // See LEAST_ON_LINE: a place that no table of positions has is that of the function.
        const asFunction = right.replace(/:\d+/, `:${lineWith(file, 'function many(')}`);
        const all = Object.values(callers).reduce((sum, nanos) => sum + nanos, 0);
        const accepted = new Set([right]);
        if (EMULATED) accepted.add(asFunction);
        if (title === 'in Maglev code' && !MAGLEV_HAS_POSITIONS) {
          const start = `work:${lineWith(file, 'function work(')}`;
          accepted.add(asFunction).add(asFunction.replace(/work:\d+/, start));
        }
        const asRight = [...accepted].reduce((sum, stack) => sum + (callers[stack] ?? 0), 0);
        assert.ok(all > 1e8 && asRight > 0.99 * all, JSON.stringify(callers));
        assert.equal(metrics.layoutFallbacks, 0);
      });
    }
  });

  describe('of a loop that V8 has replaced on the stack before the start', function () {
    it('have their name and line', async () => {
      const file = fixture('replaced.mjs');
      const report = await messageOf(runNode([file]));
      assert.ok(report.share >= 0.95, JSON.stringify(report));
      const { [lineWith(file, '// the loop')]: onLoop, ...others } = report.lines;
      assert.ok(onLoop / report.spinNanos >= LEAST_ON_LINE, JSON.stringify(report));
      const start = lineWith(file, 'function spin(');
      const known = EMULATED ? [String(start), String(start + 2)] : []; // and the `return`
      assert.deepEqual(
        Object.keys(others).filter((line) => !known.includes(line)),
        [],
      );
      assert.equal(report.metrics.layoutFallbacks, 0);
    });
  });

  describe("of a module's own code", function () {
    it('begin where the module does', async () => {
      const { starts, metrics } = await messageOf(runNode([fixture('module.mjs')]));
      assert.deepEqual(Object.keys(starts), ['1'], JSON.stringify(starts));
      assert.ok(starts['1'] > 1e8);
      assert.equal(metrics.layoutFallbacks, 0);
    });
  });

  describe('with a wrong offset in the table of V8', function () {
    before(function () {
      // The tests' own build is for this machine.
      if (EMULATED) this.skip();
    });

    it('are right or left without inlined functions, and never wrong', async () => {
      const names = await layoutEntries();
      // Each version of Node tries another quarter of the entries, half of them by a word more and half
      // by a word less. test/robustness/wrong-offsets.test.mjs tries all.
      const quarter = Number.parseInt(process.versions.node, 10) / 2;
      const shifts = names
        .map((name, entry) => ({ entry, name, shift: (entry + quarter) % 8 === 0 ? 8 : -8 }))
        .filter(({ entry }) => (entry + quarter) % 4 === 0);
      const results = await sweepLayout(shifts, 0.3);
      assert.ok(results.length > 6);
      assert.deepEqual(results.filter(isFault), []);
      const notCounted = results.filter(
        ({ name, outcome }) => MUST_FALL_BACK.includes(name) && outcome !== 'fallback',
      );
      assert.deepEqual(notCounted, []);
    }).timeout(240_000);
  });
});
