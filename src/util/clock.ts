/**
 * The timers and clocks of this package, which fake clocks of tests (Sinon, Jest, Vitest, node:test)
 * do not stop: taken when the package is loaded. No other file uses the global ones.
 */
import timers from 'node:timers';
import { MessageChannel, type MessagePort } from 'node:worker_threads';
import vm from 'node:vm';
import { net } from './lazy-modules.js';

/** A timer; it keeps the process alive unless `unref` is called. */
export interface Timer {
  unref(): Timer;
}

/**
 * Turns of the event loop in which a response that has arrived is read: its bytes, which a socket
 * reads in pieces of 64 KiB, and what is done with them.
 */
const ARRIVAL_TURNS = 4;

type SetTimeout = (fn: () => void, ms: number) => Timer;

const { setTimeout, setImmediate, clearTimeout } = timers;
const nextTick: unknown = Reflect.get(process, 'nextTick');

/** Whether a fake clock was installed when the package was loaded. */
const isLate = !areReal(setTimeout, clearTimeout);

/** Starts a timer that ends after `ms` milliseconds. */
export const startTimer: SetTimeout = isLate
  ? (fn, ms) => new SocketTimer(fn, ms)
  : (fn, ms) => setTimeout(fn, ms);

/** Calls `fn` in the next turn of the event loop. */
export const inNextTurn: (fn: () => void) => void = isLate
  ? (fn) => void new SocketTimer(fn, 1)
  : (fn) => void setImmediate(fn);

export function stopTimer(timer: Timer | undefined): void {
  if (timer instanceof SocketTimer) timer.stop();
  else clearTimeout(timer as NodeJS.Timeout | undefined);
}

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => void startTimer(resolve, ms));
}

/**
 * Resolves when one of the promises is fulfilled, or after `ms` milliseconds, which may be Infinity.
 * No timer is left then.
 */
export async function waitAtMost(ms: number, promises: readonly Promise<unknown>[]): Promise<void> {
  let timer: Timer | undefined;
  const late = new Promise<void>((resolve) => {
    if (ms !== Infinity) timer = startTimer(resolve, ms);
  });
  try {
    await Promise.race([late, ...promises]);
  } finally {
    stopTimer(timer);
  }
}

/**
 * Calls `fn` after `ms` milliseconds, unless the returned function is called before. When a process
 * that was suspended goes on, its timers end before it reads what has arrived meanwhile: `fn` is
 * called after that, and what has arrived can still stop it.
 */
export function startDeadline(
  fn: () => void,
  ms: number,
  { keepsAlive }: { keepsAlive: boolean },
): () => void {
  let isOver = false;
  const inTurns = (turns: number): void => {
    if (isOver) return;
    if (turns === 0) fn();
    else {
      inNextTurn(() => {
        inTurns(turns - 1);
      });
    }
  };
  const timer = startTimer(() => {
    inTurns(ARRIVAL_TURNS);
  }, ms);
  if (!keepsAlive) timer.unref();
  return () => {
    isOver = true;
    stopTimer(timer);
  };
}

/** Returns the time of a monotonic clock in nanoseconds. */
// Not performance.now(): Node.js loads a module for it, which takes 2 ms.
export const monotonicNanos: () => bigint = monotonicClock();

/** Returns the time of the same clock in milliseconds. */
export function monotonicMs(): number {
  return Number(monotonicNanos()) / 1e6;
}

/** Returns the milliseconds since 1970, as `Date.now()` does. */
export const dateMs: () => number = dateClock();

/**
 * Whether a fake clock holds back `process.nextTick`, which the streams of Node.js need: those of
 * zlib and sockets then make no progress.
 */
export async function areTicksHeld(): Promise<boolean> {
  // The question leaves an entry in a fake clock, so it is asked only where there may be one.
  if (!isLate && process.nextTick === nextTick) return false;
  let held = true;
  process.nextTick(() => (held = false));
  // All ticks run before the next turn.
  await new Promise<void>(inNextTurn);
  return held;
}

/** Whether the functions make timers of Node.js, which lists these. */
function areReal(set: typeof setTimeout, clear: typeof clearTimeout): boolean {
  const count = (): number =>
    process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  const before = count();
  const timer = set(() => undefined, 1_000);
  const isListed = count() > before;
  clear(timer);
  return isListed;
}

function monotonicClock(): () => bigint {
  const bigint = process.hrtime.bigint.bind(process.hrtime);
  const uptime = process.uptime.bind(process);
  // A fake clock stands still while the process's uptime, which no fake clock replaces, goes on.
  const begin = bigint();
  const uptimeAtBegin = uptime();
  for (let i = 0; i < 10_000 && uptime() === uptimeAtBegin; i++);
  return bigint() === begin ? () => BigInt(Math.round(uptime() * 1e9)) : bigint;
}

function dateClock(): () => number {
  const { now } = Date;
  if (/\{\s*\[native code\]\s*\}$/.test(Function.prototype.toString.call(now))) return now;
  return vm.runInNewContext('Date.now') as () => number;
}

/** A timer of a socket without a connection: Node.js has no other timers that no fake replaces. */
class SocketTimer implements Timer {
  readonly #socket = new (net().Socket)();
  /** Keeps the process alive, which the socket's timer does not. */
  readonly #port: MessagePort;
  #isStopped = false;

  constructor(fn: () => void, ms: number) {
    this.#port = new MessageChannel().port1;
    this.#port.ref();
    this.#socket.setTimeout(Math.max(1, ms), () => {
      if (this.#isStopped) return;
      this.stop();
      fn();
    });
  }

  unref(): this {
    this.#port.unref();
    return this;
  }

  stop(): void {
    // The socket's timer is left to end: sockets stop it by the global clearTimeout, which is fake.
    this.#isStopped = true;
    this.#port.close();
  }
}
