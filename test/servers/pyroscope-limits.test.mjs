/** Windows over the limits of a real Pyroscope arrive whole, and the stand-in refuses what the server refuses. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { createRequire } from 'node:module';
import { decodePprof } from '../support/pyroscope-rules.mjs';
import { PyroscopeServer } from '../support/pyroscope-server.mjs';
import { eventually } from './processes.mjs';
import { makeProfileOf } from './profiles.mjs';
import { FOUND_SECONDS, newService, newTenant, useSharedServer } from './pyroscope.mjs';
import { Queries } from './pyroscope-queries.mjs';
import { samplesOf, sumOf } from './workload.mjs';

const require = createRequire(import.meta.url);
const { DEFAULT_PROFILE_LIMITS, fitProfile } = require('../../lib/pyroscope/server-limits.js');
const { Uploader } = require('../../lib/pyroscope/uploader.js');
const { judgeResponse } = require('../../lib/pyroscope/upload-response.js');
const { uploadRequest } = require('../../lib/pyroscope/upload-request.js');
const { CPU_PROFILE } = require('../../lib/util/profile-types.js');

const PROTOCOLS = ['ingest', 'connect', 'otlp'];
const limits = { ...DEFAULT_PROFILE_LIMITS, labels: 22 };
const many = (count, labelsOf = () => ({})) => Array.from({ length: count }, (_, i) => labelsOf(i));
const named = (count) =>
  Object.fromEntries(Array.from({ length: count }, (_, index) => [`label_${index}`, 'x']));

describe('the limits of Pyroscope', function () {
  this.timeout(720_000);
  const use = useSharedServer();

  const queriesOf = (tenant) =>
    new Queries(use.server.url, tenant, [Date.now() - 900_000, Date.now() + 60_000]);

  const LARGE = {
    'has more samples than a profile may have': {
      samples: many(40_000, (index) => ({ span_id: index.toString(16).padStart(16, '0') })),
    },
    'has more bytes than a profile may have': {
      samples: many(400, (index) => ({ route: `/${index % 20}` })),
      name: 'long'.repeat(4_000),
    },
  };
  for (const protocol of PROTOCOLS) {
    for (const [title, of] of Object.entries(LARGE)) {
      it(`admit a window that ${title}, by ${protocol}`, async () => {
        const tenant = newTenant();
        const serviceName = newService();
        const gzipped = makeProfileOf(of);
        const { parts, trimmedSamples } = await fitProfile(gzipped, limits);
        assert.ok(parts.length > 1);
        assert.equal(trimmedSamples, 0);
        const config = {
          serverAddress: use.server.url,
          headers: { 'x-scope-orgid': tenant },
          protocol,
          timeoutMs: 20_000,
        };
        const series = { serviceName, serviceNamespace: undefined, tags: {} };
        const uploader = new Uploader(config, () => series);
        uploader.add(CPU_PROFILE, parts);
        await uploader.drain(AbortSignal.timeout(60_000));
        const { uploads, droppedProfiles, queued } = uploader;
        uploader.stop('the test is over');
        assert.deepEqual(
          { uploads, droppedProfiles, queued },
          { uploads: parts.length, droppedProfiles: 0, queued: 0 },
          uploader.lastError,
        );
        const asked = queriesOf(tenant);
        const total = sumOf(samplesOf([decodePprof(gzipped)]));
        const found = async () => (await asked.total({ service_name: serviceName })) === total;
        await eventually('all of it', found, FOUND_SECONDS);
      });
    }
  }

  /** Cases for both: a profile, and the parts of its series that differ. */
  const CASES = {
    'a profile': [{}],
    'as many samples as it may have': [{ samples: many(16_000) }],
    'one sample more': [{ samples: many(16_001) }],
    'a stack of 1,001 frames': [{ depth: 1_001 }],
    'less than the rate limit takes at once': [{ samples: many(100), name: 'x'.repeat(18_500) }],
    'more than the rate limit takes at once': [{ samples: many(100), name: 'x'.repeat(22_000) }],
    'more bytes than a profile may have': [{ samples: many(100), name: 'x'.repeat(45_000) }],
    'a profile of an hour ago': [{ ageMs: 3_700_000 }],
    'a profile of the time to come': [{ ageMs: -700_000 }],
    'few labels': [{ samples: [named(22)] }],
    'as many labels as fit by otlp': [{ samples: [named(24)] }],
    'as many labels as fit by ingest': [{ samples: [named(26)] }],
    'as many labels as fit by connect': [{ samples: [named(27)] }],
    'one label more': [{ samples: [named(28)] }],
    'more labels than a sample may have': [{ samples: [named(101)] }],
    'the most tags and labels': [{ samples: [named(6)] }, { tags: named(16) }],
    'too many tags': [{}, { tags: named(31) }],
    'a long value': [{ samples: [{ a: 'v'.repeat(2_048) }] }],
    'a value that is too long': [{ samples: [{ a: 'v'.repeat(2_049) }] }],
    'a long name': [{ samples: [{ ['n'.repeat(1_024)]: 'v' }] }],
    'a name that is too long': [{ samples: [{ ['n'.repeat(1_025)]: 'v' }] }],
    'a tag that is too long': [{}, { tags: { a: 'v'.repeat(2_049) } }],
    'a service name that is too long': [{}, { serviceName: 's'.repeat(2_049) }],
  };

  /** Sends a profile, and returns what our package makes of the answer. */
  const send = async (serverAddress, protocol, of, own = {}, name = 'process_cpu') => {
    const tenant = newTenant();
    const series = { serviceName: newService(), serviceNamespace: undefined, tags: {}, ...own };
    const gzipped = makeProfileOf(of);
    const { timeNanos: startNanos, durationNanos, period } = decodePprof(gzipped);
    const summary = { samples: 1, startNanos, durationNanos, periodNanos: period };
    const config = { serverAddress, headers: { 'x-scope-orgid': tenant }, protocol };
    const { url, headers, body } = await uploadRequest(config, {
      id: randomUUID(),
      type: CPU_PROFILE,
      series,
      gzipped,
      summary,
    });
    const isNamed = protocol === 'connect' && name !== 'process_cpu';
    const sent = isNamed ? body.toString().replace('"process_cpu"', JSON.stringify(name)) : body;
    const response = await fetch(url, { method: 'POST', headers, body: sent });
    const { status } = response;
    const answer = new Uint8Array(await response.arrayBuffer());
    const said = { status, retryAfter: null, location: null, body: answer };
    const { kind, reason } = judgeResponse(said, protocol, Date.now());
    return { kind, reason, tenant, service: { service_name: series.serviceName } };
  };

  describe('are the same in the stand-in for a profile with', () => {
    let standIn;

    before(async () => {
      standIn = await PyroscopeServer.start();
    });

    after(async () => {
      await standIn.close();
    });

    for (const protocol of PROTOCOLS) {
      for (const [title, [of, own]] of Object.entries(CASES)) {
        it(`${title}, by ${protocol}`, async () => {
          const { kind: expected } = await send(standIn.url, protocol, of, own);
          // If all tests have one tenant, earlier tests may have reached its rate limit.
          const found = await eventually(`the answer "${expected}"`, async () => {
            const real = await send(use.server.url, protocol, of, own);
            return (real.kind !== 'retry' || expected === 'retry') && real;
          });
          assert.equal(found.kind, expected, found.reason);
        });
      }
    }
  });

  const BYTES = ['space', 'bytes'];
  const KINDS = {
    wall: {
      types: [
        ['samples', 'count'],
        ['wall', 'nanoseconds'],
      ],
      periodType: ['wall', 'nanoseconds'],
    },
    delay: {
      types: [
        ['blocks', 'count'],
        ['delay', 'nanoseconds'],
      ],
      periodType: ['delay', 'nanoseconds'],
    },
    event_loop: {
      types: [
        ['blocks', 'count'],
        ['event_loop', 'nanoseconds'],
      ],
      periodType: ['event_loop', 'nanoseconds'],
    },
    memory: {
      types: [
        ['inuse_objects', 'count'],
        ['inuse_space', 'bytes'],
      ],
      periodType: BYTES,
    },
    allocations: { types: [['alloc_space', 'bytes']], periodType: BYTES },
    objects: { types: [['objects', 'count']], periodType: BYTES },
    goroutine: { types: [['goroutine', 'count']], periodType: ['goroutine', 'count'] },
    cpu: { types: [['cpu', 'nanoseconds']] },
  };

  describe('and the names of kinds are the same in the stand-in for', () => {
    for (const protocol of ['ingest', 'connect']) {
      for (const [name, of] of Object.entries(KINDS)) {
        it(`${name}, by ${protocol}`, async () => {
          const standIn = await PyroscopeServer.start();
          await send(standIn.url, protocol, of, {}, name);
          await standIn.close();
          const [{ kinds }] = standIn.uploads;
          const { kind, reason, tenant, service } = await send(
            use.server.url,
            protocol,
            of,
            {},
            name,
          );
          assert.equal(kind, 'delivered', reason);
          const asked = queriesOf(tenant);
          const found = async () => (await asked.kinds(service)).length > 0;
          await eventually('the profile', found, FOUND_SECONDS);
          assert.deepEqual(await asked.kinds(service), [...kinds].sort());
        });
      }
    }
  });
});
