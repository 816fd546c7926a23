/** The pages of the documentation, their code blocks, and what their comments tell the tests. */
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { ROOT } from '../support/run-child.mjs';

/**
 * A comment before a block speaks to the tests and is not shown to readers:
 *
 *     <!-- given: code that runs first, for what the block takes for granted -->
 *     <!-- compiled: why it does not run; syntax and types are checked -->
 *     <!-- not run: why; nothing is checked -->
 *
 * Blocks in lists are indented, and so are their fences.
 */
const BLOCK =
  /(?:<!--\s*(not run|given|compiled):\s*([\s\S]*?)-->\s*)?^( *)```(\w*)\n([\s\S]*?)^\3```$/gm;

function blocksOf(text) {
  return [...text.matchAll(BLOCK)].map(([, kind, comment, indent, language, code], index) => {
    const shown = code.replaceAll(new RegExp(`^${indent}`, 'gm'), '');
    return {
      name: `${index + 1} (${language}): ${shown.trim().split('\n')[0]}`,
      kind,
      comment: comment?.trim() ?? '',
      language,
      code: shown,
    };
  });
}

/** A page by its path relative to the root. */
export function pageOf(file) {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  return { file, text, blocks: blocksOf(text) };
}

/** README.md and all of docs/, but for the reference that `npm run docs` writes into docs/api/. */
export const pages = [
  'README.md',
  ...readdirSync(path.join(ROOT, 'docs'))
    .filter((file) => file.endsWith('.md'))
    .sort()
    .map((file) => `docs/${file}`),
].map(pageOf);

/** The first block in that language of a section of the README. */
export function readmeBlock(section, language) {
  const [{ text }] = pages;
  const [, rest] = text.split(`\n## ${section}\n`);
  return blocksOf(rest).find((block) => block.language === language);
}

/** Packages that programs import besides Node's own modules and this package. */
export function packagesOf(text) {
  const names = [
    ...text.matchAll(/(?:from |import |require\(|import\()'(@[\w-]+\/[\w-]+|[\w-]+)['/]/g),
  ];
  const unique = new Set(names.map((match) => match[1]));
  return [...unique].filter((name) => !['otelpyroscope', 'node'].includes(name));
}
