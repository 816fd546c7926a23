/** Loaded by `otelpyroscope attach` into the process that it profiles; the command calls what it exports. */
import { labelRunningProgram } from '../otel/running-program.js';
import { asOwnWork } from '../otel/run-untraced.js';
import { CpuProfiler } from '../profiler/cpu-profiler.js';
import { resolveCpuProfilerOptions, type LabelOptions } from '../options/options.js';
import type { ClockState, SampleClock } from '../util/sample-clock.js';
import { profileWindows, waitUntilSync, type ProfileWindow } from '../profiler/profile-windows.js';
import { startTimer, stopTimer, type Timer } from '../util/clock.js';
import { inspector } from '../util/lazy-modules.js';

/** How long a process that ends waits for the command to take the profile, in milliseconds. */
const EXIT_MS = 1_000;
/** Without a call of `beat` for so long, in milliseconds, the command is gone: the profile ends. */
const LEASE_MS = 10_000;

export interface AttachSettings {
  /** See `CpuProfilerOptions`. */
  readonly intervalMicros: number;
  /** See `CpuProfilerOptions`. */
  readonly clock: SampleClock;
  readonly labels: LabelOptions;
  /** Whether `collectWindow` will be called. */
  readonly live: boolean;
  /** Whether the command has opened the inspector, which is closed if the command is gone. */
  readonly closesInspector: boolean;
}

export interface Attached {
  /** Whether an OpenTelemetry SDK is registered. */
  readonly traced: boolean;
}

/** Everything that one command has started in this process. */
class Attachment {
  readonly traced: boolean;
  readonly #window: ProfileWindow;
  readonly #live: CpuProfiler | undefined;
  readonly #undoLabels: (() => void) | undefined;
  readonly #closesInspector: boolean;
  #lease: Timer;
  #isOpen = true;
  #isExiting = false;
  #bytes: Buffer = Buffer.alloc(0);
  readonly #onExit = (): void => {
    this.#isExiting = true;
    // The inspector interrupts this loop for the command, but could not respond to it afterwards.
    waitUntilSync(() => attachment !== this, EXIT_MS);
    leave();
    if (this.#closesInspector) closeInspector();
  };

  /** Throws a ProfilerError; nothing is left then. */
  constructor({ intervalMicros, clock, labels, live, closesInspector }: AttachSettings) {
    this.#closesInspector = closesInspector;
    this.#window = profileWindows.open(resolveCpuProfilerOptions({ intervalMicros, clock }));
    if (live) {
      this.#live = new CpuProfiler({ intervalMicros: this.#window.intervalMicros, clock });
      this.#live.start();
    }
    this.#undoLabels = labelRunningProgram(labels);
    this.traced = this.#undoLabels !== undefined;
    this.#lease = this.#startLease();
    // One listener too many makes Node.js warn. Without it, a process that ends loses the profile.
    if (process.listenerCount('exit') < process.getMaxListeners()) process.on('exit', this.#onExit);
  }

  beat(): boolean {
    stopTimer(this.#lease);
    this.#lease = this.#startLease();
    return this.#isExiting;
  }

  /** Resolves to the length of the last seconds' profile. */
  async collectWindow(): Promise<number> {
    return this.#keep((await this.#live?.collect()) ?? new Uint8Array());
  }

  /** Ends the profile; resolves to its length. */
  async end(): Promise<number> {
    this.#endLive();
    return this.#keep(await profileWindows.close(this.#closeWindow()));
  }

  /** Does the same at once, in a process whose event loop does not run. */
  endSync(): number {
    this.#endLive();
    return this.#keep(profileWindows.closeSync(this.#closeWindow()));
  }

  piece(start: number, end: number): string {
    return this.#bytes.toString('base64', start, end);
  }

  /** Undoes all that is left. */
  leave(): void {
    process.off('exit', this.#onExit);
    stopTimer(this.#lease);
    this.#bytes = Buffer.alloc(0);
    this.#endLive();
    if (this.#isOpen) profileWindows.close(this.#closeWindow()).catch(() => undefined);
  }

  #closeWindow(): ProfileWindow {
    this.#isOpen = false;
    this.#undoLabels?.();
    return this.#window;
  }

  #endLive(): void {
    if (this.#live?.running === true) this.#live.stop().catch(() => undefined);
  }

  #keep(profile: Uint8Array): number {
    this.#bytes = Buffer.from(profile.buffer, profile.byteOffset, profile.byteLength);
    return this.#bytes.length;
  }

  #startLease(): Timer {
    return startTimer(() => {
      leave();
      if (this.#closesInspector) closeInspector();
    }, LEASE_MS).unref();
  }
}

let attachment: Attachment | undefined;

/**
 * Whether the inspector has interrupted the work of a profiler in this process: nothing but `beat` and
 * `piece` may be called then.
 */
export function isBusy(): boolean {
  return profileWindows.isBusy;
}

/** Begins a profile. Throws an Error whose message is a sentence for the command. */
export function begin(settings: AttachSettings): Attached {
  if (attachment !== undefined) throw new Error('another otelpyroscope attach profiles it already');
  attachment = asOwnWork(() => new Attachment(settings));
  return { traced: attachment.traced };
}

/** Notes that the command is still there. Returns whether the process is about to end. */
export function beat(): boolean {
  return asOwnWork(() => current().beat());
}

/** Returns the clock in use while the profile is taken. */
export function clock(): ClockState {
  const { clock = 'tick', clockRefusal = '' } = profileWindows.metrics();
  return { clock, clockRefusal };
}

/** Resolves to the number of bytes of the profile since the last call, for `piece`. */
export function collectWindow(): Promise<number> {
  return asOwnWork(() => current().collectWindow());
}

/** Ends the profile; resolves to its number of bytes, for `piece`. */
export function end(): Promise<number> {
  return asOwnWork(() => current().end());
}

/** Ends the profile in a process whose event loop does not run; returns its number of bytes. */
export function endSync(): number {
  return asOwnWork(() => current().endSync());
}

/** Returns some bytes of the profile, in base64. */
export function piece(start: number, endOfPiece: number): string {
  return current().piece(start, endOfPiece);
}

/** Undoes all that the command has started; it may have ended already. */
export function leave(): void {
  const left = attachment;
  attachment = undefined;
  if (left !== undefined) {
    asOwnWork(() => {
      left.leave();
    });
  }
}

function current(): Attachment {
  if (attachment === undefined) {
    throw new Error(
      `its profile has ended: nothing was heard of the command for ${String(LEASE_MS / 1_000)} s`,
    );
  }
  return attachment;
}

function closeInspector(): void {
  try {
    inspector().close();
  } catch {
    // It was closed meanwhile.
  }
}
