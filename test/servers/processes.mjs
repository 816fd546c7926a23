/** Servers as processes of a test: on loopback, and ended with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/** A port of 127.0.0.1 that nothing listens to. */
export async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether something listens there. */
export function isListening(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
  });
}

/** Asks until the answer is neither undefined nor false, and returns it; throws after `seconds`. */
export async function eventually(what, ask, seconds = 60) {
  const end = Date.now() + seconds * 1_000;
  let last;
  while (Date.now() < end) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`not within ${seconds} s: ${what}`, { cause: last });
}

/** A program that listens to a port. */
export class ServerProcess {
  /** The last 200,000 characters that it has printed. */
  output = '';
  #child;

  constructor(file, args) {
    this.#child = spawn(file, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    const keep = (chunk) => (this.output = (this.output + chunk).slice(-200_000));
    this.#child.stdout.on('data', keep);
    this.#child.stderr.on('data', keep);
    this.#child.on('error', keep);
  }

  /** Resolves when it listens; throws with its output where it ends before. */
  static async start(file, args, port) {
    const server = new ServerProcess(file, args);
    await eventually(`${file} listens or ends`, () => server.#hasEnded() || isListening(port));
    if (server.#hasEnded()) throw new Error(server.output);
    return server;
  }

  #hasEnded() {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  /** Asks it to end, and after 20 s ends it. */
  async stop() {
    if (this.#hasEnded()) return;
    const exited = once(this.#child, 'exit');
    this.#child.kill('SIGTERM');
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), 20_000);
    await exited;
    clearTimeout(timer);
  }
}
