/**
 * A client of the inspector's WebSocket: https://www.rfc-editor.org/rfc/rfc6455. Node.js has a client
 * of its own only since version 22, and behind a flag since 20.10.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { http } from '../util/lazy-modules.js';

const CONNECT_MS = 5_000;
const FINAL = 0x80;
const MASKED = 0x80;
const OPCODE = { text: 1, close: 8, ping: 9, pong: 10 } as const;

export interface SocketEvents {
  onMessage: (text: string) => void;
  onClose: () => void;
}

/** Sends and receives text messages. */
export class InspectorSocket {
  readonly #stream: Duplex;
  readonly #events: SocketEvents;
  #received: Buffer[] = [];
  #length = 0;
  readonly #fragments: Buffer[] = [];

  /** Rejects if there is no WebSocket at `url`. */
  static open(url: string, events: SocketEvents): Promise<InspectorSocket> {
    return new Promise((resolve, reject) => {
      const upgrade = http().request(url.replace(/^ws:/, 'http:'), {
        timeout: CONNECT_MS,
        headers: {
          Connection: 'Upgrade',
          Upgrade: 'websocket',
          'Sec-WebSocket-Key': randomBytes(16).toString('base64'),
          'Sec-WebSocket-Version': '13',
        },
      });
      upgrade.once('upgrade', (_response, stream, head) => {
        const socket = new InspectorSocket(stream, events);
        resolve(socket);
        socket.#receive(head);
      });
      upgrade.once('response', ({ statusCode }) => {
        upgrade.destroy(new Error(`the inspector answered ${String(statusCode)}`));
      });
      upgrade.once('timeout', () => upgrade.destroy(new Error('the inspector does not answer')));
      upgrade.once('error', reject);
      upgrade.end();
    });
  }

  constructor(stream: Duplex, events: SocketEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on('data', (chunk: Buffer) => {
      this.#receive(chunk);
    });
    stream.on('error', () => stream.destroy());
    stream.once('close', () => {
      events.onClose();
    });
  }

  send(text: string): void {
    this.#sendFrame(OPCODE.text, Buffer.from(text));
  }

  close(): void {
    this.#sendFrame(OPCODE.close, Buffer.alloc(0));
    this.#stream.end();
  }

  /** Clients mask what they send. */
  #sendFrame(opcode: number, payload: Buffer): void {
    const { length } = payload;
    const mask = randomBytes(4);
    const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
    const frame = Buffer.alloc(2 + extended + 4 + length);
    frame[0] = FINAL | opcode;
    frame[1] = MASKED | (extended === 0 ? length : extended === 2 ? 126 : 127);
    if (extended === 2) frame.writeUInt16BE(length, 2);
    if (extended === 8) frame.writeBigUInt64BE(BigInt(length), 2);
    frame.set(mask, 2 + extended);
    const at = frame.length - length;
    for (let i = 0; i < length; i++)
      frame[at + i] = (payload[i] as number) ^ (mask[i % 4] as number);
    if (this.#stream.writable) this.#stream.write(frame);
  }

  #receive(chunk: Buffer): void {
    this.#received.push(chunk);
    this.#length += chunk.length;
    for (;;) {
      const frame = this.#takeFrame();
      if (frame === undefined) return;
      this.#handle(frame);
    }
  }

  #handle({ final, opcode, payload }: Frame): void {
    if (opcode === OPCODE.ping) this.#sendFrame(OPCODE.pong, payload);
    else if (opcode === OPCODE.close) this.#stream.end();
    else if (opcode <= OPCODE.text) {
      this.#fragments.push(payload);
      if (!final) return;
      const text = Buffer.concat(this.#fragments.splice(0)).toString();
      this.#events.onMessage(text);
    }
  }

  /** Returns and removes the first frame received, if it is whole. Servers do not mask. */
  #takeFrame(): Frame | undefined {
    const head = this.#peek(Math.min(10, this.#length));
    if (head.length < 2) return undefined;
    const short = (head[1] as number) & 0x7f;
    const start = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (head.length < start) return undefined;
    const length =
      short < 126 ? short : short === 126 ? head.readUInt16BE(2) : Number(head.readBigUInt64BE(2));
    if (this.#length < start + length) return undefined;
    const all = this.#peek(this.#length);
    const first = head[0] as number;
    this.#received = [all.subarray(start + length)];
    this.#length -= start + length;
    return {
      final: (first & FINAL) !== 0,
      opcode: first & 0x0f,
      payload: all.subarray(start, start + length),
    };
  }

  /** Returns at least the first `count` bytes received. */
  #peek(count: number): Buffer {
    const [first = Buffer.alloc(0)] = this.#received;
    if (first.length >= count && this.#received.length <= 1) return first;
    if (first.length >= count && count <= 10) return first;
    const all = Buffer.concat(this.#received);
    this.#received = [all];
    return all;
  }
}

interface Frame {
  readonly final: boolean;
  readonly opcode: number;
  readonly payload: Buffer;
}
