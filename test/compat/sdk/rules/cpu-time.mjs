/** The rules of the CPU time that spans get as an attribute, on the spans of a real SDK. */
import assert from 'node:assert/strict';
import { CpuProfiler, PyroscopeSpanProcessor, Scope } from 'otelpyroscope';
import { sleep, startTracing } from '../../../support/labels.mjs';
import { readProfile } from '../../../support/read-profile.mjs';
import { thisThreadNanos } from '../../../support/thread-cpu.mjs';

const CPU_TIME = 'pyroscope.cpu_time_ms';
/** CPU of a span that burns: ten ticks of the kernel, at which samples are taken. */
const BURN_MS = 40;

/** Registers the cases for one SDK and one of its context managers. */
export function cpuTimeRules(sdk, contextManager) {
  const entries = {
    'by the wrapper': (options) => startTracing(sdk, { contextManager, options }),
    'by the span processor': (options) =>
      startTracing(sdk, {
        contextManager,
        wrap: false,
        processors: [new PyroscopeSpanProcessor(options)],
      }),
  };

  afterEach(() => sdk.reset());

  for (const [entry, start] of Object.entries(entries)) {
    describe(`of spans labelled ${entry}`, () => {
      it('is the CPU time of a span that burns, and missing on one that does not', async () => {
        const program = start({ spanIdScope: Scope.AllSpans });
        const { tracer } = program;
        const samples = await profiled(async () => {
          await tracer.startActiveSpan('burning', async (span) => {
            burn();
            await sleep(1);
            burn();
            span.end();
          });
          await tracer.startActiveSpan('waiting', async (span) => {
            await sleep(1);
            span.end();
          });
          tracer.startSpan('never active').end();
        });
        const { burning, waiting, ...others } = await program.spans();
        assertCpuTime(burning, samples);
        assert.ok(!(CPU_TIME in others['never active'].attributes));
        // In rare cases a sample is taken in the microseconds of CPU that it uses.
        const { spanId } = waiting.spanContext();
        if (!samples.some(({ labels }) => labels.span_id === spanId)) {
          assert.ok(!(CPU_TIME in waiting.attributes));
        }
      });

      it("is the root's with what its children burn, with RootSpan", async () => {
        const program = start();
        const { tracer } = program;
        const samples = await profiled(() =>
          tracer.startActiveSpan('root', (root) => {
            burn();
            tracer.startActiveSpan('child', (child) => {
              burn();
              child.end();
            });
            root.end();
          }),
        );
        const { root, child } = await program.spans();
        assertCpuTime(root, samples);
        assert.ok(!(CPU_TIME in child.attributes));
      });

      it('is missing while no profile is taken, and with cpuTimeAttribute: false', async () => {
        const work = ({ tracer }) =>
          tracer.startActiveSpan('burning', (span) => {
            burn();
            span.end();
          });
        const first = start();
        work(first);
        assert.ok(!(CPU_TIME in (await first.spans()).burning.attributes));
        sdk.reset();
        const second = start({ cpuTimeAttribute: false });
        await profiled(() => work(second));
        assert.ok(!(CPU_TIME in (await second.spans()).burning.attributes));
      });
    });
  }
}

/** Runs the function under a profiler, and returns the samples. */
async function profiled(fn) {
  const profiler = new CpuProfiler({ intervalMicros: 1_000 });
  profiler.start();
  let profile;
  try {
    await fn();
  } finally {
    profile = await profiler.stop();
  }
  return readProfile(profile).samples;
}

/** Asserts that the span's CPU time is that of its samples, of which one may be inside its end. */
function assertCpuTime(span, samples) {
  const own = span.attributes[CPU_TIME];
  const { spanId } = span.spanContext();
  const each = samples
    .filter(({ labels }) => labels.span_id === spanId)
    .map(({ nanos }) => nanos / 1e6);
  const millis = each.reduce((sum, one) => sum + one, 0);
  assert.ok(own > 0 && own <= millis, `${span.name}: ${own} of ${millis} ms`);
  assert.ok(millis - own <= Math.max(...each), `${span.name}: ${own} of ${millis} ms`);
}

/** Burns CPU of this thread: that of the process is also the compiler's. */
function burn() {
  const end = thisThreadNanos() + BURN_MS * 1e6;
  while (thisThreadNanos() < end);
}
