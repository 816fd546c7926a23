/** Runs services of ten routes, and checks the names of the routes in their profiles. */
import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { fileURLToPath } from 'node:url';
import { BURNER_PREFIX } from './burners.mjs';
import { readProfile } from './read-profile.mjs';
import { runNode } from './run-child.mjs';

const FIXTURE = fileURLToPath(
  new URL('../integration/fixtures/routes-service.mjs', import.meta.url),
);
const CONNECTIONS = 2;
export const ROUTES = [
  '/',
  '/about',
  '/health',
  '/items',
  '/items/:id',
  '/items/:id/reviews',
  '/users/:user',
  '/users/:user/orders/:order',
  '/carts/:id/checkout',
  '/search',
];
/** Requests at least. */
const REQUESTS = 200;
/** The load lasts at least this long where windows are of a second. */
const SECONDS = 4;

/** Ways to take the profiles, and the share of the labelled CPU that is under the routes' names at least. */
export const WAYS = [
  { title: 'one window over everything', windowMs: 0, leastShare: 0.95 },
  { title: 'windows of a second', windowMs: 1_000, leastShare: 0.9 },
];

/**
 * Runs the service of a framework under requests to all routes, and asserts that their last names are
 * on the CPU of their requests. `flags` are for node.
 */
export async function checkRoutes(
  framework,
  { windowMs, leastShare },
  { routes = ROUTES, flags = [] } = {},
) {
  const { profiles, spans } = await serve(framework, windowMs, routes, flags);
  const names = new Set(spans.map(({ name }) => name));
  assert.deepEqual([...names].sort(), routes.map((route) => `GET ${route}`).sort());
  assert.ok(windowMs === 0 || profiles.length > SECONDS / 2, `${profiles.length} windows`);

  const samples = profiles.flatMap((profile) => profile.samples);
  const { burnt, unlabelled, labelled, named, byRoute } = sumUp(samples, spans, routes);
  const sums = JSON.stringify({ burnt, unlabelled, labelled, named });
  assert.ok(unlabelled <= burnt / 100, sums);
  assert.ok(named >= leastShare * labelled, sums);
  // All routes burn the same.
  assert.equal(byRoute.size, routes.length);
  for (const [route, nanos] of byRoute) {
    const share = (nanos / burnt) * routes.length;
    assert.ok(share > 0.5 && share < 2, `${route}: ${share} of its CPU`);
  }
}

/**
 * Adds up the CPU time of burners, of burners without labels, of all labelled samples, of those
 * under the last name of their root span, and of the burners among these by route.
 */
function sumUp(samples, spans, routes) {
  const nameOfTrace = new Map(spans.map(({ traceId, name }) => [traceId, name]));
  const sums = { burnt: 0, unlabelled: 0, labelled: 0, named: 0, byRoute: new Map() };
  for (const { labels, nanos, stack } of samples) {
    const burner = stack.find(({ name }) => name.startsWith(BURNER_PREFIX))?.name;
    if (burner !== undefined) sums.burnt += nanos;
    if (labels.trace_id === undefined) {
      if (burner !== undefined) sums.unlabelled += nanos;
      continue;
    }
    sums.labelled += nanos;
    assert.ok(nameOfTrace.has(labels.trace_id), `no span of trace ${labels.trace_id}`);
    if (labels.span_name !== nameOfTrace.get(labels.trace_id)) {
      assert.equal(labels.span_name, 'GET');
      continue;
    }
    sums.named += nanos;
    if (burner === undefined) continue;
    const route = routes[burner.slice(BURNER_PREFIX.length)];
    assert.equal(labels.span_name, `GET ${route}`);
    sums.byRoute.set(route, (sums.byRoute.get(route) ?? 0) + nanos);
  }
  return sums;
}

/** Runs the service under requests to all routes in turns, and returns its profiles and spans. */
async function serve(framework, windowMs, routes, flags) {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const ended = await runNode(
    [...flags, FIXTURE, framework, String(windowMs), JSON.stringify(routes)],
    {
      timeoutMs: 100_000,
      onSpawn: (child) =>
        child.once('message', async ({ port }) => {
          const until = performance.now() + (windowMs > 0 ? SECONDS * 1_000 : 0);
          let index = 0;
          const client = async () => {
            while (index < REQUESTS || performance.now() < until) {
              const path = routes[index++ % routes.length].replaceAll(/:\w+|\{\w+\}/g, `${index}`);
              await request(agent, port, path);
            }
          };
          await Promise.all(Array.from({ length: CONNECTIONS }, client));
          child.send('stop');
        }),
    },
  );
  agent.destroy();
  assert.equal(ended.code, 0, ended.stderr);
  const { profiles, spans } = ended.messages.at(-1);
  return { profiles: profiles.map((each) => readProfile(Buffer.from(each, 'base64'))), spans };
}

function request(agent, port, path) {
  return new Promise((resolve, reject) => {
    get({ agent, port, host: '127.0.0.1', path }, (response) => {
      assert.equal(response.statusCode, 200, path);
      response.resume().once('end', resolve);
    }).once('error', reject);
  });
}
