/** Compiles users' code against the packed package's types, as strictly as TypeScript can, in every module system. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { Application, packPackage, PEERS } from '../support/tarball.mjs';
import { packagesOf, readmeBlock } from './blocks.mjs';

const ts = createRequire(import.meta.url)('typescript');

/** Uses the types that are more than those of functions and plain interfaces. */
const CONSUMER = `
  import * as api from '@opentelemetry/api';
  import { NodeTracerProvider } from '@opentelemetry/sdk-trace-node';
  import { Scope, TracerProvider, type LabelOptions } from 'otelpyroscope';
  import 'otelpyroscope/register';

  const options: LabelOptions = { spanNameScope: Scope.AllSpans, appName: 'deprecated' };
  const provider = new TracerProvider(new NodeTracerProvider(), options);
  provider.register();
  export const ended: Promise<void> = provider.forceFlush().then(() => provider.shutdown());
  export const tracer: api.Tracer = provider.getTracer('name', '1.0', { schemaUrl: 'https://a' });
  export const asWrapper: TracerProvider = provider;
  export const asInner: NodeTracerProvider = provider;
  api.trace.setGlobalTracerProvider(provider);

  declare const unknown: unknown;
  if (unknown instanceof TracerProvider) unknown.getTracer('name');

  export class Plain extends TracerProvider {
    constructor() { super(api.trace.getTracerProvider()); }
  }
  export class Own extends TracerProvider<NodeTracerProvider> {
    end(): Promise<void> { return this.shutdown(); }
  }
  const own = new Own(new NodeTracerProvider());
  export const ownEnd: Promise<void> = own.end();

  // @ts-expect-error: it is no tracer provider
  new TracerProvider({});
  // @ts-expect-error: the provider of the api has no register
  new TracerProvider(api.trace.getTracerProvider()).register();
  // @ts-expect-error: options are checked
  new TracerProvider(new NodeTracerProvider(), { spanIdScope: 'all' });
  // @ts-expect-error: a provider that labels nothing is no wrapper
  export const notWrapped: TracerProvider = new NodeTracerProvider();
`;

/** Compiled too: what readers copy first. The `ts` blocks of docs/ are compiled by readme.test.mjs. */
const PROGRAMS = { consumer: CONSUMER, readme: readmeBlock('Quick start', 'js').code };

describe('the types of the package', function () {
  this.timeout(60_000);
  let directory;
  let application;

  before(function () {
    directory = mkdtempSync(path.join(os.tmpdir(), 'types-'));
    const tarball = packPackage(directory).file;
    const packages = packagesOf(Object.values(PROGRAMS).join('\n'));
    const others = [...packages, '@types/node', 'undici-types'];
    application = new Application({
      tarball,
      link: others.filter((name) => !PEERS.includes(name)),
    });
  });

  after(function () {
    application?.remove();
    rmSync(directory, { recursive: true });
  });

  const { ModuleKind, ModuleResolutionKind } = ts;
  const modes = [
    {
      name: 'ESM and CommonJS of Node.js (nodenext)',
      extensions: ['mts', 'cts'],
      options: { module: ModuleKind.NodeNext, moduleResolution: ModuleResolutionKind.NodeNext },
    },
    {
      name: 'bundlers',
      extensions: ['ts'],
      options: { module: ModuleKind.ESNext, moduleResolution: ModuleResolutionKind.Bundler },
    },
    {
      name: 'CommonJS without exports of packages (node10)',
      extensions: ['ts'],
      options: {
        module: ModuleKind.CommonJS,
        moduleResolution: ModuleResolutionKind.Node10,
        ignoreDeprecations: '6.0',
      },
    },
  ];
  for (const { name: mode, extensions, options } of modes) {
    it(`serve ${mode}`, function () {
      const files = Object.entries(PROGRAMS).flatMap(([name, text]) =>
        extensions.map((extension) => {
          const file = path.join(application.directory, `${name}.${extension}`);
          writeFileSync(file, text);
          return file;
        }),
      );
      const program = ts.createProgram(files, {
        ...options,
        target: ts.ScriptTarget.ES2022,
        lib: ['lib.es2022.d.ts'],
        strict: true,
        noEmit: true,
        // Our own declarations are to be checked.
        skipLibCheck: false,
        types: ['node'],
        typeRoots: [path.join(application.directory, 'node_modules', '@types')],
      });
      // Files of the application and this package; TypeScript's own and those of others take seconds.
      const ours = program
        .getSourceFiles()
        .filter(({ fileName }) => fileName.startsWith(application.directory));
      assert.ok(ours.some(({ fileName }) => fileName.startsWith(application.installed)));
      const found = [
        ...program.getOptionsDiagnostics(),
        ...program.getGlobalDiagnostics(),
        ...ours.flatMap((file) => [
          ...program.getSyntacticDiagnostics(file),
          ...program.getSemanticDiagnostics(file),
        ]),
      ];
      const problems = found.map(({ file, start, messageText }) => {
        const line = file?.getLineAndCharacterOfPosition(start).line ?? 0;
        const text = ts.flattenDiagnosticMessageText(messageText, '\n');
        return `${path.basename(file?.fileName ?? '')}:${line + 1} ${text}`;
      });
      assert.deepEqual(problems, []);
    });
  }
});
