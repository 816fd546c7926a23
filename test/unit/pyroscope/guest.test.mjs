/** Nothing that the application can observe of its own requests shows the uploads of the agent. */
import assert from 'node:assert/strict';
import { PyroscopeServer } from '../../support/pyroscope-server.mjs';
import { messageOf, runCode } from '../../support/run-child.mjs';

describe('the package in an application', function () {
  this.timeout(60_000);

  it('loads none of the modules that tools patch before it uses them', async () => {
    const modules = ['http', 'https', 'net', 'tls', 'zlib', 'dns', 'perf_hooks'];
    const loaded = await messageOf(
      runCode(
        `const loaded = () => process.moduleLoadList.filter((name) =>
           ${JSON.stringify(modules)}.includes(name.replace('NativeModule ', '')) ||
           /NativeModule internal.deps.undici/.test(name));
         const before = new Set(loaded());
         require('otelpyroscope');
         require('otelpyroscope/register');
         process.send(loaded().filter((name) => !before.has(name)));
         process.disconnect();`,
      ),
    );
    assert.deepEqual(loaded, []);
  });

  it('uploads without a trace in undici, node:http, resource timing and instrumentations', async () => {
    const server = await PyroscopeServer.start();
    try {
      const seen = await messageOf(
        runCode(
          `const { subscribe } = require('node:diagnostics_channel');
           const http = require('node:http');
           const { performance, PerformanceObserver } = require('node:perf_hooks');
           const seen = [];
           const channels = [
             ...['create', 'headers', 'bodySent', 'trailers', 'error'].map((name) => 'undici:request:' + name),
             ...['beforeConnect', 'connected', 'connectError', 'sendHeaders'].map((name) => 'undici:client:' + name),
             ...['created', 'start', 'error'].map((name) => 'http.client.request.' + name),
             'http.client.response.finish',
           ];
           for (const name of channels) subscribe(name, () => seen.push(name));
           for (const name of ['request', 'get']) {
             const original = http[name];
             http[name] = (...args) => { seen.push('http.' + name); return original(...args); };
           }
           const realFetch = globalThis.fetch;
           globalThis.fetch = (...args) => { seen.push('fetch'); return realFetch(...args); };
           new PerformanceObserver((list) => {
             for (const { name, entryType } of list.getEntries()) seen.push(entryType + ' ' + name);
           }).observe({ entryTypes: ['resource', 'http'] });
           const { startPyroscope } = require('otelpyroscope');
           const agent = startPyroscope({ serverAddress: '${server.url}', applicationName: 'guest' });
           const end = process.cpuUsage().user + 100_000;
           while (process.cpuUsage().user < end);
           agent.stop().then(async () => {
             const { uploads } = agent.metrics();
             await new Promise(setImmediate);
             const ofAgent = seen.splice(0);
             ofAgent.push(...performance.getEntriesByType('resource').map(({ name }) => name));
             // The same is seen of a request of the application.
             await (await fetch('${server.url}/')).text();
             await new Promise((resolve) => setTimeout(resolve, 50));
             process.send({ uploads, ofAgent, ofApplication: seen });
             process.exit();
           });`,
        ),
      );
      assert.equal(seen.uploads, 1);
      assert.equal(server.uploads.length, 1);
      assert.deepEqual(seen.ofAgent, []);
      for (const each of ['fetch', 'undici:request:create', `resource ${server.url}/`]) {
        assert.ok(seen.ofApplication.includes(each), each);
      }
    } finally {
      await server.close();
    }
  });
});
