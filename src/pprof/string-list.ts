/** The table of strings of a profile: each once, encoded as it comes. */
import { FieldList } from './field-list.js';
import { GrowingMap } from '../util/growing-maps.js';

/** That of pprof-format encodes all strings at the end in one go, where 130,000 take 40 ms. */
export class StringList {
  readonly #numbers = new GrowingMap<string, number>();
  readonly #list: FieldList;

  /** `field` is the table's number in its message. */
  constructor(field: number) {
    this.#list = new FieldList(field);
    this.dedup('');
  }

  /** The string's number in the table, whose first is the empty one. */
  dedup(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#list.length;
      this.#numbers.add(text, number);
      this.#list.addText(text);
    }
    return number;
  }

  /** All strings; none may be added afterwards. */
  parts(): Uint8Array[] {
    return this.#list.parts();
  }
}
