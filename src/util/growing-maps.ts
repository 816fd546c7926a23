/** Maps that grow a little at a time: a Map of 65,536 entries takes milliseconds to make room for one more. */

/** Entries of one Map: to double it takes about a millisecond. */
const MAX_ENTRIES = 16_384;
const ID_MAPS = 256;

/** A Map to which keys are added and never taken away. */
export class GrowingMap<Key, Value> {
  readonly #maps = [new Map<Key, Value>()];

  get(key: Key): Value | undefined {
    for (const map of this.#maps) {
      const value = map.get(key);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Adds a key that is not there yet. */
  add(key: Key, value: Value): void {
    let map = this.#maps[this.#maps.length - 1] as Map<Key, Value>;
    if (map.size >= MAX_ENTRIES) {
      map = new Map<Key, Value>();
      this.#maps.push(map);
    }
    map.set(key, value);
  }
}

/** Numbers by ids of any size. */
export class IdMap {
  readonly #maps: (Map<number, number> | undefined)[] = new Array<undefined>(ID_MAPS);

  get(id: number): number | undefined {
    return this.#maps[id & (ID_MAPS - 1)]?.get(id);
  }

  /** Where the id is there already, the new number takes the place of the other. */
  set(id: number, value: number): void {
    (this.#maps[id & (ID_MAPS - 1)] ??= new Map<number, number>()).set(id, value);
  }
}
