/** The options of the Pyroscope agent: types, defaults, checks, and environment variables. */
import {
  asText,
  Environment,
  parseFlag,
  parseJson,
  parseNames,
  parseNumber,
  parseOtlpHeaders,
  parsePairs,
  parseResourceAttributes,
  parseScope,
} from './environment.js';
import {
  attributeLabels,
  checkNames,
  checkStripFilenames,
  CPU_OPTION_NAMES,
  describe,
  flag,
  integer,
  readEnvironment,
  resolveCpuProfilerOptions,
  sampleClock,
  type CpuProfilerOptions,
  type LabelOptions,
  type ResolvedCpuProfilerOptions,
  type Scope,
} from './options.js';
import { checkAddress, hasOtlpEndpoint, readOtlpAddress, type Address } from './server-address.js';

/** How profiles are uploaded. */
export type PyroscopeProtocol = 'ingest' | 'connect' | 'otlp';

/** The server, and the name and labels of profiles. Each option defaults to its variable. */
export interface PyroscopeConfig extends CpuProfilerOptions {
  /** `PYROSCOPE_APPLICATION_NAME`, `OTEL_SERVICE_NAME`, the resource's `service.name`. */
  applicationName?: string | undefined;
  /**
   * `PYROSCOPE_SERVER_ADDRESS`; with the protocol `otlp` also `OTEL_EXPORTER_OTLP_PROFILES_ENDPOINT`
   * and `OTEL_EXPORTER_OTLP_ENDPOINT`. Default http://localhost:4040.
   */
  serverAddress?: string | undefined;
  /** Labels of every profile: at most 16. `PYROSCOPE_TAGS`: k=v,k=v. */
  tags?: Record<string, string> | undefined;
  /** Bearer token. `PYROSCOPE_AUTH_TOKEN`. */
  authToken?: string | undefined;
  /** `PYROSCOPE_BASIC_AUTH_USER`. */
  basicAuthUser?: string | undefined;
  /** `PYROSCOPE_BASIC_AUTH_PASSWORD`. */
  basicAuthPassword?: string | undefined;
  /** Header `X-Scope-OrgID`. `PYROSCOPE_TENANT_ID`. */
  tenantId?: string | undefined;
  /**
   * Sent with every upload. `PYROSCOPE_HTTP_HEADERS`: a JSON object. With the protocol `otlp`, and
   * without a `serverAddress`, also those of `OTEL_EXPORTER_OTLP_PROFILES_HEADERS` or
   * `OTEL_EXPORTER_OTLP_HEADERS`.
   */
  headers?: Record<string, string> | undefined;
  /** Length of a profile in ms: 1_000 … 300_000. Default 15_000. `PYROSCOPE_FLUSH_INTERVAL_MS`. */
  flushIntervalMs?: number | undefined;
  /** Limit of one try to upload, in ms: 100 … 60_000. Default 10_000. `PYROSCOPE_TIMEOUT_MS`. */
  timeoutMs?: number | undefined;
  /** Default `ingest`. `PYROSCOPE_PROTOCOL`. */
  protocol?: PyroscopeProtocol | undefined;
  /**
   * Values of one label name uploaded in an hour: 0 … 100_000; what comes after is `(other)`, and
   * span and trace ids stay. 0: no limit. Default 500. `PYROSCOPE_MAX_LABEL_VALUES`.
   */
  maxLabelValues?: number | undefined;
}

/** `PyroscopeConfig` and its environment, checked, with every default filled in. */
export interface ResolvedPyroscopeConfig {
  /** False if `PYROSCOPE_PROFILING_ENABLED` is false. */
  readonly enabled: boolean;
  /** Undefined if only the resource of a tracer provider may contain it. */
  readonly applicationName: string | undefined;
  readonly serviceNamespace: string | undefined;
  /** Without a trailing slash, user information, query and fragment. */
  readonly serverAddress: string;
  /** The whole URL of an upload, which replaces `serverAddress` and the protocol's path. */
  readonly uploadUrl: string | undefined;
  readonly tags: Readonly<Record<string, string>>;
  /** The user's headers, authorization, and tenant. */
  readonly headers: Readonly<Record<string, string>>;
  readonly flushIntervalMs: number;
  readonly timeoutMs: number;
  readonly protocol: PyroscopeProtocol;
  readonly maxLabelValues: number;
  readonly profiler: ResolvedCpuProfilerOptions;
}

