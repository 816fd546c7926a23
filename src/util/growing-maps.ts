/** Maps that grow in small steps: adding one entry to a Map of 65,536 may take milliseconds. */

/** Entries of one Map at most: doubling such a Map takes about a millisecond. */
const MAX_ENTRIES = 16_384;
const ID_MAPS = 256;

/** A map from which keys are never removed. */
export class GrowingMap<Key, Value> {
  readonly #maps = [new Map<Key, Value>()];

  get(key: Key): Value | undefined {
    for (const map of this.#maps) {
      const value = map.get(key);
      if (value !== undefined) return value;
    }
    return undefined;
  }

  /** Adds a key that the map does not contain yet. */
  add(key: Key, value: Value): void {
    let map = this.#maps[this.#maps.length - 1] as Map<Key, Value>;
    if (map.size >= MAX_ENTRIES) {
      map = new Map<Key, Value>();
      this.#maps.push(map);
    }
    map.set(key, value);
  }
}

/** A map from ids of any size to numbers. */
export class IdMap {
  readonly #maps: (Map<number, number> | undefined)[] = new Array<undefined>(ID_MAPS);

  get(id: number): number | undefined {
    return this.#maps[id & (ID_MAPS - 1)]?.get(id);
  }

  /** Sets the number of an id; a new one replaces the old. */
  set(id: number, value: number): void {
    (this.#maps[id & (ID_MAPS - 1)] ??= new Map<number, number>()).set(id, value);
  }
}
