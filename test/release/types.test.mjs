/** Checks the package's entry points and types as users' tools read them: TypeScript, publint, Are the types wrong. */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import * as attw from '@arethetypeswrong/core';
import { publint } from 'publint';
import { Application } from '../support/tarball.mjs';
import { publishedTarball } from './published.mjs';

const require = createRequire(import.meta.url);
const manifest = require('../../package.json');

/** A use of every entry point that has types of its own; a new one of package.json needs its own. */
const uses = {
  '.': `
    import { CpuProfiler, ProfilerError, Scope, TracerProvider, getLabels, withLabels } from 'otelpyroscope';
    import type { CpuProfilerOptions, LabelOptions, ProfilerErrorCode } from 'otelpyroscope';
    import type { TracerProvider as ApiTracerProvider } from '@opentelemetry/api';
    declare const inner: ApiTracerProvider;
    const labels: LabelOptions = { spanNameScope: Scope.AllSpans };
    export const provider: ApiTracerProvider = new TracerProvider(inner, labels);
    const options: CpuProfilerOptions = { intervalMicros: 10_000 };
    const profiler = new CpuProfiler(options);
    export const profile: Promise<Uint8Array> = profiler.stop();
    export const answer: number = withLabels({ a: 'b' }, () => 42);
    export const current: Record<string, string> = getLabels();
    export const code = (error: unknown): ProfilerErrorCode | undefined =>
      error instanceof ProfilerError ? error.code : undefined;
    // @ts-expect-error options are checked
    new CpuProfiler({ interval: 1 });`,
  './register': `import 'otelpyroscope/register';`,
};

describe('types and entry points', function () {
  this.timeout(1_800_000);
  let packed;
  let application;

  before(function () {
    packed = publishedTarball();
    application = new Application({
      tarball: packed.file,
      link: ['@types/node', 'undici-types', 'typescript'],
    });
  });

  after(function () {
    application?.remove();
  });

  it('of every kind have a use below', function () {
    const typed = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    assert.deepEqual(Object.keys(uses).sort(), typed.sort());
  });

  const resolutions = [
    { module: 'nodenext', moduleResolution: 'nodenext' },
    { module: 'esnext', moduleResolution: 'bundler' },
    { module: 'commonjs', moduleResolution: 'bundler' },
  ];
  for (const resolution of resolutions) {
    for (const extension of resolution.module === 'nodenext' ? ['mts', 'cts'] : ['ts']) {
      const { module, moduleResolution } = resolution;
      it(`serve ${extension}, module ${module}, resolution ${moduleResolution}`, function () {
        const files = Object.values(uses).map((text, index) => {
          const file = `use-${index}.${extension}`;
          writeFileSync(path.join(application.directory, file), text);
          return file;
        });
        const compilerOptions = {
          ...resolution,
          target: 'es2022',
          strict: true,
          noEmit: true,
          // Our own declarations are to be checked.
          skipLibCheck: false,
          types: ['node'],
        };
        const config = path.join(application.directory, 'tsconfig.json');
        writeFileSync(config, JSON.stringify({ compilerOptions, files }));
        application.node([require.resolve('typescript/bin/tsc'), '-p', config]);
      });
    }
  }

  it('are accepted by publint', async function () {
    const tarball = readFileSync(packed.file);
    const { messages } = await publint({
      pack: {
        tarball: tarball.buffer.slice(tarball.byteOffset, tarball.byteOffset + tarball.length),
      },
      strict: true,
    });
    assert.deepEqual(messages, []);
  });

  it('are accepted by Are the types wrong', async function () {
    const tarball = attw.createPackageFromTarballData(new Uint8Array(readFileSync(packed.file)));
    const { types, problems } = await attw.checkPackage(tarball);
    assert.equal(types.kind, 'included');
    // TypeScript 4's resolution knows no `exports`, so no entry point but the main one.
    assert.deepEqual(
      problems.filter(
        ({ resolutionKind, entrypoint }) => resolutionKind !== 'node10' || entrypoint === '.',
      ),
      [],
    );
  });
});
