/** The OpenTelemetry SDKs of test/compat/sdk/, installed on demand, with one face for all of them. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const folders = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../compat/sdk');

/** The registry that all copies of the api share. */
export const API_GLOBAL = Symbol.for('opentelemetry.js.api.1');

/** Version → the lowest Node (major, minor) that it runs on. */
const versions = { '1.30': [20, 6], '2.0': [20, 6], 2.12: [20, 6], 3.1: [22, 15] };

function isInstalled(folder) {
  const { devDependencies } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  return Object.entries(devDependencies).every(([name, version]) => {
    const manifest = path.join(folder, 'node_modules', name, 'package.json');
    return existsSync(manifest) && JSON.parse(readFileSync(manifest, 'utf8')).version === version;
  });
}

function install(folder) {
  // The workspace's own settings (a prefix, a production mode) must not leak in.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^npm_(config_(?!registry|cache|userconfig)|package_|lifecycle_)/i.test(name),
    ),
  );
  execFileSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--include=dev'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'ignore', 'inherit'],
  });
}

function load(version) {
  const folder = path.join(folders, version);
  if (!isInstalled(folder)) install(folder);
  const require = createRequire(path.join(folder, 'package.json'));
  const api = require('@opentelemetry/api');
  const hooks = require('@opentelemetry/context-async-hooks');
  const core = require('@opentelemetry/core');
  const resources = require('@opentelemetry/resources');
  const isV3 = version.startsWith('3');
  const trace = require(isV3 ? '@opentelemetry/sdk-trace' : '@opentelemetry/sdk-trace-base');
  const Provider = isV3
    ? trace.TracerProvider
    : require('@opentelemetry/sdk-trace-node').NodeTracerProvider;
  return {
    version,
    api,
    suppressTracing: core.suppressTracing,
    unsuppressTracing: core.unsuppressTracing,
    AlwaysOffSampler: trace.AlwaysOffSampler,
    /** Name → class of every asynchronous context manager of this SDK. */
    contextManagers: Object.fromEntries(
      Object.entries(hooks).filter(([name]) => /^Async\w+ContextManager$/.test(name)),
    ),
    StackContextManager: trace.StackContextManager,
    createExporter: () => new trace.InMemorySpanExporter(),
    /** A provider that hands finished sampled spans to `exporter`, after `processors`. */
    createProvider: ({ sampler, exporter, resource, processors = [] } = {}) => {
      const spanProcessors =
        exporter === undefined
          ? processors
          : [...processors, new trace.SimpleSpanProcessor(isV3 ? { exporter } : exporter)];
      const given = Object.entries({ sampler, resource }).filter(([, each]) => each !== undefined);
      return new Provider({ spanProcessors, ...Object.fromEntries(given) });
    },
    /** A resource with attributes, and others that a detector finds later: a promise of each. */
    createResource: (attributes, later) => {
      if (resources.resourceFromAttributes !== undefined) {
        return resources.resourceFromAttributes({ ...later, ...attributes });
      }
      const found = Promise.all(
        Object.entries(later).map(async ([name, value]) => [name, await value]),
      );
      return new resources.Resource(attributes, found.then(Object.fromEntries));
    },
    /** The SDK's own way to make a provider global; SDK 3 leaves it to the api. */
    registerProvider: (provider, contextManager) => {
      if (typeof provider.register === 'function') {
        provider.register({ contextManager });
      } else {
        api.trace.setGlobalTracerProvider(provider);
        if (contextManager !== null) api.context.setGlobalContextManager(contextManager);
      }
    },
    /** Leaves no global of this SDK behind. */
    reset: () => {
      api.context.disable();
      api.trace.disable();
      api.propagation.disable();
      api.diag.disable();
      delete globalThis[API_GLOBAL];
    },
  };
}

/** Every SDK that runs on this Node; says in one line which does not. */
export const sdks = Object.entries(versions)
  .filter(([version, [major, minor]]) => {
    const [nodeMajor, nodeMinor] = process.versions.node.split('.').map(Number);
    const runs = nodeMajor > major || (nodeMajor === major && nodeMinor >= minor);
    if (!runs) {
      console.log(
        `OpenTelemetry SDK ${version} is not tested: it needs Node ${major}.${minor}, this is ${process.version}`,
      );
    }
    return runs;
  })
  .map(([version]) => load(version));
