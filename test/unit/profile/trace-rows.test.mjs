/** Checks the sums of traces by span name, with exact numbers. */
import assert from 'node:assert/strict';
import { allOf, select, selectInSteps } from '../../../lib/profile/query.js';
import { readProfile } from '../../../lib/profile/reader.js';
import { traceRows } from '../../../lib/profile/trace-rows.js';
import { atOnce } from '../../../lib/util/time-slices.js';
import { largeProfile, makeProfile, shopProfile, traceId } from '../../support/make-profile.mjs';

const MS = 1e6;

/** Rows as [span name, total, traces, median, 95th percentile, most, trace with the most], in ms. */
function rowsOf(profile, selection = allOf(profile)) {
  return atOnce(traceRows(profile, selection)).map(
    ({ spanName, total, traces, median, p95, most, mostTraceId }) => [
      ...[spanName, total / MS, traces, median / MS, p95 / MS, most / MS, mostTraceId],
    ],
  );
}

const profileOf = (samples) =>
  readProfile(
    makeProfile(
      samples.map(([spanName, trace, millis, more = {}]) => ({
        stack: ['work'],
        nanos: millis * MS,
        labels: {
          ...(spanName === '' ? {} : { span_name: spanName }),
          ...(trace === 0 ? {} : { trace_id: traceId(trace) }),
          ...more,
        },
      })),
    ),
  );

describe('traces by span name', function () {
  it('have the median, the 95th percentile and the most of a trace, each that of one trace', async () => {
    // Traces of 10 to 1,000 ms, in an order that is not theirs.
    const hundred = Array.from({ length: 100 }, (_, i) => {
      const trace = ((i * 37) % 100) + 1;
      return ['GET /a', trace, 10 * trace];
    });
    const profile = await profileOf([
      ...hundred,
      ['GET /b', 201, 10],
      ['GET /b', 202, 30],
      ['GET /b', 203, 20],
      ['GET /c', 301, 40],
      ['GET /d', 401, 10],
      ['GET /d', 402, 20],
    ]);
    assert.deepEqual(rowsOf(profile), [
      ['GET /a', 50_500, 100, 500, 950, 1_000, traceId(100)],
      ['GET /b', 60, 3, 20, 30, 30, traceId(202)],
      ['GET /c', 40, 1, 40, 40, 40, traceId(301)],
      ['GET /d', 30, 2, 10, 20, 20, traceId(402)],
    ]);
  });

  it('add up all samples of a trace with the name, and those of another name apart', async () => {
    const profile = await profileOf([
      ['GET /a', 1, 10, { span_id: '1' }],
      ['GET /a', 1, 20, { span_id: '2' }],
      ['render', 1, 50],
      ['GET /a', 2, 10],
    ]);
    assert.deepEqual(rowsOf(profile), [
      ['render', 50, 1, 50, 50, 50, traceId(1)],
      ['GET /a', 40, 2, 10, 30, 30, traceId(1)],
    ]);
  });

  it('count CPU without a trace id in the total only, and have a row for CPU without a name', async () => {
    const profile = await profileOf([
      ['GET /a', 0, 70],
      ['GET /a', 1, 10],
      ['', 0, 20],
      ['', 2, 30],
    ]);
    assert.deepEqual(rowsOf(profile), [
      ['GET /a', 80, 1, 10, 10, 10, traceId(1)],
      ['', 50, 1, 30, 30, 30, traceId(2)],
    ]);
    assert.deepEqual(rowsOf(await profileOf([['', 0, 20]])), [['', 20, 0, 0, 0, 0, '']]);
    assert.deepEqual(rowsOf(await readProfile(makeProfile([]))), []);
  });

  it('are those of the selection', async () => {
    const profile = await readProfile(shopProfile());
    const others = [{ label: 'trace_id', operator: '~', value: traceId(7) }];
    assert.deepEqual(rowsOf(profile, atOnce(selectInSteps(profile, others))), [
      ['GET /cart', 1_520, 19, 80, 80, 80, traceId(1)],
    ]);
    const stock = select(profile, [{ label: 'span_name', operator: '=', value: 'GET /stock' }]);
    assert.deepEqual(rowsOf(profile, stock), [['GET /stock', 600, 10, 60, 60, 60, traceId(101)]]);
  });

  it('are complete in a profile with 20,000 traces', async () => {
    const profile = await readProfile(largeProfile({ samples: 20_000, spans: 80_000 }));
    const rows = atOnce(traceRows(profile, allOf(profile)));
    assert.equal(rows.length, 25);
    const sum = (key) => rows.reduce((total, row) => total + row[key], 0);
    assert.equal(sum('total'), 20_000 * 10 * MS);
    // Four spans of a trace follow each other, with four names.
    assert.equal(sum('traces'), 20_000);
    for (const { median, p95, most } of rows)
      assert.deepEqual([median, p95, most], Array(3).fill(10 * MS));
  });
});
