/** Reads and writes the page of results: a section per bench, with a part per version of Node.js (pure). */

const NODE_HEADING = '### Node.js ';

/**
 * @typedef {object} Row
 * @property {string[]} cells
 * @property {{ text: string, met: boolean }} [target]
 *
 * @typedef {object} Table The results of one run of a bench.
 * @property {string[]} columns
 * @property {Row[]} rows
 * @property {string[]} [notes] Sentences below the table.
 */

/** Returns a table as Markdown; its last column has the target and whether it is met. */
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

/** The page. Parts that a run does not replace stay unchanged. */
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
   * Replaces the results of a bench on one version of Node.js; those on others stay.
   *
   * @param {{ title: string, about: string, remark?: string }} bench `remark`: a person's
   *   comment on the result, such as the cause of a missed target.
   * @param {string} version Version of Node.js, such as 24.21.0: replaces the part of any 24.
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
    const rank = ({ title }) => (titles.includes(title) ? titles.indexOf(title) : titles.length);
    this.#sections.sort((a, b) => rank(a) - rank(b));
  }

  /** Returns the numbers of targets met and missed in the whole page. */
  get targets() {
    const text = this.#sections.map((section) => section.text).join('\n');
    const count = (pattern) => [...text.matchAll(pattern)].length;
    return { met: count(/: met \|$/gm), missed: count(/: \*\*missed\*\* \|$/gm) };
  }

  /** Returns the page, with the introduction first. */
  render(introduction) {
    return `${[
      '# Benchmarks',
      introduction.trim(),
      ...this.#sections.map(({ title, text }) => `## ${title}\n\n${text}`),
    ].join('\n\n')}\n`;
  }
}
