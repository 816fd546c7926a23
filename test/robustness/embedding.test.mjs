/** Programs that do not come from a file: startup snapshots and single executables. */

import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { buildDirectory, packageRoot } from '../native/toolchain.mjs';
import { messageOf, runNode } from '../support/run-child.mjs';
import { assertWell, count, program, torture, tortures } from './torture.mjs';

/** Puts blobs into executables: https://nodejs.org/api/single-executable-applications.html */
const POSTJECT = 'postject@1.0.0-alpha.6';
const FUSE = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';

tortures('torture by embedding', function () {
  const env = { TORTURE_PACKAGE: path.join(packageRoot, 'package.json') };
  let directory;
  before(() => {
    directory = mkdtempSync(path.join(os.tmpdir(), 'torture-'));
  });
  after(() => rmSync(directory, { recursive: true }));

  const check = async (running) => {
    const report = await messageOf(running);
    count(report.metrics);
    assertWell(report);
  };

  torture('is survived: a startup snapshot', { short: true }, async () => {
    const blob = path.join(directory, 'snapshot.blob');
    execFileSync(
      process.execPath,
      ['--snapshot-blob', blob, '--build-snapshot', program('snapshot.cjs')],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
    await check(runNode(['--snapshot-blob', blob, program('embedded.cjs')], { env }));
  });

  for (const options of [{}, { useCodeCache: true }, { useSnapshot: true }]) {
    torture(`is survived: a single executable ${JSON.stringify(options)}`, {}, async () => {
      const { useSnapshot = false } = options;
      const config = path.join(directory, 'sea.json');
      const executable = path.join(directory, 'application');
      const blob = path.join(directory, 'sea.blob');
      let main = program('embedded.cjs');
      if (useSnapshot) {
        // Its main function is the one that the snapshot names.
        main = path.join(directory, 'main.cjs');
        writeFileSync(
          main,
          `require(${JSON.stringify('node:v8')}).startupSnapshot.setDeserializeMainFunction(() => {
            const { createRequire } = require('node:module');
            createRequire(process.env.TORTURE_PACKAGE)('./test/robustness/programs/embedded.cjs');
          });`,
        );
      }
      writeFileSync(
        config,
        JSON.stringify({ main, output: blob, disableExperimentalSEAWarning: true, ...options }),
      );
      const made = spawnSync(process.execPath, ['--experimental-sea-config', config], {
        encoding: 'utf8',
      });
      assert.equal(made.status, 0, made.stderr);
      copyFileSync(process.execPath, executable);
      chmodSync(executable, 0o755);
      execFileSync(
        process.execPath,
        [await postject(), executable, 'NODE_SEA_BLOB', blob, '--sentinel-fuse', FUSE],
        {
          stdio: ['ignore', 'ignore', 'inherit'],
        },
      );
      await check(runNode([], { env, execPath: executable }));
    });
  }
});

/** The path of the tool, installed on demand: it has no place among the package's dependencies. */
async function postject() {
  const prefix = path.join(buildDirectory, 'postject');
  const cli = path.join(prefix, 'node_modules', 'postject', 'dist', 'cli.js');
  if (!existsSync(cli)) {
    execFileSync(
      'npm',
      ['install', '--prefix', prefix, '--ignore-scripts', '--no-audit', '--no-fund', POSTJECT],
      {
        stdio: ['ignore', 'ignore', 'inherit'],
      },
    );
  }
  return cli;
}
