/** Options of the push agent: defaults, the environment, and error messages. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Scope, startPyroscope } from 'otelpyroscope';
import { logDiag } from '../../support/diag-log.mjs';

const require = createRequire(import.meta.url);
const {
  readRegisterEnvironment,
  resolvePyroscopeConfig,
} = require('../../../lib/options/pyroscope.js');
const { VERSION } = require('../../../lib/util/version.js');

const base64 = (text) => Buffer.from(text).toString('base64');

describe('PyroscopeConfig', () => {
  const saved = { ...process.env };
  let log;

  const resolveWith = (environment, config) => {
    Object.assign(process.env, environment);
    return resolvePyroscopeConfig(config);
  };

  beforeEach(() => {
    for (const name of Object.keys(process.env)) {
      if (/^(PYROSCOPE|OTEL)_/.test(name)) delete process.env[name];
    }
    log = logDiag();
  });

  afterEach(() => {
    log.close();
    for (const name of Object.keys(process.env)) if (!(name in saved)) delete process.env[name];
    Object.assign(process.env, saved);
  });

  it('has defaults', () => {
    const { profiler, ...resolved } = resolvePyroscopeConfig();
    assert.deepEqual(resolved, {
      enabled: true,
      applicationName: undefined,
      serviceNamespace: undefined,
      serverAddress: 'http://localhost:4040',
      uploadUrl: undefined,
      tags: {},
      headers: {},
      flushIntervalMs: 15_000,
      timeoutMs: 10_000,
      protocol: 'ingest',
      maxLabelValues: 500,
    });
    assert.equal(profiler.intervalMicros, 10_000);
  });

  it('takes every field from the environment', () => {
    const { profiler, ...resolved } = resolveWith({
      PYROSCOPE_APPLICATION_NAME: 'shop',
      PYROSCOPE_SERVER_ADDRESS: 'https://u:p%40@pyroscope.example/base/',
      PYROSCOPE_TAGS: 'zone=a, tier = gold=1 ,',
      PYROSCOPE_TENANT_ID: 'team',
      PYROSCOPE_HTTP_HEADERS: '{"X-More":"yes"}',
      PYROSCOPE_FLUSH_INTERVAL_MS: '5000',
      PYROSCOPE_TIMEOUT_MS: '700',
      PYROSCOPE_PROTOCOL: 'otlp',
      PYROSCOPE_MAX_LABEL_VALUES: '0',
      PYROSCOPE_SAMPLING_INTERVAL_MICROS: '4000',
      PYROSCOPE_SAMPLING_CLOCK: 'precise',
      PYROSCOPE_PROFILING_ENABLED: 'FALSE',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=other,service.namespace=eu%20west',
    });
    assert.deepEqual(resolved, {
      enabled: false,
      applicationName: 'shop',
      serviceNamespace: 'eu west',
      serverAddress: 'https://pyroscope.example/base',
      uploadUrl: undefined,
      tags: { zone: 'a', tier: 'gold=1' },
      headers: {
        'X-More': 'yes',
        'x-scope-orgid': 'team',
        authorization: `Basic ${base64('u:p@')}`,
      },
      flushIntervalMs: 5_000,
      timeoutMs: 700,
      protocol: 'otlp',
      maxLabelValues: 0,
    });
    assert.deepEqual([profiler.intervalMicros, profiler.clock], [4_000, 'precise']);
    assert.deepEqual(log.messages, []);
  });

  it('prefers given options to the environment, and variables of Pyroscope to those of OpenTelemetry', () => {
    const names = () => resolvePyroscopeConfig().applicationName;
    process.env.OTEL_RESOURCE_ATTRIBUTES = 'service.name=three';
    assert.equal(names(), 'three');
    process.env.OTEL_SERVICE_NAME = 'two';
    assert.equal(names(), 'two');
    process.env.PYROSCOPE_APPLICATION_NAME = 'one';
    assert.equal(names(), 'one');
    assert.equal(resolvePyroscopeConfig({ applicationName: 'none' }).applicationName, 'none');
    process.env.PYROSCOPE_TIMEOUT_MS = 'bad, but not read';
    assert.equal(resolvePyroscopeConfig({ timeoutMs: 100 }).timeoutMs, 100);
    assert.deepEqual(log.messages, []);
  });

  it('has one kind of authorization', () => {
    const authorization = (environment, config) =>
      resolveWith(environment, config).headers.authorization;
    assert.equal(authorization({}, { authToken: 't' }), 'Bearer t');
    const basic = { basicAuthUser: 'u', basicAuthPassword: 'p' };
    assert.equal(authorization({}, basic), `Basic ${base64('u:p')}`);
    assert.equal(authorization({ PYROSCOPE_AUTH_TOKEN: 'e' }, basic), `Basic ${base64('u:p')}`);
    assert.equal(authorization({ PYROSCOPE_BASIC_AUTH_USER: 'u' }, { authToken: 't' }), 'Bearer t');
    const headers = { Authorization: 'Own x' };
    assert.deepEqual(resolveWith({}, { headers, authToken: 't' }).headers, headers);
  });

  it('reports wrong values in the environment in one warning, without secrets', () => {
    const { profiler, ...resolved } = resolveWith({
      PYROSCOPE_SERVER_ADDRESS: 'ftp://u:secret@host',
      PYROSCOPE_TAGS: 'zone',
      PYROSCOPE_HTTP_HEADERS: '{"Authorization: secret',
      PYROSCOPE_FLUSH_INTERVAL_MS: '15s',
      PYROSCOPE_TIMEOUT_MS: '1',
      PYROSCOPE_MAX_LABEL_VALUES: '-1',
      PYROSCOPE_PROTOCOL: 'grpc',
      PYROSCOPE_SAMPLING_INTERVAL_MICROS: '10',
      PYROSCOPE_SAMPLING_CLOCK: 'fine',
      PYROSCOPE_PROFILING_ENABLED: 'perhaps',
      OTEL_RESOURCE_ATTRIBUTES: 'service.name=%',
    });
    assert.deepEqual(
      [resolved.serverAddress, resolved.tags, resolved.headers, resolved.flushIntervalMs],
      ['http://localhost:4040', {}, {}, 15_000],
    );
    assert.deepEqual([resolved.timeoutMs, resolved.protocol], [10_000, 'ingest']);
    assert.equal(resolved.maxLabelValues, 500);
    assert.deepEqual([profiler.intervalMicros, resolved.enabled], [10_000, true]);
    assert.equal(profiler.clock, 'auto');
    assert.equal(log.messages.length, 1);
    const [warning] = log.messages;
    for (const name of [
      'SAMPLING_CLOCK',
      'TAGS',
      'HTTP_HEADERS',
      'SERVER_ADDRESS',
      'TIMEOUT_MS',
      'PROTOCOL',
    ]) {
      assert.ok(warning.includes(`PYROSCOPE_${name}: `), warning);
    }
    assert.match(warning, /FLUSH_INTERVAL_MS.*SAMPLING|SAMPLING.*FLUSH_INTERVAL_MS/s);
    assert.match(warning, /OTEL_RESOURCE_ATTRIBUTES: .*PROFILING_ENABLED: /s);
    assert.doesNotMatch(warning, /secret/);
  });

  it('is refused with the name of the wrong option', () => {
    const range = 'RangeError';
    const cases = [
      [{ flushIntervalMs: 999 }, /flushIntervalMs must be .*1000 to 300000, got 999/, range],
      [{ flushIntervalMs: 300_001 }, /flushIntervalMs/, range],
      [{ timeoutMs: 99 }, /timeoutMs must be .*100 to 60000/, range],
      [{ timeoutMs: '5' }, /timeoutMs .*got "5"/],
      [{ intervalMicros: 1 }, /intervalMicros/, range],
      [{ serverAddress: 'http://' }, /serverAddress must be an http: or https: URL/],
      [{ serverAddress: 'http://%zz@host' }, /serverAddress must be an http: or https: URL/],
      [{ applicationName: '' }, /applicationName must not be empty/],
      [{ applicationName: 1 }, /applicationName must be a string/],
      [{ protocol: 'http' }, /protocol must be one of ingest, connect, otlp, got "http"/],
      [{ tags: { 'a-b': 'c' } }, /tags: name "a-b" must match/],
      [{ tags: { span_id: 'c' } }, /span_id/],
      [{ tags: { a: 1 } }, /tags: "a" must be a string/],
      [{ tags: { a: 'x'.repeat(2_049) } }, /tags: a is longer than 2048 bytes/],
      [
        { tags: Object.fromEntries([...'abcdefghijklmnopq'].map((c) => [c, c])) },
        /tags must have at most 16 entries/,
      ],
      [{ tags: [] }, /tags must be an object/],
      [{ headers: { 'a b': 'c' } }, /headers: "a b"/],
      [{ headers: { a: 'secret\n' + 'x' } }, /^headers: "a" or its value is not allowed in HTTP$/],
      [{ authToken: 'a\nb' }, /headers: "authorization"/],
      [
        { authToken: 'a', basicAuthUser: 'b' },
        /authToken and basicAuthUser cannot be given together/,
      ],
      [{ url: 'x' }, /unknown option "url"; accepted are .*serverAddress/],
    ];
    for (const [config, message, name = 'TypeError'] of cases) {
      assert.throws(() => startPyroscope(config), { name, message }, JSON.stringify(config));
    }
  });

  describe('with the variables of OTLP exporters', () => {
    const ENDPOINT = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318/base/' };
    const PROFILES_ENDPOINT = {
      OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT: 'https://u:p@profiles:4319/in?tenant=a',
    };
    const HEADERS = { OTEL_EXPORTER_OTLP_HEADERS: 'api-key=all, Authorization=Bearer%20t%3D1' };
    const OTLP = { protocol: 'otlp' };

    it('takes the server and its headers from them if no server is given', () => {
      const { serverAddress, uploadUrl, headers } = resolveWith({ ...ENDPOINT, ...HEADERS }, OTLP);
      assert.equal(serverAddress, 'http://collector:4318/base');
      assert.equal(uploadUrl, undefined);
      assert.deepEqual(headers, { 'api-key': 'all', Authorization: 'Bearer t=1' });
      assert.deepEqual(log.messages, []);
    });

    it('uses the endpoint for profiles unchanged', () => {
      process.env.OTEL_EXPORTER_OTLP_PROFILES_HEADERS = 'api-key=profiles';
      const variables = {
        ...ENDPOINT,
        ...PROFILES_ENDPOINT,
        ...HEADERS,
        PYROSCOPE_PROTOCOL: 'otlp',
      };
      const { uploadUrl, headers } = resolveWith(variables);
      assert.equal(uploadUrl, 'https://profiles:4319/in?tenant=a');
      assert.deepEqual(headers, {
        'api-key': 'profiles',
        authorization: `Basic ${base64('u:p')}`,
      });
    });

    it('ignores them for other protocols, and if a server is given', () => {
      const variables = { ...ENDPOINT, ...PROFILES_ENDPOINT, ...HEADERS };
      const given = 'http://pyroscope:4040';
      for (const [config, address] of [
        [{}, 'http://localhost:4040'],
        [{ protocol: 'connect' }, 'http://localhost:4040'],
        [{ ...OTLP, serverAddress: given }, given],
      ]) {
        const { serverAddress, uploadUrl, headers } = resolveWith(variables, config);
        assert.deepEqual([serverAddress, uploadUrl, headers], [address, undefined, {}]);
      }
      process.env.PYROSCOPE_SERVER_ADDRESS = given;
      const { serverAddress, uploadUrl, headers } = resolvePyroscopeConfig(OTLP);
      assert.deepEqual([serverAddress, uploadUrl, headers], [given, undefined, {}]);
    });

    it('prefers headers that are given otherwise', () => {
      const { headers } = resolveWith(
        { ...ENDPOINT, ...HEADERS, PYROSCOPE_AUTH_TOKEN: 'own' },
        { ...OTLP, headers: { 'API-Key': 'own' } },
      );
      assert.deepEqual(headers, { 'API-Key': 'own', authorization: 'Bearer own' });
    });

    it('reports wrong ones with the accepted form, without secrets, and has the defaults', () => {
      const { serverAddress, uploadUrl, headers } = resolveWith(
        {
          OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT: 'ftp://u:secret@collector',
          OTEL_EXPORTER_OTLP_ENDPOINT: 'http://u:secret%zz@collector',
          OTEL_EXPORTER_OTLP_PROFILES_HEADERS: 'secret',
          OTEL_EXPORTER_OTLP_HEADERS: 'a=secret%zz',
        },
        OTLP,
      );
      assert.equal(serverAddress, 'http://localhost:4040');
      assert.deepEqual([uploadUrl, headers], [undefined, {}]);
      const [warning, ...others] = log.messages;
      assert.deepEqual(others, []);
      const url = 'must be an http: or https: URL, such as http://collector:4318';
      const pairs = 'must be name=value,name=value with percent-encoded values';
      for (const problem of [
        `OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT: ${url}/v1development/profiles;`,
        `OTEL_EXPORTER_OTLP_ENDPOINT: ${url};`,
        `OTEL_EXPORTER_OTLP_PROFILES_HEADERS: ${pairs}`,
        `OTEL_EXPORTER_OTLP_HEADERS: ${pairs}`,
      ]) {
        assert.ok(warning.includes(problem), warning);
      }
      assert.doesNotMatch(warning, /secret/);
    });

    it('has a server for otelpyroscope/register, with the protocol otlp alone', () => {
      Object.assign(process.env, ENDPOINT);
      assert.equal(readRegisterEnvironment().hasServer, false);
      process.env.PYROSCOPE_PROTOCOL = 'otlp';
      assert.equal(readRegisterEnvironment().hasServer, true);
    });
  });

  it('contains the scopes for otelpyroscope/register, and reports a wrong one', () => {
    process.env.PYROSCOPE_OTEL_SPAN_ID_SCOPE = 'ALL';
    process.env.PYROSCOPE_OTEL_SPAN_NAME_SCOPE = 'some';
    const { labels, enabled, hasServer } = readRegisterEnvironment();
    assert.deepEqual(labels, {
      spanIdScope: Scope.AllSpans,
      spanNameScope: undefined,
      attributeLabels: [],
      cpuTimeAttribute: true,
    });
    assert.deepEqual([enabled, hasServer], [true, false]);
    assert.match(log.messages.join(), /SPAN_NAME_SCOPE: must be none, root or all, got "some"/);
  });

  it('contains the attributes that become labels, and reports wrong ones', () => {
    process.env.PYROSCOPE_OTEL_ATTRIBUTE_LABELS = ' http.route, tenant.id,';
    process.env.PYROSCOPE_OTEL_CPU_TIME_ATTRIBUTE = 'false';
    const { attributeLabels, cpuTimeAttribute } = readRegisterEnvironment().labels;
    assert.deepEqual([attributeLabels, cpuTimeAttribute], [['http.route', 'tenant.id'], false]);
    process.env.PYROSCOPE_OTEL_ATTRIBUTE_LABELS = 'a,b,c,d,e,f,g,h,i';
    assert.deepEqual(readRegisterEnvironment().labels.attributeLabels, []);
    assert.match(log.messages.join(), /ATTRIBUTE_LABELS: attributeLabels must be 8 names at most/);
  });

  it('does not take a name that objects inherit for an option or a value', () => {
    for (const text of ['constructor', '__proto__', 'toString', 'valueOf']) {
      process.env.PYROSCOPE_OTEL_SPAN_ID_SCOPE = text;
      process.env.PYROSCOPE_PROFILING_ENABLED = text;
      const { labels, enabled } = readRegisterEnvironment();
      assert.deepEqual([labels.spanIdScope, enabled], [undefined, true]);
      const warning = log.messages.at(-1);
      assert.ok(
        warning.includes(`SPAN_ID_SCOPE: must be none, root or all, got "${text}"`),
        warning,
      );
      assert.ok(
        warning.includes(`must be true or false, got "${text.toLowerCase()}"`) ||
          warning.includes(`must be true or false, got "${text}"`),
        warning,
      );
    }
  });

  it('accepts tags and headers of every name', () => {
    const given = Object.fromEntries([
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    const environment = {
      PYROSCOPE_TAGS: '__proto__=a,constructor=b',
      PYROSCOPE_HTTP_HEADERS: '{"__proto__":"a","constructor":"b"}',
    };
    for (const resolved of [
      resolveWith(environment),
      resolveWith({}, { tags: given, headers: given }),
    ]) {
      assert.deepEqual(Object.entries(resolved.tags), Object.entries(given));
      assert.deepEqual(Object.entries(resolved.headers), Object.entries(given));
    }
    const attributes = { OTEL_RESOURCE_ATTRIBUTES: '__proto__=x,service.name=a%20b' };
    assert.equal(resolveWith(attributes).applicationName, 'a b');
  });

  it('has the version of package.json for uploads', () => {
    assert.equal(VERSION, require('../../../package.json').version);
  });
});
