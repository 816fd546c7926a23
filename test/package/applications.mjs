/** Applications of every kind that use the package; each prints `labelled profile`. */
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';

/** The program of the probe, as text of a literal. */
export const probe = JSON.stringify(path.join(ROOT, 'test', 'package', 'fixtures', 'probe.cjs'));

export const requireIt = `const api = require('otelpyroscope');`;
export const importIt = `import * as api from 'otelpyroscope';`;
const tell = `.then(console.log, (error) => { console.log(error.message); })`;
export const probeByRequire = `require(${probe}).probe(api)${tell}`;
export const probeByImport = `import probe from ${probe};\nprobe.probe(api)${tell}`;

/** The application's files, of which the first is run, and with what flags. */
export const applications = [
  { name: 'require', files: { 'app.cjs': `${requireIt}\n${probeByRequire}` } },
  { name: 'import', files: { 'app.mjs': `${importIt}\n${probeByImport}` } },
  {
    name: 'import() in CommonJS',
    files: { 'app.cjs': `import('otelpyroscope').then((api) => ${probeByRequire});` },
  },
  {
    name: 'require and import together',
    files: {
      'app.mjs': `
        import { createRequire } from 'node:module';
        import { withLabels } from 'otelpyroscope';
        const { CpuProfiler } = createRequire(import.meta.url)('otelpyroscope');
        const api = { CpuProfiler, withLabels };
        ${probeByImport}`,
    },
  },
  {
    name: '--require',
    flags: ['--require', 'otelpyroscope'],
    files: { 'app.cjs': `${requireIt}\n${probeByRequire}` },
  },
  {
    name: '--import',
    flags: ['--import', 'otelpyroscope'],
    files: { 'app.mjs': `${importIt}\n${probeByImport}` },
  },
  ...['--require', '--import'].map((flag) => ({
    name: `${flag} of register`,
    flags: [flag, 'otelpyroscope/register'],
    files: { 'app.cjs': `${requireIt}\n${probeByRequire}` },
  })),
  {
    name: 'worker',
    files: {
      'app.cjs': `
        const { Worker } = require('node:worker_threads');
        new Worker('./work.cjs').on('message', console.log);`,
      'work.cjs': `${requireIt}
        require(${probe}).probe(api).then((text) => require('node:worker_threads').parentPort.postMessage(text));`,
    },
  },
  {
    name: 'process of a cluster',
    files: {
      'app.cjs': `
        const cluster = require('node:cluster');
        ${requireIt}
        if (cluster.isPrimary) {
          new api.CpuProfiler().start(); // the primary is profiled, too
          cluster.fork().on('message', (text) => console.log(text));
          cluster.on('exit', () => process.exit());
        } else {
          require(${probe}).probe(api).then((text) => process.send(text, () => process.disconnect()));
        }`,
    },
  },
  {
    name: 'script that a process manager loads into a fork',
    files: {
      'app.cjs': `
        require('node:child_process')
          .fork('./container.cjs', { env: { ...process.env, pm_exec_path: require.resolve('./service.cjs') } })
          .on('message', (text) => console.log(text));`,
      // As pm2 does: the service is not the process's main script.
      'container.cjs': `
        process.argv[1] = process.env.pm_exec_path;
        require('node:module')._load(process.env.pm_exec_path, null, true);`,
      'service.cjs': `${requireIt}
        require(${probe}).probe(api).then((text) => process.send(text, () => process.disconnect()));`,
    },
  },
];
