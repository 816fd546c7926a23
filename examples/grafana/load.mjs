/** `node load.mjs URL`: requests from four customers, until it is stopped. */

import { setTimeout as sleep } from 'node:timers/promises';

const CUSTOMERS = 4;
/** Between two requests of a customer, on average, in milliseconds. */
const PAUSE_MS = 100;
const REPORT_MS = 10_000;

const [, , base = 'http://127.0.0.1:8080'] = process.argv;

/** How many of a hundred requests each route gets. */
const routes = [
  [45, () => [`/books/${random(4_000)}`]],
  [30, () => [`/search?q=${['atlas', 'cloud', 'dream', 'lemon'][random(4)]}`]],
  [15, () => ['/checkout', { user: `user ${random(100)}`, book: random(4_000) }]],
  [8, () => [`/recommendations/${random(3_900)}`]],
  [2, () => ['/report']],
];

let answers = 0;
let failures = 0;
let lastFailure = '';

function random(limit) {
  return Math.floor(Math.random() * limit);
}

function chooseRequest() {
  let rest = random(100);
  return routes.find(([share]) => (rest -= share) < 0)[1]();
}

async function send([path, body]) {
  const post = { method: 'POST', headers: { 'content-type': 'application/json' } };
  const options = body === undefined ? {} : { ...post, body: JSON.stringify(body) };
  const response = await fetch(base + path, { ...options, signal: AbortSignal.timeout(10_000) });
  await response.arrayBuffer();
  if (!response.ok) throw new Error(`${response.status} for ${path}`);
}

async function beCustomer() {
  for (;;) {
    try {
      await send(chooseRequest());
      answers += 1;
    } catch (error) {
      // The service may not have started yet.
      failures += 1;
      lastFailure = error.cause?.code ?? error.message;
      await sleep(1_000);
    }
    await sleep(random(2 * PAUSE_MS));
  }
}

setInterval(() => {
  const failed = failures === 0 ? '' : `, ${failures} failed (${lastFailure})`;
  console.log(`${answers} requests answered in ${REPORT_MS / 1_000} s${failed}`);
  answers = 0;
  failures = 0;
}, REPORT_MS);
for (let customer = 0; customer < CUSTOMERS; customer += 1) void beCustomer();
