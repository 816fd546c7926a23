/** The plain C++ tests: their cases, and the sources that they are built with. */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { nativeDirectory, nativeFiles, testDirectory } from './toolchain.mjs';

/** Whether a file of native/ includes V8, libuv or Node-API, itself or through another. */
function needsNode(file) {
  const includes = [
    ...readFileSync(path.join(nativeDirectory, file), 'utf8').matchAll(
      /^#include [<"]([^>"]+)[>"]/gm,
    ),
  ].map((match) => match[1]);
  return includes.some(
    (name) =>
      /^(v8[-.]|uv\.|node|napi)/.test(name) ||
      (name !== file && existsSync(path.join(nativeDirectory, name)) && needsNode(name)),
  );
}

/** Absolute paths of the sources that can be built without V8, and so run without Node, and of the tests' main(). */
export const sharedSources = [
  path.join(testDirectory, 'check.cc'),
  ...nativeFiles('.cc')
    .filter((file) => !needsNode(file))
    .map((file) => path.join(nativeDirectory, file)),
];

/** Returns what the system lacks for a case (`check::Need`), by what the case has printed. */
export function lacking(stdout) {
  return /^needs (.*)\n$/.exec(stdout)?.[1];
}

/** The test programs and the names of their cases. */
export const tests = readdirSync(testDirectory, { recursive: true })
  .filter((file) => file.endsWith('_test.cc') && file !== 'check_test.cc')
  .map((file) => {
    const text = readFileSync(path.join(testDirectory, file), 'utf8');
    return { file, cases: [...text.matchAll(/^TEST\((\w+)\)/gm)].map((match) => match[1]) };
  });