/** Pyroscope accepts 30 label names in a series; the others are the server's and the samples'. */
export const MAX_TAGS = 16;
const MAX_TAG_BYTES = 2_048;
/** Pyroscope refuses stacks of more than 1,000 frames; `(truncated)` is one of them. */
const MAX_PYROSCOPE_FRAMES = 999;
const TAG_NAME = /^[A-Za-z_][A-Za-z0-9_.]{0,1023}$/;
export const DEFAULT_MAX_LABEL_VALUES = 500;
const RESERVED_TAGS = ['__name__', 'profile_id', 'span_id', 'trace_id', 'thread_name'];
const PROTOCOLS = ['ingest', 'connect', 'otlp'];
const SERVER_ADDRESS = 'PYROSCOPE_SERVER_ADDRESS';

const OPTION_NAMES = [
  ...CPU_OPTION_NAMES,
  'applicationName',
  'serverAddress',
  'tags',
  'authToken',
  'basicAuthUser',
  'basicAuthPassword',
  'tenantId',
  'headers',
  'flushIntervalMs',
  'timeoutMs',
  'protocol',
  'maxLabelValues',
];

/**
 * Checks `config`, takes missing options from the environment, and fills in the defaults. Throws a
 * TypeError or RangeError that names a wrong option. Wrong values in the environment are listed in
 * one `diag.warn` and replaced by the default.
 */
export function resolvePyroscopeConfig(config: PyroscopeConfig = {}): ResolvedPyroscopeConfig {
  checkNames(config, OPTION_NAMES, () => false);
  const environment = new Environment();
  const millis = (name: 'flushIntervalMs' | 'timeoutMs', variable: string, range: number[]) => {
    const [fallback, min, max] = range as [number, number, number];
    const check = (value: unknown): number => integer(name, value, fallback, min, max);
    return environment.option(config[name], variable, parseNumber, check);
  };
  const text = (name: keyof PyroscopeConfig, variable: string): string | undefined =>
    environment.option(config[name], variable, asText, (value) => nonEmpty(name, value));

  const resourceAttributes = environment.option(
    undefined,
    'OTEL_RESOURCE_ATTRIBUTES',
    parseResourceAttributes,
    (value) => (value ?? {}) as Record<string, string>,
  );
  const protocol = environment.option(config.protocol, 'PYROSCOPE_PROTOCOL', asText, checkProtocol);
  // OpenTelemetry's headers belong to its endpoint: no other server may get them.
  const useOtlpVariables =
    protocol === 'otlp' &&
    config.serverAddress === undefined &&
    readEnvironment(SERVER_ADDRESS) === undefined;
  const address = useOtlpVariables
    ? readOtlpAddress(environment)
    : environment.option(config.serverAddress, SERVER_ADDRESS, asText, checkAddress);
  const otlpHeaders = useOtlpVariables ? readOtlpHeaders(environment) : {};
  const { intervalMicros, maxFrames, lineNumbers, sourceMaps } = config;
  const cpu = {
    clock: environment.option(config.clock, 'PYROSCOPE_SAMPLING_CLOCK', asText, sampleClock),
    maxFrames,
    lineNumbers,
    sourceMaps,
    stripFilenames: environment.option(
      config.stripFilenames,
      'PYROSCOPE_STRIP_FILENAMES',
      asText,
      checkStripFilenames,
    ),
    shortenPaths: environment.option(
      config.shortenPaths,
      'PYROSCOPE_SHORTEN_PATHS',
      parseFlag,
      (value) => flag('shortenPaths', value, false),
    ),
  };
  const profiler = environment.option(
    intervalMicros,
    'PYROSCOPE_SAMPLING_INTERVAL_MICROS',
    parseNumber,
    (value) => resolveCpuProfilerOptions({ ...cpu, intervalMicros: value as number }),
  );
  const resolved = {
    enabled: environment.option(undefined, ENABLED, parseFlag, (value) =>
      flag('profiling', value, true),
    ),
    applicationName:
      text('applicationName', 'PYROSCOPE_APPLICATION_NAME') ??
      readEnvironment('OTEL_SERVICE_NAME') ??
      resourceAttributes['service.name'],
    serviceNamespace: resourceAttributes['service.namespace'],
    serverAddress: address.base,
    uploadUrl: address.uploadUrl,
    tags: environment.option(config.tags, 'PYROSCOPE_TAGS', parsePairs, checkTags),
    headers: addMissing(headersOf(config, environment, text, address), otlpHeaders),
    flushIntervalMs: millis(
      'flushIntervalMs',
      'PYROSCOPE_FLUSH_INTERVAL_MS',
      [15_000, 1_000, 300_000],
    ),
    timeoutMs: millis('timeoutMs', 'PYROSCOPE_TIMEOUT_MS', [10_000, 100, 60_000]),
    protocol,
    maxLabelValues: environment.option(
      config.maxLabelValues,
      'PYROSCOPE_MAX_LABEL_VALUES',
      parseNumber,
      (value) => integer('maxLabelValues', value, DEFAULT_MAX_LABEL_VALUES, 0, 100_000),
    ),
    profiler: { ...profiler, maxFrames: Math.min(profiler.maxFrames, MAX_PYROSCOPE_FRAMES) },
  };
  environment.report();
  return resolved;
}

