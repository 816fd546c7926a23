/** Reads the protobuf wire format: allocates nothing, and reads nothing outside the given bytes. */

/** Bytes that are no valid protobuf message. */
export class ProtobufError extends Error {}

/**
 * A cursor over one message; format https://protobuf.dev/programming-guides/encoding/.
 * Groups (wire types 3 and 4) are refused: pprof has none, and only they can nest without end.
 */
export class ProtobufReader {
  /** Number of the field at the cursor, after `next()`. */
  field = 0;
  /** Offset of that field's tag. */
  begin = 0;
  readonly #bytes: Uint8Array;
  #wireType = 0;
  #at: number;
  #end: number;
  /** Low and high half of the last number read. */
  #low = 0;
  #high = 0;

  constructor(bytes: Uint8Array, begin = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#at = begin;
    this.#end = end;
  }

  /** Offset behind the bytes read last. */
  get offset(): number {
    return this.#at;
  }

  /** Moves the cursor to another message within the same bytes. */
  enter(begin: number, end: number): void {
    this.#at = begin;
    this.#end = end;
  }

  /** Moves to the next field; returns false at the end of the message. */
  next(): boolean {
    if (this.#at >= this.#end) return false;
    this.begin = this.#at;
    const tag = this.#varint();
    this.field = Math.floor(tag / 8);
    this.#wireType = tag & 7;
    if (this.field < 1) throw new ProtobufError(`field number ${String(this.field)}`);
    return true;
  }

  /** Returns the field's number: signed, 64 bits, rounded to a double beyond 2^53. */
  number(): number {
    if (this.#wireType !== 0) throw this.#unexpected();
    return this.#varint();
  }

  /** Returns the field's number: signed, 64 bits. */
  bigint(): bigint {
    this.number();
    return BigInt.asIntN(64, (BigInt(this.#high) << 32n) + BigInt(this.#low >>> 0));
  }

  /** Calls `each` with the number, or with the numbers that are packed into the field. */
  numbers(each: (value: number) => void): void {
    if (this.#wireType === 0) {
      each(this.#varint());
      return;
    }
    const end = this.#length();
    while (this.#at < end) each(this.#varint());
    if (this.#at !== end) throw new ProtobufError('a packed field ends inside a number');
  }

  /** Calls `read` with the cursor in the message that the field contains, then moves behind it. */
  message(read: (reader: this) => void): void {
    const outer = this.#end;
    this.#end = this.#length();
    read(this);
    this.#at = this.#end;
    this.#end = outer;
  }

  /** Returns the bytes of the field, as a view. */
  bytes(): Uint8Array {
    const begin = this.content();
    return this.#bytes.subarray(begin, this.#at);
  }

  /** Skips a field with a length; returns the offset of its content, which ends at `offset`. */
  content(): number {
    const end = this.#length();
    const begin = this.#at;
    this.#at = end;
    return begin;
  }

  skip(): void {
    if (this.#wireType === 0) this.#varint();
    else if (this.#wireType === 1) this.#advance(8);
    else if (this.#wireType === 2) this.content();
    else if (this.#wireType === 5) this.#advance(4);
    else throw this.#unexpected();
  }

  /** Reads the length of the field; returns the offset of its end. */
  #length(): number {
    if (this.#wireType !== 2) throw this.#unexpected();
    const length = this.#varint();
    const end = this.#at + length;
    if (length < 0 || end > this.#end) throw new ProtobufError('truncated');
    return end;
  }

  #advance(count: number): void {
    this.#at += count;
    if (this.#at > this.#end) throw new ProtobufError('truncated');
  }

  #varint(): number {
    let low = 0;
    let high = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      if (this.#at >= this.#end) throw new ProtobufError('truncated');
      const byte = this.#bytes[this.#at++] as number;
      const bits = byte & 0x7f;
      if (shift < 28) {
        low |= bits << shift;
      } else if (shift === 28) {
        low |= bits << 28;
        high |= bits >> 4;
      } else {
        high |= bits << (shift - 32);
      }
      if (byte < 0x80) {
        this.#low = low;
        this.#high = high;
        return high * 0x1_0000_0000 + (low >>> 0);
      }
    }
    throw new ProtobufError('a number of more than 10 bytes');
  }

  #unexpected(): ProtobufError {
    return new ProtobufError(
      `field ${String(this.field)} has the wire type ${String(this.#wireType)}`,
    );
  }
}
