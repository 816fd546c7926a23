/**
 * Reads a pprof file into plain objects, and answers what the tests and the demo ask of it. In
 * CommonJS, for the children that require() it: Node.js before 20.19 can require() no ES module.
 */

const { gunzipSync } = require('node:zlib');
const { Profile } = require('pprof-format');

/** The one frame of the CPU that no profiled thread has used. */
const OTHER_THREADS = '(other threads)';

/**
 * @typedef {object} Frame
 * @property {string} name Function name, never empty.
 * @property {string} file Path or URL of the source, '' where there is none.
 * @property {number} line Line being executed, 0 where unknown.
 * @property {number} startLine Line where the function starts, 0 where unknown.
 * @property {boolean} inlined Whether the frame was inlined into the next one of the stack.
 *
 * @typedef {object} ReadSample
 * @property {Frame[]} stack Leaf first.
 * @property {number} count Value of `samples/count`.
 * @property {number} nanos Value of `cpu/nanoseconds`.
 * @property {Record<string, string | number>} labels String labels, and numbers where a label has no string.
 */

/**
 * Decodes gzipped or plain pprof bytes.
 * Throws where an id or a string index points nowhere: a profile that needs guessing is malformed.
 *
 * @param {Uint8Array} bytes
 * @returns {ReadProfile}
 */
function readProfile(bytes) {
  const gzipped = bytes[0] === 0x1f && bytes[1] === 0x8b;
  return new ReadProfile(Profile.decode(gzipped ? gunzipSync(bytes) : bytes));
}

class ReadProfile {
  /** @type {{ type: string, unit: string }[]} Sample types in the order of the file. */
  types;
  /** @type {{ type: string, unit: string } | undefined} */
  periodType;
  /** Nanoseconds of CPU between two samples. */
  period;
  /** Start of the window: nanoseconds since the epoch. */
  timeNanos;
  /** Length of the window in nanoseconds of wall-clock time. */
  durationNanos;
  /** @type {ReadSample[]} */
  samples;
  /** @type {string[]} */
  comments;

  /** @param {Profile} profile */
  constructor(profile) {
    const { strings } = profile.stringTable;
    const text = (index) => {
      const found = strings[Number(index)];
      if (found === undefined) throw new Error(`string ${index} is not in the table`);
      return found;
    };
    const valueType = (type) => ({ type: text(type.type), unit: text(type.unit) });
    if (strings[0] !== '') throw new Error('the string table does not start with an empty string');

    this.types = profile.sampleType.map(valueType);
    this.periodType = profile.periodType && valueType(profile.periodType);
    this.period = Number(profile.period);
    this.timeNanos = Number(profile.timeNanos);
    this.durationNanos = Number(profile.durationNanos);
    this.comments = profile.comment.map(text);

    const column = (type) => {
      const index = this.types.findIndex((candidate) => candidate.type === type);
      if (index < 0) throw new Error(`the profile has no sample type ${type}`);
      return index;
    };
    const countColumn = column('samples');
    const nanosColumn = column('cpu');
    const stacks = readLocations(profile, text);
    this.samples = profile.sample.map((sample) => ({
      stack: sample.locationId.flatMap((id) => byId(stacks, id, 'location')),
      count: Number(sample.value[countColumn]),
      nanos: Number(sample.value[nanosColumn]),
      labels: Object.fromEntries(
        sample.label.map((label) => [
          text(label.key),
          Number(label.str) === 0 ? Number(label.num) : text(label.str),
        ]),
      ),
    }));
  }

  /** CPU of all samples, in nanoseconds. */
  get totalNanos() {
    return this.nanos(() => true);
  }

  /** CPU of the threads that were sampled, without `(other threads)`, in nanoseconds. */
  get sampledNanos() {
    return this.nanos((sample) => !onStack(sample, OTHER_THREADS));
  }

  /** Number of samples taken, signals that the kernel merged included. */
  get totalCount() {
    return sum(this.samples, (sample) => sample.count);
  }

  /**
   * CPU of the samples that `matches` accepts, in nanoseconds.
   * @param {(sample: ReadSample) => boolean} matches
   */
  nanos(matches) {
    return sum(this.samples, (sample) => (matches(sample) ? sample.nanos : 0));
  }

  /**
   * CPU in nanoseconds by the value of one label, most expensive first; the key undefined stands
   * for the samples without that label.
   * @param {string} label
   * @returns {Map<string | undefined, number>}
   */
  nanosBy(label) {
    return this.group((sample) => sample.labels[label]);
  }

  /**
   * The same as fractions of the profile's total, 0 … 1.
   * @param {string} label
   */
  shareBy(label) {
    const total = this.totalNanos;
    return new Map([...this.nanosBy(label)].map(([value, nanos]) => [value, nanos / total]));
  }

  /**
   * CPU in nanoseconds by whatever `key` says of a sample, most expensive first.
   * @template K
   * @param {(sample: ReadSample) => K} key
   * @returns {Map<K, number>}
   */
  group(key) {
    const groups = new Map();
    for (const sample of this.samples) {
      const value = key(sample);
      groups.set(value, (groups.get(value) ?? 0) + sample.nanos);
    }
    return new Map([...groups].sort((a, b) => b[1] - a[1]));
  }

  /** Fraction of the CPU whose stack has a function of this name anywhere (total time), 0 … 1. */
  share(functionName) {
    return this.nanos((sample) => onStack(sample, functionName)) / this.totalNanos;
  }

  /** Like `share`, of the threads that were sampled. */
  sampledShare(functionName) {
    return this.nanos((sample) => onStack(sample, functionName)) / this.sampledNanos;
  }

  /** Fraction of the CPU whose innermost function has this name (self time), 0 … 1. */
  selfShare(functionName) {
    return this.nanos((sample) => sample.stack[0]?.name === functionName) / this.totalNanos;
  }
}

/** Whether a function of this name is anywhere on the sample's stack. */
function onStack(sample, functionName) {
  return sample.stack.some((frame) => frame.name === functionName);
}

function readLocations(profile, text) {
  const functions = new Map(
    profile.function.map((entry) => [
      Number(entry.id),
      { name: text(entry.name), file: text(entry.filename), startLine: Number(entry.startLine) },
    ]),
  );
  return new Map(
    profile.location.map((location) => [
      Number(location.id),
      location.line.map((line, index) => ({
        ...byId(functions, line.functionId, 'function'),
        line: Number(line.line),
        inlined: index < location.line.length - 1,
      })),
    ]),
  );
}

function byId(map, id, what) {
  const found = map.get(Number(id));
  if (found === undefined) throw new Error(`${what} ${id} is not in the profile`);
  return found;
}

function sum(items, value) {
  return items.reduce((total, item) => total + value(item), 0);
}

module.exports = { OTHER_THREADS, ReadProfile, onStack, readProfile };
