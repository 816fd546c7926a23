/** Takes profiles of another process through its inspector. */
import { AttachError } from './target-process.js';
import type { Attached, AttachSettings } from './in-target.js';
import { betweenCallbacks, BUSY, finding, INFO, loading, outsideProfilers } from './expressions.js';
import type { InspectorSession } from './inspector.js';
import { PROTOCOL } from './loading.js';
import type { ClockState } from '../util/sample-clock.js';
import { sleep, startTimer, stopTimer, type Timer } from '../util/clock.js';

/** The file that is loaded into the process: ours, and where its own copy of the package has it. */
const OURS = require.resolve('./loading.js');
const IN_PACKAGE = 'lib/attach/loading.js';
/** Bytes per message. The process makes base64 and JSON of them, in a millisecond. */
const PIECE_BYTES = 192 * 1_024;
/** How often, and after how many milliseconds again, a call waits for an event loop that is not in JavaScript. */
const TRIES = 25;
const TRY_MS = 20;
/**
 * Time between two signs of life, in milliseconds; see `LEASE_MS` in in-target.ts. A process that
 * ends waits for the next one.
 */
const BEAT_MS = 200;

export interface TargetInfo {
  readonly version: string;
  readonly runtime: string;
  /** The main script, or ''. */
  readonly script: string;
  readonly pid: number;
}

/** A profile of another process. */
export class RemoteProfiler {
  readonly #session: InspectorSession;
  /** An expression: the module in the process. */
  readonly #module: string;
  #beats: Timer | undefined;
  #running = true;
  #last: Promise<unknown> = Promise.resolve();
  readonly attached: Attached;
  /** Resolves when the process is about to end, or has ended. */
  readonly ended: Promise<void>;
  #end: () => void = () => undefined;
  #hasLeft = false;

  /** Asks the process what it is. */
  static async info(session: InspectorSession): Promise<TargetInfo> {
    return (await session.evaluate(INFO)) as TargetInfo;
  }

  /** Loads the package into the process. Rejects with an AttachError if it cannot be profiled. */
  static async begin(session: InspectorSession, settings: AttachSettings): Promise<RemoteProfiler> {
    const file = await session.evaluate(finding(IN_PACKAGE, PROTOCOL, OURS));
    if (typeof file !== 'string' || file === '') {
      throw new AttachError(
        `it does not see ${OURS}, and has no copy of otelpyroscope of its own: install otelpyroscope where it runs`,
      );
    }
    const loaded = loading(file);
    let tries = TRIES;
    const evaluate = async (code: string): Promise<unknown> => {
      for (; tries > 0; tries--) {
        const values = await session.evaluate(betweenCallbacks(code));
        if (values !== undefined) return (values as unknown[])[0];
        await sleep(TRY_MS);
      }
      return session.evaluate(code);
    };
    for (let part = 0; (await evaluate(`${loaded}.loadPart(${String(part)})`)) === true; part++);
    const module = `${loaded}.inTarget()`;
    const begin = outsideProfilers(module, `begin(${JSON.stringify(settings)})`);
    const attached = (await untilFree(() => evaluate(begin))) as Attached;
    return new RemoteProfiler(session, module, attached);
  }

  constructor(session: InspectorSession, module: string, attached: Attached) {
    this.#session = session;
    this.#module = module;
    this.attached = attached;
    this.ended = new Promise((resolve) => (this.#end = resolve));
    this.#startBeats();
  }

  get running(): boolean {
    return this.#running;
  }

  /** It was started by `begin`. */
  start(): void {
    this.#running = true;
  }

  /** Resolves to the profile since the last call. */
  collect(): Promise<Uint8Array> {
    return this.#take(() => this.#callPromise('collectWindow()'));
  }

  /** For the interface of a profiler; `end` has the profile. */
  stop(): Promise<Uint8Array> {
    return Promise.reject(new Error('call end()'));
  }

  /** Resolves to the clock in use; to be asked for before the end. */
  async clock(): Promise<ClockState> {
    return (await this.#callSync('clock()')) as ClockState;
  }

  /** Ends the profile, which it resolves to, whether the event loop of the process runs or not. */
  end(): Promise<Uint8Array> {
    this.#running = false;
    return this.#take(async () => {
      const runs = !this.#session.isExiting && (await this.#session.loopRuns());
      return runs ? this.#callPromise('end()') : this.#callSync('endSync()');
    });
  }

  /** Leaves the process as it was. */
  async leave(): Promise<void> {
    stopTimer(this.#beats);
    this.#hasLeft = true;
    await this.#callSync('leave()');
  }

  #startBeats(): void {
    this.#beats = startTimer(() => {
      this.#call('beat()').then(
        (isExiting) => {
          this.#session.isExiting = isExiting === true;
          if (this.#session.isExiting) this.#end();
          else if (!this.#hasLeft) this.#startBeats();
        },
        // The end of the profile reports it.
        () => {
          this.#end();
        },
      );
    }, BEAT_MS);
  }

  /** One profile after the other: the process keeps one until it is downloaded. */
  #take(make: () => Promise<unknown>): Promise<Uint8Array> {
    const taken = this.#last.then(async () => this.#download((await make()) as number));
    this.#last = taken.catch(() => undefined);
    return taken;
  }

  async #download(length: number): Promise<Uint8Array> {
    const pieces: Buffer[] = [];
    for (let at = 0; at < length; at += PIECE_BYTES) {
      const text = await this.#call(`piece(${String(at)}, ${String(at + PIECE_BYTES)})`);
      pieces.push(Buffer.from(text as string, 'base64'));
    }
    return Buffer.concat(pieces);
  }

  #call(code: string): Promise<unknown> {
    return this.#session.evaluate(`${this.#module}.${code}`);
  }

  /** Calls, outside the work of the process's profilers, a function that needs no event loop. */
  #callSync(code: string): Promise<unknown> {
    const expression = outsideProfilers(this.#module, code);
    return untilFree(() => this.#session.evaluate(expression));
  }

  /** Does the same with a function that returns a promise; resolves to the promise's value. */
  #callPromise(code: string): Promise<unknown> {
    const expression = outsideProfilers(this.#module, code);
    return untilFree(() => this.#session.evaluatePromise(expression));
  }
}

/** Tries again where the inspector has interrupted the work of a profiler, which takes milliseconds. */
async function untilFree(evaluate: () => Promise<unknown>): Promise<unknown> {
  for (let tries = 0; tries < TRIES; tries++) {
    const value = await evaluate();
    if (value !== BUSY) return value;
    await sleep(TRY_MS);
  }
  throw new AttachError('its own profiler does not come to an end of its work');
}
