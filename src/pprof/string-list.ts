/** The string table of a profile. Each string is stored once, and encoded when it is added. */
import { FieldList } from './field-list.js';
import { GrowingMap } from '../util/growing-maps.js';

/** Replaces the table of pprof-format, which encodes all strings in one step at the end: 130,000 take 40 ms. */
export class StringList {
  readonly #numbers = new GrowingMap<string, number>();
  readonly #list: FieldList;

  /** `field` is the table's number in its message. */
  constructor(field: number) {
    this.#list = new FieldList(field);
    this.dedup('');
  }

  /** Returns the string's index in the table; that of the empty string is 0. */
  dedup(text: string): number {
    let number = this.#numbers.get(text);
    if (number === undefined) {
      number = this.#list.length;
      this.#numbers.add(text, number);
      this.#list.addText(text);
    }
    return number;
  }

  /** Returns all strings as parts. None may be added afterwards. */
  parts(): Uint8Array[] {
    return this.#list.parts();
  }
}