const ENABLED = 'PYROSCOPE_PROFILING_ENABLED';

/** The environment's settings for `otelpyroscope/register`. */
export interface RegisterEnvironment {
  readonly enabled: boolean;
  readonly hasServer: boolean;
  readonly labels: LabelOptions;
}

/** Never throws: wrong values are listed in one `diag.warn` and replaced by the default. */
export function readRegisterEnvironment(): RegisterEnvironment {
  const environment = new Environment();
  const scopeOf = (variable: string): Scope | undefined =>
    environment.option(undefined, variable, parseScope, (value) => value as Scope | undefined);
  const read = {
    enabled: environment.option(undefined, ENABLED, parseFlag, (value) =>
      flag('profiling', value, true),
    ),
    hasServer:
      readEnvironment(SERVER_ADDRESS) !== undefined ||
      (readEnvironment('PYROSCOPE_PROTOCOL') === 'otlp' && hasOtlpEndpoint()),
    labels: {
      spanIdScope: scopeOf('PYROSCOPE_OTEL_SPAN_ID_SCOPE'),
      spanNameScope: scopeOf('PYROSCOPE_OTEL_SPAN_NAME_SCOPE'),
      attributeLabels: environment.option(
        undefined,
        'PYROSCOPE_OTEL_ATTRIBUTE_LABELS',
        parseNames,
        attributeLabels,
      ),
      cpuTimeAttribute: environment.option(
        undefined,
        'PYROSCOPE_OTEL_CPU_TIME_ATTRIBUTE',
        parseFlag,
        (value) => flag('cpuTimeAttribute', value, true),
      ),
    },
  };
  // If an agent is started, its configuration reports a wrong switch again; `warnOnce` drops that.
  environment.report();
  return read;
}

function readOtlpHeaders(environment: Environment): Record<string, string> {
  const read = (variable: string, fallback: () => Record<string, string>): Record<string, string> =>
    environment.option(undefined, variable, parseOtlpHeaders, (headers) =>
      headers === undefined ? fallback() : checkHeaders(headers),
    );
  return read('OTEL_EXPORTER_OTLP_PROFILES_HEADERS', () =>
    read('OTEL_EXPORTER_OTLP_HEADERS', () => ({})),
  );
}

