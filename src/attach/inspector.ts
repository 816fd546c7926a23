/** Opens the inspector of a process, finds where it listens, and evaluates code by its protocol. */
import { sleep, startTimer, stopTimer, waitAtMost } from '../util/clock.js';
import { http } from '../util/lazy-modules.js';
import { CLOSE, NEXT_TURN } from './expressions.js';
import { InspectorSocket } from './inspector-socket.js';
import { AttachError, type ListeningSocket, type TargetProcess } from './target-process.js';

/** How long a process may take to open its inspector after SIGUSR1, in milliseconds. */
const OPEN_MS = 3_000;
/** How long it may take to respond, in milliseconds. */
const RESPONSE_MS = 10_000;
const POLL_MS = 20;
/** How long the event loop may take before it counts as blocked, in milliseconds. */
const TURN_MS = 2_000;
const HTTP_MS = 2_000;

/** Where an inspector listens. */
export interface InspectorAddress {
  readonly url: string;
  readonly socket: ListeningSocket;
  /** Whether `openInspector` has opened it, so that it is to be closed. */
  readonly opened: boolean;
}

/** Returns the inspector that is open already, or opens it. Rejects with an AttachError. */
export async function openInspector(target: TargetProcess): Promise<InspectorAddress> {
  const before = target.listeningSockets();
  const mayBeOpen = target.startsInspector || target.hasInspectorThread;
  const candidates = before.filter(({ port }) => mayBeOpen || port === target.inspectorPort);
  const open = await firstInspector(candidates);
  if (open !== undefined) return { ...open, opened: false };

  const port = target.inspectorPort;
  if (port !== 0 && target.isPortTaken(port)) {
    throw target.refusal(
      `would open its inspector at port ${String(port)}, where something else listens: end that, or start the process with --inspect-port=0`,
    );
  }
  const known = new Set(before.map(({ inode }) => inode));
  target.signal();
  for (let waited = 0; waited < OPEN_MS; waited += POLL_MS) {
    await sleep(POLL_MS);
    const added = target.listeningSockets().filter(({ inode }) => !known.has(inode));
    const found = await firstInspector(added);
    if (found !== undefined) return { ...found, opened: true };
  }
  throw target.refusal(
    `has not opened its inspector within ${String(OPEN_MS / 1_000)} s: it listens to SIGUSR1 itself, or native code blocks its main thread`,
  );
}

/** Resolves when the inspector listens no more; to false if it still does after `OPEN_MS`. */
export async function hasClosed(
  target: TargetProcess,
  { inode }: ListeningSocket,
): Promise<boolean> {
  for (let waited = 0; waited < OPEN_MS; waited += POLL_MS) {
    if (!target.listens(inode)) return true;
    await sleep(POLL_MS);
  }
  return false;
}

async function firstInspector(
  sockets: readonly ListeningSocket[],
): Promise<Omit<InspectorAddress, 'opened'> | undefined> {
  for (const socket of sockets) {
    const url = await inspectorUrl(socket);
    if (url !== undefined) return { url, socket };
  }
  return undefined;
}

/** Resolves to the WebSocket's URL of an inspector of Node.js; undefined if it is another server. */
async function inspectorUrl({ host, port }: ListeningSocket): Promise<string | undefined> {
  try {
    const authority = `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
    const [first] = JSON.parse(await download(`http://${authority}/json/list`)) as unknown as [
      { type?: unknown; webSocketDebuggerUrl?: unknown } | undefined,
    ];
    const url = first?.webSocketDebuggerUrl;
    if (first?.type !== 'node' || typeof url !== 'string') return undefined;
    return `ws://${authority}${new URL(url).pathname}`;
  } catch {
    return undefined;
  }
}

function download(url: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http().get(url, { timeout: HTTP_MS, agent: false }, (response) => {
      let text = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => {
        text += chunk;
        if (text.length > 65_536) request.destroy(new Error('too long'));
      });
      response.once('end', () => {
        resolve(text);
      });
      response.once('error', reject);
    });
    request.once('timeout', () => request.destroy(new Error('timeout')));
    request.once('error', reject);
  });
}

