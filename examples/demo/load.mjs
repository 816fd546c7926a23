/** The second process of the demo: real HTTP load on the service, progress over IPC. */

import autocannon from 'autocannon';

const [, , url, seconds, amount] = process.argv;

/** One in this many searches has a misspelt word. */
const SEARCHES_TO_MISSPELT = 40;

/** Each connection repeats this list; one request in it is far heavier than the rest. */
const requests = [
  ...get('/products?q=birch', '/invoices/1207', '/recommendations?depth=2', '/export'),
  login('ada', 'correct horse'),
  ...get('/products?q=heron', '/invoices/310', '/recommendations?depth=3', '/products?q=north'),
  ...get('/invoices/77', '/recommendations?depth=25'),
  login('grace', 'battery staple'),
  ...get('/recommendations?depth=2', '/invoices/940', '/products?q=moss'),
];

let answered = 0;
let searches = 0;
const instance = autocannon({
  url,
  requests: requests.map((request) => ({ ...request, setupRequest })),
  connections: 8,
  // A given number of requests is the same work on every machine.
  ...(amount === undefined ? { duration: Number(seconds) } : { amount: Number(amount) }),
  timeout: 20,
});
instance.on('response', () => (answered += 1));
const progress = setInterval(() => process.send({ type: 'progress', answered }), 500);

const result = await instance;
clearInterval(progress);
process.send({
  type: 'done',
  answered,
  errors: result.errors + result.timeouts + result.mismatches,
  non2xx: result.non2xx,
  p50: result.latency.p50,
  p99: result.latency.p99,
});
process.disconnect();

/** Misspells a search now and then: this is the slow request that the profile is to explain. */
function setupRequest(request) {
  if (!request.path.startsWith('/products')) return request;
  searches += 1;
  return searches % SEARCHES_TO_MISSPELT === 0
    ? { ...request, path: '/products?q=hearon' }
    : request;
}

function get(...paths) {
  return paths.map((path) => ({ method: 'GET', path }));
}

function login(user, password) {
  return {
    method: 'POST',
    path: '/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ user, password }),
  };
}
