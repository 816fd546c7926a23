/** Reads the profiles of all profilers into samples of CPU time. */

import { gunzipSync } from 'node:zlib';
import { Profile } from 'pprof-format';

/**
 * @typedef {object} CpuSample
 * @property {string[]} names Names of the functions, leaf first.
 * @property {number} micros CPU time, or wall-clock time if the profiler has no other.
 * @property {Record<string, string>} labels
 */

/** @returns {CpuSample[]} */
export function readAnyProfile(mode, bytes) {
  const plain = bytes[0] === 0x1f && bytes[1] === 0x8b ? gunzipSync(bytes) : bytes;
  if (mode === 'inspector') return readInspector(JSON.parse(plain));
  const samples = readPprof(Profile.decode(plain));
  // Pyroscope's names are `file:function:line`.
  const bare = (name) => /([^:]*):\d+$/.exec(name)?.[1] ?? name;
  if (mode !== 'pyroscope') return samples;
  return samples.map((sample) => ({ ...sample, names: sample.names.map(bare) }));
}

function readPprof(profile) {
  const text = (index) => profile.stringTable.strings[Number(index)];
  const types = profile.sampleType.map(({ type }) => text(type));
  const column = types.includes('cpu') ? types.indexOf('cpu') : types.indexOf('wall');
  const functions = new Map(profile.function.map((entry) => [Number(entry.id), text(entry.name)]));
  const stacks = new Map(
    profile.location.map(({ id, line }) => [
      Number(id),
      line.map(({ functionId }) => functions.get(Number(functionId))),
    ]),
  );
  return profile.sample.map(({ locationId, value, label }) => ({
    names: locationId.flatMap((id) => stacks.get(Number(id))),
    micros: Number(value[column]) / 1_000,
    labels: Object.fromEntries(label.map(({ key, str }) => [text(key), text(str)])),
  }));
}

/** Format: https://chromedevtools.github.io/devtools-protocol/tot/Profiler/#type-Profile */
function readInspector({ nodes, samples, timeDeltas }) {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  for (const node of nodes) for (const id of node.children ?? []) byId.get(id).parent = node;
  const namesOf = (node) =>
    node === undefined ? [] : [node.callFrame.functionName, ...namesOf(node.parent)];
  return samples
    .map((id, i) => ({ names: namesOf(byId.get(id)), micros: timeDeltas[i], labels: {} }))
    .filter(({ names }) => names[0] !== '(idle)');
}
