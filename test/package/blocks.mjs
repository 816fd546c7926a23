/** The code blocks of the README, and what its comments say of them. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';

/**
 * A comment before a block speaks to the tests and is not shown to readers:
 *
 *     <!-- not run: why -->
 *     <!-- given: code that comes first, for what the block takes for granted -->
 */
const BLOCK = /(?:<!--\s*(not run|given):\s*([\s\S]*?)-->\s*)?^```(\w*)\n([\s\S]*?)^```$/gm;

export const readme = readFileSync(path.join(ROOT, 'README.md'), 'utf8');

export const blocks = [...readme.matchAll(BLOCK)].map(
  ([, kind, comment, language, code], index) => ({
    name: `${index + 1} (${language}): ${code.trim().split('\n')[0]}`,
    kind,
    comment: comment?.trim() ?? '',
    language,
    code,
  }),
);

/** The first block of that section. */
export function blockOf(section) {
  const [, rest] = readme.split(`\n## ${section}\n`);
  const [, , , language, code] = [...rest.matchAll(BLOCK)][0];
  return blocks.find((block) => block.language === language && block.code === code);
}

/** What programs import besides Node's own modules and this package. */
export function packagesOf(text) {
  const names = [...text.matchAll(/(?:from |require\()'(@[\w-]+\/[\w-]+|[\w-]+)['/]/g)];
  const unique = new Set(names.map((match) => match[1]));
  return [...unique].filter((name) => !['otelpyroscope', 'node'].includes(name));
}