function headersOf(
  config: PyroscopeConfig,
  environment: Environment,
  text: (name: keyof PyroscopeConfig, variable: string) => string | undefined,
  address: Address,
): Record<string, string> {
  if (config.authToken !== undefined && config.basicAuthUser !== undefined) {
    throw new TypeError('authToken and basicAuthUser cannot be given together');
  }
  const headers = environment.option(
    config.headers,
    'PYROSCOPE_HTTP_HEADERS',
    parseJson,
    checkHeaders,
  );
  const user = text('basicAuthUser', 'PYROSCOPE_BASIC_AUTH_USER') ?? address.user;
  const password = text('basicAuthPassword', 'PYROSCOPE_BASIC_AUTH_PASSWORD') ?? address.password;
  const tenant = text('tenantId', 'PYROSCOPE_TENANT_ID');
  const given = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  if (!given.has('authorization')) {
    const token = text('authToken', 'PYROSCOPE_AUTH_TOKEN');
    const chosen = config.authToken ?? (config.basicAuthUser === undefined ? token : undefined);
    if (chosen !== undefined) headers.authorization = `Bearer ${chosen}`;
    else if (user !== '') headers.authorization = basicAuth(user, password);
  }
  if (tenant !== undefined && !given.has('x-scope-orgid')) headers['x-scope-orgid'] = tenant;
  return checkHeaders(headers);
}

/** Returns `headers`, and those of `others` whose names it does not have. */
function addMissing(
  headers: Record<string, string>,
  others: Record<string, string>,
): Record<string, string> {
  const names = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  const missing = Object.entries(others).filter(([name]) => !names.has(name.toLowerCase()));
  return { ...Object.fromEntries(missing), ...headers };
}

function basicAuth(user: string, password: string): string {
  return `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
}

function checkHeaders(value: unknown): Record<string, string> {
  const headers = entriesOf('headers', value);
  for (const [name, text] of headers) {
    try {
      new Headers([[name, text]]);
    } catch {
      // The error message of Headers repeats the value, which may be a secret.
      throw new TypeError(`headers: ${describe(name)} or its value is not allowed in HTTP`);
    }
  }
  return Object.fromEntries(headers);
}

function checkTags(value: unknown): Record<string, string> {
  const tags: [string, string][] = [];
  for (const [name, text] of entriesOf('tags', value)) {
    if (!TAG_NAME.test(name) || RESERVED_TAGS.includes(name)) {
      throw new TypeError(
        `tags: name ${describe(name)} must match [A-Za-z_][A-Za-z0-9_.]* and not be ${RESERVED_TAGS.join(', ')}`,
      );
    }
    if (Buffer.byteLength(text) > MAX_TAG_BYTES) {
      throw new TypeError(`tags: ${name} is longer than ${String(MAX_TAG_BYTES)} bytes`);
    }
    if (text !== '') tags.push([name, text]);
  }
  if (tags.length > MAX_TAGS) {
    throw new TypeError(`tags must have at most ${String(MAX_TAGS)} entries`);
  }
  return Object.fromEntries(tags);
}

function checkProtocol(value: unknown): PyroscopeProtocol {
  if (value === undefined) return 'ingest';
  if (PROTOCOLS.includes(value as string)) return value as PyroscopeProtocol;
  throw new TypeError(`protocol must be one of ${PROTOCOLS.join(', ')}, got ${describe(value)}`);
}

function nonEmpty(name: string, value: unknown): string | undefined {
  if (value === undefined) return undefined;
  // Without the value: some options are secrets.
  if (typeof value !== 'string') throw new TypeError(`${name} must be a string`);
  if (value.trim() === '') throw new TypeError(`${name} must not be empty`);
  return value;
}

function entriesOf(name: string, value: unknown): [string, string][] {
  if (value === undefined) return [];
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(`${name} must be an object of strings`);
  }
  const entries = Object.entries(value as Record<string, unknown>);
  for (const [key, text] of entries) {
    if (typeof text !== 'string') throw new TypeError(`${name}: ${describe(key)} must be a string`);
  }
  return entries as [string, string][];
}
