/** The page of results: one section for each bench, in it one part for each version of Node.js (pure). */

const NODE_HEADING = '### Node.js ';

/**
 * @typedef {object} Row
 * @property {string[]} cells
 * @property {{ text: string, met: boolean }} [target]
 *
 * @typedef {object} Table What one run of a bench has found.
 * @property {string[]} columns
 * @property {Row[]} rows
 * @property {string[]} [notes] Sentences below the table.
 */

/** Markdown of a table; a last column says what is asked for and whether it is met. */
export function renderTable({ columns, rows, notes = [] }) {
  const hasTargets = rows.some(({ target }) => target !== undefined);
  const line = (cells) => `| ${cells.join(' | ')} |`;
  const verdict = (target) =>
    target === undefined ? '' : `${target.text}: ${target.met ? 'met' : '**missed**'}`;
  return [
    line(hasTargets ? [...columns, 'target'] : columns),
    line(Array(columns.length + (hasTargets ? 1 : 0)).fill('---')),
    ...rows.map(({ cells, target }) => line(hasTargets ? [...cells, verdict(target)] : cells)),
    ...notes.flatMap((note) => ['', note]),
  ].join('\n');
}

/** The page, read and written: what a run does not replace stays as it is. */
export class Report {
  /** @type {{ title: string, text: string }[]} Sections in their order; text without the title. */
  #sections;

  constructor(page = '') {
    const [, ...sections] = page.split(/^## /m);
    this.#sections = sections.map((section) => {
      const end = section.indexOf('\n');
      return { title: section.slice(0, end).trim(), text: section.slice(end).trim() };
    });
  }

  /**
   * Replaces what a bench has found on one version of Node.js; what it has found on others stays.
   *
   * @param {{ title: string, about: string, remark?: string }} bench `remark`: what a human says
   *   of the result, such as the cause of a missed target.
   * @param {string} version Of Node.js, such as 24.21.0: replaces the part of any 24.
   * @param {string} text Markdown.
   */
  set({ title, about, remark = '' }, version, text) {
    let section = this.#sections.find((candidate) => candidate.title === title);
    if (section === undefined) {
      section = { title, text: '' };
      this.#sections.push(section);
    }
    const major = (part) => Number.parseInt(part, 10);
    const parts = section.text
      .split(new RegExp(`^${NODE_HEADING}`, 'm'))
      .slice(1)
      .map((part) => part.trim())
      .filter((part) => major(part) !== major(version));
    parts.push(`${version}\n\n${text.trim()}`);
    parts.sort((a, b) => major(a) - major(b));
    section.text = [about, remark, ...parts.map((part) => NODE_HEADING + part)]
      .map((paragraph) => paragraph.trim())
      .filter((paragraph) => paragraph !== '')
      .join('\n\n');
  }

  /** Puts the sections of these titles first, in this order. */
  sort(titles) {
    const place = ({ title }) => (titles.includes(title) ? titles.indexOf(title) : titles.length);
    this.#sections.sort((a, b) => place(a) - place(b));
  }

  /** How many targets are met and missed in the whole page. */
  get targets() {
    const text = this.#sections.map((section) => section.text).join('\n');
    const count = (pattern) => [...text.matchAll(pattern)].length;
    return { met: count(/: met \|$/gm), missed: count(/: \*\*missed\*\* \|$/gm) };
  }

  /** The page, below these lines of introduction. */
  render(introduction) {
    return `${[
      '# Benchmarks',
      introduction.trim(),
      ...this.#sections.map(({ title, text }) => `## ${title}\n\n${text}`),
    ].join('\n\n')}\n`;
  }
}
