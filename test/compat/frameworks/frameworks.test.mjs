/** NestJS and Next.js as they are deployed: spans at a collector and profiles at Pyroscope find each other. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { checkLabels, assertLabels } from '../../support/check-labels.mjs';
import { checkRoutes, WAYS } from '../../support/routes.mjs';
import { useStandIns } from '../../support/stand-ins.mjs';
import { FrameworkApplication } from './application.mjs';

const OURS = 'otelpyroscope/register';
const AUTO = '@opentelemetry/auto-instrumentations-node/register';
/** Without it, only what is required is instrumented: NestJS imports Express. */
const LOADER = '@opentelemetry/instrumentation/hook.mjs';
const REQUESTS = 6;
/** OTLP's number of a span that answers a request. */
const SERVER = 2;
/** Until windows and spans have arrived; far more than they need. */
const ARRIVAL_MS = 60_000;
/** By how much the clocks of spans and of profiles may differ. */
const CLOCKS_NANOS = 20_000_000n;

describe('services of frameworks', function () {
  this.slow(60_000);

  const standIns = useStandIns();

  /**
   * Runs the application under requests that burn, and compares what has arrived. `names` are the
   * last names of the root spans, for the paths in turns.
   */
  async function check(application, command, { service, paths, names, env }) {
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
    const roots = new Map();
    for (const [index, each] of paths.entries()) {
      const root = rootOf(each);
      assert.equal(root.attributes['pyroscope.profile.id'], root.spanId);
      assert.equal(root.name, names[index % names.length]);
      roots.set(root.traceId, root);
      expected[ids[index]] = { trace_id: root.traceId, span_id: root.spanId, span_name: root.name };
    }
    assert.ok(samples().some(({ labels }) => names.includes(labels.span_name)));
    assertLabels(
      checkLabels(
        samples().map((sample) => withLastName(sample, roots)),
        expected,
      ),
    );
    for (const { series } of standIns.pyroscope.uploads) assert.equal(series.service_name, service);
    const marked = standIns.collector.spans.filter(
      ({ attributes }) => attributes['pyroscope.profile.id'] !== undefined,
    );
    assert.ok(marked.every(({ parentSpanId }) => parentSpanId === undefined));
  }

  const samples = () =>
    standIns.pyroscope.uploads.flatMap(({ profile }) => {
      const windowEnd = profile.timeNanos + profile.durationNanos;
      return profile.samples.map((sample) => ({
        ...sample,
        labels: Object.fromEntries(sample.labels),
        windowEnd,
      }));
    });
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
    const expected = (way, name = 'GET') => ({
      service: 'nest shop',
      paths: paths(way),
      names: [name],
    });

    it('is labelled by --require, without code', () =>
      check(nest, ['--require', OURS, '--require', AUTO, '.dist/main.js'], expected('require')));

    it('is labelled by --import, without code', () =>
      check(nest, ['--import', OURS, '--import', AUTO, '.dist/main.js'], expected('import')));

    it('is labelled with its routes where ES modules are instrumented too', () =>
      check(
        nest,
        ['--import', OURS, '--experimental-loader', LOADER, '--import', AUTO, '.dist/main.js'],
        expected('loader', 'GET /work/:id'),
      ));

    it('is labelled by register() in a file that comes first', () =>
      check(nest, ['.dist/traced.js'], expected('code')));

    for (const way of WAYS) {
      it(`has the names of ten routes on the CPU of their requests, with ${way.title}`, () =>
        checkRoutes('nest', way, { flags: ['--experimental-loader', LOADER] }));
    }
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
      names: ['GET /api/work/[id]', 'GET /work/[id]'],
      env: { NEXT_TELEMETRY_DISABLED: '1', WAY: way },
    });

    it('is labelled by the span processor, in its instrumentation hook', () =>
      check(next, start(), expected('processor')));

    it('is labelled by --require, beside its instrumentation hook', () =>
      check(next, ['--require', OURS, ...start()], expected('flags')));
  });
});

/**
 * Returns the sample under its root's last name, if its window ended before the root did: http's
 * instrumentation and Next.js start it as GET and rename it later.
 */
function withLastName(sample, roots) {
  const { labels, windowEnd } = sample;
  const root = roots.get(labels.trace_id);
  const isEarly = root !== undefined && windowEnd < root.end + CLOCKS_NANOS;
  if (!isEarly || labels.span_name !== 'GET') return sample;
  return { ...sample, labels: { ...labels, span_name: root.name } };
}

/** By TypeScript, with the metadata of decorators that NestJS injects by. */
function compile(nest) {
  mkdirSync(nest.path('.dist'), { recursive: true });
  for (const name of ['main', 'traced', 'routes']) {
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
