/** The CPU time on spans: the sum over all spans is the labelled CPU of the profile. */
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import { runNode } from '../support/run-child.mjs';
import { readProfile } from '../support/read-profile.mjs';

const SERVICE = fileURLToPath(new URL('./fixtures/cpu-time-service.mjs', import.meta.url));
const CPU_TIME = 'pyroscope.cpu_time_ms';
/** Sums of weights are exact but for their conversion to milliseconds. */
const ROUNDING_MS = 0.001;

/**
 * Whether a sample is certainly of work before its span's end. Others may be of the end itself, after
 * the attribute is set, or of Node.js's timers, whose label is still that of the ended span.
 */
const isInWork = ({ stack }) => stack.some(({ name }) => name === 'burn');

/** CPU time in milliseconds by span id. */
function millisBySpan(samples) {
  const millis = {};
  for (const { labels, nanos } of samples) {
    const key = labels.span_id;
    if (key !== undefined) millis[key] = (millis[key] ?? 0) + nanos / 1e6;
  }
  return millis;
}

describe('the CPU time on spans', function () {
  this.timeout(60_000);

  async function run(settings) {
    const ended = await runNode([SERVICE, JSON.stringify(settings)], { timeoutMs: 50_000 });
    assert.equal(ended.code, 0, ended.stderr);
    const { profile, spans } = ended.messages.at(-1);
    return { ...readProfile(Buffer.from(profile, 'base64')), spans };
  }

  for (const [scope, nameScope] of [
    ['RootSpan', 'RootSpan'],
    ['RootSpan', 'AllSpans'],
    ['AllSpans', 'AllSpans'],
  ]) {
    it(`adds up to the CPU of the profile, with ids of ${scope} and names of ${nameScope}`, async () => {
      const { samples, spans } = await run({ scope, nameScope });
      const total = (bySpan) => Object.values(bySpan).reduce((sum, millis) => sum + millis, 0);
      const least = millisBySpan(samples.filter(isInWork));
      const most = millisBySpan(samples);
      assert.ok(total(least) > 400, `${total(least)} ms`);
      // Or the range would allow for a wrong sum. The first calls of each function are not in it.
      assert.ok(total(least) > 0.8 * total(most), `${total(least)} of ${total(most)} ms`);
      const isBetween = (millis, from, to) =>
        millis > from - ROUNDING_MS && millis < to + ROUNDING_MS;
      const timed = spans.filter(({ attributes }) => CPU_TIME in attributes);
      const sum = timed.reduce((all, { attributes }) => all + attributes[CPU_TIME], 0);
      assert.ok(isBetween(sum, total(least), total(most)), `${sum} of ${total(most)} ms`);
      // Each span's own, too: also where withLabels made other label sets of the span's.
      for (const { spanId, name, attributes } of spans) {
        const own = attributes[CPU_TIME] ?? 0;
        const range = [least[spanId] ?? 0, most[spanId] ?? 0];
        assert.ok(isBetween(own, ...range), `${name}: ${own} of ${range} ms`);
      }
    });
  }

  it('is missing on spans without samples', async () => {
    const { samples, spans } = await run({ scope: 'AllSpans' });
    const bySpan = millisBySpan(samples);
    const idle = spans.filter(({ name }) => name === 'idle');
    assert.ok(idle.length > 10);
    for (const { spanId, attributes } of idle) {
      if (!(spanId in bySpan)) assert.ok(!(CPU_TIME in attributes), `${attributes[CPU_TIME]} ms`);
    }
    assert.ok(idle.some(({ spanId }) => !(spanId in bySpan)));
  });

  it('is missing where cpuTimeAttribute is false', async () => {
    const { spans } = await run({ scope: 'RootSpan', cpuTimeAttribute: false });
    assert.ok(spans.length > 10);
    assert.deepEqual(
      spans.filter(({ attributes }) => CPU_TIME in attributes),
      [],
    );
  });
});