/** A message of the inspector: the response to a command, or an event. */
interface InspectorMessage {
  readonly id?: number;
  readonly error?: { message: string };
  readonly result?: {
    result?: { value?: unknown };
    exceptionDetails?: { text: string; exception?: { description?: string; value?: unknown } };
  };
}

/** A connection to an inspector. */
export class InspectorSession {
  /** Whether the process has reported that it is about to end. */
  isExiting = false;
  readonly #pending = new Map<number, (response: InspectorMessage | undefined) => void>();
  #socket: InspectorSocket | undefined;
  #lastId = 0;
  #isClosed = false;
  #resolveClosed: () => void = () => undefined;
  readonly #closed = new Promise<void>((resolve) => (this.#resolveClosed = resolve));
  #loopRuns: Promise<boolean> | undefined;

  static async connect(url: string): Promise<InspectorSession> {
    const session = new InspectorSession();
    await session.#connect(url);
    return session;
  }

  /**
   * Evaluates an expression in the main context, also in the middle of a long loop; resolves to its
   * value. Rejects with an AttachError that has the message of its error, or that there is no response.
   */
  evaluate(expression: string): Promise<unknown> {
    return this.#evaluate(expression, false);
  }

  /** Resolves to the value of a promise. There is none while the event loop does not run. */
  evaluatePromise(expression: string): Promise<unknown> {
    return this.#evaluate(expression, true);
  }

  /** Whether the event loop of the process runs: it may be in a long loop. Asked once. */
  loopRuns(): Promise<boolean> {
    return (this.#loopRuns ??= this.#askLoop());
  }

  /**
   * Closes the inspector, unless the process does that itself because it ends, and waits for the
   * process to disconnect: Node.js crashes if both disconnect at once.
   */
  async closeInspector(): Promise<void> {
    // There is no response, or it was closed meanwhile.
    if (!this.isExiting) this.evaluate(CLOSE).catch(() => undefined);
    await waitAtMost(OPEN_MS, [this.#closed]);
  }

  disconnect(): void {
    this.#socket?.close();
  }

  async #evaluate(expression: string, awaitPromise: boolean): Promise<unknown> {
    const { result, error } = await this.#send('Runtime.evaluate', {
      expression,
      awaitPromise,
      returnByValue: true,
      includeCommandLineAPI: true,
      silent: true,
    });
    const details = result?.exceptionDetails;
    if (details !== undefined || error !== undefined) {
      const text = details?.exception?.description ?? details?.text ?? error?.message ?? '';
      // Messages of our errors are sentences: the class and the stack are left out.
      const [first = ''] = text.split('\n    at ');
      throw new AttachError(first.replace(/^\w*Error(?: \[\w+\])?: /, ''));
    }
    return result?.result?.value;
  }

  async #askLoop(): Promise<boolean> {
    let runs = false;
    const turn = this.evaluatePromise(NEXT_TURN).then(
      () => (runs = true),
      () => undefined,
    );
    await waitAtMost(TURN_MS, [turn]);
    return runs;
  }

  async #connect(url: string): Promise<void> {
    this.#socket = await InspectorSocket.open(url, {
      onMessage: (text) => {
        this.#handle(JSON.parse(text) as InspectorMessage);
      },
      onClose: () => {
        this.#isClosed = true;
        for (const settle of this.#pending.values()) settle(undefined);
        this.#resolveClosed();
      },
    });
  }

  #send(method: string, params: object): Promise<InspectorMessage> {
    return new Promise((resolve, reject) => {
      const id = ++this.#lastId;
      const timer = startTimer(() => {
        this.#pending.delete(id);
        reject(new AttachError(`it has not answered within ${String(RESPONSE_MS / 1_000)} s`));
      }, RESPONSE_MS);
      this.#pending.set(id, (response) => {
        stopTimer(timer);
        this.#pending.delete(id);
        if (response === undefined)
          reject(new AttachError('it has ended, or closed its inspector'));
        else resolve(response);
      });
      if (this.#isClosed) this.#pending.get(id)?.(undefined);
      else this.#socket?.send(JSON.stringify({ id, method, params }));
    });
  }

  #handle(response: InspectorMessage): void {
    if (response.id !== undefined) this.#pending.get(response.id)?.(response);
  }
}
