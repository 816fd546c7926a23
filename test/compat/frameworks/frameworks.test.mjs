/** NestJS and Next.js as they are deployed: spans at a collector and profiles at Pyroscope find each other. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { checkLabels, assertLabels } from '../../support/check-labels.mjs';
import { useStandIns } from '../../support/stand-ins.mjs';
import { FrameworkApplication } from './application.mjs';

const OURS = 'otelpyroscope/register';
const AUTO = '@opentelemetry/auto-instrumentations-node/register';
const REQUESTS = 6;
/** OTLP's number of a span that answers a request. */
const SERVER = 2;
/** Until windows and spans have arrived; far more than they need. */
const ARRIVAL_MS = 60_000;

describe('services of frameworks', function () {
  this.slow(60_000);

  const standIns = useStandIns();

  /** Runs the application under requests that burn, and compares what has arrived. */
  async function check(application, command, { service, paths, env }) {
    const ids = paths.map((each) => each.split('/').at(-1));
    const seen = () => new Set(samples().flatMap(({ stack }) => stack.map(({ name }) => name)));
    const ended = await application.serve(command, {
      paths,
      env: {
        ...standIns.environment(),
        OTEL_SERVICE_NAME: service,
        OTEL_BSP_SCHEDULE_DELAY: '200',
        ...env,
      },
      until: async () => {
        const arrived = () =>
          ids.every((id) => seen().has(`burn_${id}`)) && paths.every((each) => rootOf(each));
        for (const end = Date.now() + ARRIVAL_MS; !arrived();) {
          if (Date.now() > end) {
            const names = standIns.collector.spans.map((span) => `${span.name} ${pathOf(span)}`);
            throw new Error(`not arrived: ${[...seen()].join()}\n${names.join('\n')}`);
          }
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      },
    });
    assert.doesNotMatch(ended.stderr, /otelpyroscope/i);

    const expected = {};
    for (const [index, each] of paths.entries()) {
      const root = rootOf(each);
      assert.equal(root.attributes['pyroscope.profile.id'], root.spanId);
      // The name that it starts with: both http's instrumentation and Next.js rename it later.
      expected[ids[index]] = { trace_id: root.traceId, span_id: root.spanId, span_name: 'GET' };
    }
    assertLabels(checkLabels(samples(), expected));
    for (const { series } of standIns.pyroscope.uploads) assert.equal(series.service_name, service);
    const marked = standIns.collector.spans.filter(
      ({ attributes }) => attributes['pyroscope.profile.id'] !== undefined,
    );
    assert.ok(marked.every(({ parentSpanId }) => parentSpanId === undefined));
  }

  const samples = () =>
    standIns.pyroscope.uploads.flatMap(({ profile }) =>
      profile.samples.map((sample) => ({ ...sample, labels: Object.fromEntries(sample.labels) })),
    );
  const rootOf = (path) =>
    standIns.collector.spans.find((span) => span.kind === SERVER && pathOf(span) === path);

  describe('NestJS', () => {
    let nest;

    before(function () {
      this.timeout(600_000);
      nest = new FrameworkApplication('nest');
      nest.install();
      compile(nest);
    });

    const paths = (way) =>
      Array.from({ length: REQUESTS }, (_, index) => `/work/nest_${way}_${index}`);
    const expected = (way) => ({
      service: 'nest shop',
      paths: paths(way),
    });

    it('is labelled by --require, without code', () =>
      check(nest, ['--require', OURS, '--require', AUTO, '.dist/main.js'], expected('require')));

    it('is labelled by --import, without code', () =>
      check(nest, ['--import', OURS, '--import', AUTO, '.dist/main.js'], expected('import')));

    it('is labelled by register() in a file that comes first', () =>
      check(nest, ['.dist/traced.js'], expected('code')));
  });

  describe('Next.js', () => {
    let next;

    before(function () {
      this.timeout(900_000);
      next = new FrameworkApplication('next');
      next.install();
      copyFileSync(fileURLToPath(new URL('burn.cjs', import.meta.url)), next.path('burn.cjs'));
      next.run(process.execPath, [bin(), 'build'], { NEXT_TELEMETRY_DISABLED: '1' });
    });

    const bin = () => next.require.resolve('next/dist/bin/next');
    const start = () => [bin(), 'start', '--hostname', '127.0.0.1', '--port', '0'];
    const expected = (way) => ({
      service: 'next-app',
      paths: Array.from({ length: REQUESTS }, (_, index) =>
        index % 2 === 0 ? `/api/work/next_${way}_${index}` : `/work/next_${way}_${index}`,
      ),
      env: { NEXT_TELEMETRY_DISABLED: '1', WAY: way },
    });

    it('is labelled by the span processor, in its instrumentation hook', () =>
      check(next, start(), expected('processor')));

    it('is labelled by --require, beside its instrumentation hook', () =>
      check(next, ['--require', OURS, ...start()], expected('flags')));
  });
});

/** By TypeScript, with the metadata of decorators that NestJS injects by. */
function compile(nest) {
  mkdirSync(nest.path('.dist'), { recursive: true });
  for (const name of ['main', 'traced']) {
    const { outputText } = ts.transpileModule(
      readFileSync(nest.path('src', `${name}.ts`), 'utf8'),
      {
        fileName: `${name}.ts`,
        compilerOptions: {
          target: ts.ScriptTarget.ES2022,
          module: ts.ModuleKind.ES2022,
          experimentalDecorators: true,
          emitDecoratorMetadata: true,
        },
      },
    );
    writeFileSync(nest.path('.dist', `${name}.js`), outputText);
  }
}

function pathOf({ attributes }) {
  return attributes['http.target'] ?? attributes['url.path'];
}
