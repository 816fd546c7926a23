/** Builds the viewer's page from viewer/ into lib/viewer/: one script and one style sheet, which load nothing from elsewhere. */
import { build } from 'esbuild';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { packageRoot } from './lib/native-build.mjs';

const source = path.join(packageRoot, 'viewer');
const target = path.join(packageRoot, 'lib', 'viewer');

mkdirSync(target, { recursive: true });
const { metafile } = await build({
  absWorkingDir: packageRoot,
  entryPoints: { viewer: path.join(source, 'main.mjs') },
  outdir: target,
  bundle: true,
  alias: { 'd3-transition': path.join(source, 'no-transition.mjs') },
  minify: true,
  // d3-flame-graph recognizes d3's nodes by the name of their class.
  keepNames: true,
  format: 'esm',
  target: ['chrome123', 'firefox120', 'safari17.5'],
  legalComments: 'none',
  metafile: true,
  logLevel: 'warning',
});
for (const file of ['index.html', 'icon.svg']) {
  copyFileSync(path.join(source, file), path.join(target, file));
}
writeFileSync(path.join(target, 'LICENSES.txt'), licences(Object.keys(metafile.inputs)));

/** Returns the licences of the bundled packages, which require a copy. */
function licences(inputs) {
  const folders = inputs.flatMap(
    (input) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input) ?? [],
  );
  return [...new Set(folders)]
    .sort()
    .map((folder) => {
      const directory = path.join(packageRoot, folder);
      const { name, version, license } = JSON.parse(
        readFileSync(path.join(directory, 'package.json'), 'utf8'),
      );
      const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry));
      const text = file && existsSync(path.join(directory, file));
      const body = text ? readFileSync(path.join(directory, file), 'utf8').trim() : '';
      return `${name} ${version} (${license})\n\n${body}\n`;
    })
    .join('\n' + '-'.repeat(80) + '\n\n');
}
