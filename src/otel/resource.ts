/** The name of the service in the application's OpenTelemetry resource. */
import { threadSingleton } from '../util/thread-singleton.js';

interface Resource {
  readonly attributes?: Readonly<Record<string, unknown>>;
  /** Whether detectors are still running. */
  readonly asyncAttributesPending?: boolean;
  /** Since SDK 2: names with values or promises of them; the first value of a name applies. */
  getRawAttributes?(): readonly (readonly [string, unknown])[];
  /** SDK 1: attributes that are known before the detectors have ended. */
  readonly _syncAttributes?: Readonly<Record<string, unknown>>;
}

interface HasResource {
  readonly resource?: Resource;
  /** A provider's, in SDK 2 and later, where it is private. */
  readonly _resource?: Resource;
}

const noted = threadSingleton('service.v1', () => ({
  holder: undefined as HasResource | undefined,
}));

/** Attributes of the resource; undefined where it has none. */
export interface Service {
  readonly name: string | undefined;
  readonly namespace: string | undefined;
}

/** Remembers a tracer provider or a span, if it has a resource. Never throws. */
export function noteResource(holder: object): void {
  try {
    if (resourceOf(holder) !== undefined) noted.holder = holder;
  } catch {
    // An object whose getter throws.
  }
}

/** Whether a resource has been found. */
export function hasResource(): boolean {
  return noted.holder !== undefined;
}

/** Reads the resource at each call: attributes may be detected asynchronously. Never throws. */
export function serviceOfResource(): Service {
  try {
    const resource = noted.holder === undefined ? undefined : resourceOf(noted.holder);
    return {
      name: text(resource && attributeOf(resource, 'service.name')),
      namespace: text(resource && attributeOf(resource, 'service.namespace')),
    };
  } catch {
    return { name: undefined, namespace: undefined };
  }
}

function resourceOf(holder: HasResource): Resource | undefined {
  const resource = holder.resource ?? holder._resource;
  // Without reading `attributes`: see `attributeOf`.
  return typeof resource === 'object' && resource !== null && 'attributes' in resource
    ? resource
    : undefined;
}

/**
 * Returns the value of an attribute, if it is known. While detectors are running, the SDK reports
 * each read of `attributes` as an error, so the raw attributes are read then.
 */
function attributeOf(resource: Resource, name: string): unknown {
  if (resource.asyncAttributesPending !== true) return resource.attributes?.[name];
  if (resource.getRawAttributes === undefined) return resource._syncAttributes?.[name];
  // `text` ignores values that are still promises.
  const known = resource
    .getRawAttributes()
    .find(([key, value]) => key === name && text(value) !== undefined);
  return known?.[1];
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
