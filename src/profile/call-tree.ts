/** Builds the tree of calls in one or two selections of a profile, no larger than a screen can show (pure). */
import type { ProfileLabels, Profile } from './model.js';
import { FrameGroups, type Selection } from './query.js';

/** Most nodes below the zoomed one. The smallest are left out; their parents' values include them. */
export const MAX_TREE_NODES = 600;
/** Most levels of nodes below the zoomed one. Deeper frames are left out; zooming shows them. */
export const MAX_TREE_DEPTH = 256;
/** Most lines of a node. */
const MAX_LINES = 3;

/** One function called in one way. Values are in the profile's unit, `b`'s 0 without a second selection. */
export interface CallNode {
  /** A hash of name and file, which is the same in every tree, and short enough for a link. */
  readonly key: string;
  readonly name: string;
  readonly file: string;
  /** The lines that ran, of the most value first. */
  readonly lines: readonly number[];
  /** Total values in the first and second selection. */
  readonly a: number;
  readonly b: number;
  /** Self values: of samples whose stack ends here, whether or not the tree has all children. */
  readonly selfA: number;
  readonly selfB: number;
  readonly children: CallNode[];
}

export interface TreeOptions {
  readonly a: Selection;
  readonly b?: Selection;
  /** Whether callers are the children of the functions that they call. */
  readonly inverse?: boolean;
  /** A label whose values are the first level of nodes. */
  readonly split?: string | undefined;
  /** Keys of nodes on the path from below the root to the zoomed one. */
  readonly zoom?: readonly string[];
  readonly maxNodes?: number;
}

interface OpenNode extends Omit<CallNode, 'children'> {
  readonly children: OpenNode[];
  readonly samples: Uint32Array;
  /** Number of samples of the first selection, which come first. */
  readonly countA: number;
  /** Levels between the root and this node. */
  readonly depth: number;
  weight: number;
}

/**
 * Returns the root, or undefined if the zoomed node does not exist. Reads stacks only to the depth of
 * the tree, so its memory is that of the selections.
 */
export function callTree(profile: Profile, options: TreeOptions): CallNode | undefined {
  return new TreeBuilder(profile, options).build();
}

/** Returns the `key` of a CallNode with this name and file. */
export function keyOf(name: string, file: string): string {
  // FNV-1a. Equal keys of different functions would matter only among siblings.
  let hash = 0x811c9dc5;
  const text = `${name}\0${file}`;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0).toString(36);
}

class TreeBuilder {
  readonly #profile: Profile;
  readonly #options: TreeOptions;
  readonly #groups: FrameGroups;
  readonly #splitNames: string[] = [];
  readonly #splitOf: Uint32Array | undefined;
  #totalA = 0;
  #totalB = 0;

  constructor(profile: Profile, options: TreeOptions) {
    this.#profile = profile;
    this.#options = options;
    this.#groups = new FrameGroups(profile, 'function');
    const { split } = options;
    if (split !== undefined) {
      const numbers = new Map<string, number>();
      this.#splitOf = Uint32Array.from(profile.labelSets, (labels: ProfileLabels) => {
        const value = labels.get(split) ?? '(none)';
        const number = numbers.get(value) ?? this.#splitNames.push(value) - 1;
        numbers.set(value, number);
        return number;
      });
    }
  }

  build(): CallNode | undefined {
    const { a, b = new Uint32Array(0), zoom = [] } = this.#options;
    const samples = new Uint32Array(a.length + b.length);
    samples.set(a);
    samples.set(b, a.length);
    const root = this.#node('', 'all', '', samples, a.length, 0);
    this.#totalA = root.a;
    this.#totalB = root.b;
    let zoomed = root;
    for (const key of zoom) {
      const child = this.#childrenOf(zoomed).find((candidate) => candidate.key === key);
      if (child === undefined) return undefined;
      zoomed.children.push(child);
      zoomed = child;
    }
    this.#grow(zoomed);
    return strip(root);
  }

  /** Adds the descendants that are wide enough, but no more than `max`, the widest first. */
  #grow(top: OpenNode): void {
    const max = this.#options.maxNodes ?? MAX_TREE_NODES;
    const least = this.#weigh(top) / max;
    const found: { parent: OpenNode; node: OpenNode }[] = [];
    let level = [top];
    for (let depth = 0; depth < MAX_TREE_DEPTH && level.length > 0; depth++) {
      const next: OpenNode[] = [];
      for (const parent of level) {
        for (const node of this.#childrenOf(parent)) {
          if (this.#weigh(node) < least || node.weight === 0) continue;
          found.push({ parent, node });
          next.push(node);
        }
      }
      level = next;
    }
    // A child weighs no more than its parent and comes after it, so the parent is among the first too.
    found.sort((x, y) => y.node.weight - x.node.weight);
    for (const { parent, node } of found.slice(0, max)) parent.children.push(node);
  }

  /** Sets the node's width, to which both selections contribute equally, whatever their size. */
  #weigh(node: OpenNode): number {
    const a = this.#totalA === 0 ? 0 : Math.abs(node.a / this.#totalA);
    const b = this.#totalB === 0 ? 0 : Math.abs(node.b / this.#totalB);
    node.weight = a + b;
    return node.weight;
  }

  #childrenOf(node: OpenNode): OpenNode[] {
    const members = new Map<number, { samples: number[]; countA: number }>();
    for (let i = 0; i < node.samples.length; i++) {
      const sample = node.samples[i] as number;
      const group = this.#groupAt(sample, node.depth);
      if (group === undefined) continue;
      const member = members.get(group) ?? { samples: [], countA: 0 };
      member.samples.push(sample);
      if (i < node.countA) member.countA++;
      members.set(group, member);
    }
    const isSplit = node.depth === 0 && this.#splitOf !== undefined;
    return [...members].map(([group, { samples, countA }]) => {
      const { name, file } = isSplit
        ? { name: this.#splitNames[group] as string, file: '' }
        : this.#groups.describe(group);
      const key = keyOf(name, file);
      return this.#node(key, name, file, Uint32Array.from(samples), countA, node.depth + 1);
    });
  }

  /** Returns the group of the sample's frame at a depth of the tree, or undefined behind the stack's end. */
  #groupAt(sample: number, depth: number): number | undefined {
    if (this.#splitOf !== undefined && depth === 0) {
      return this.#splitOf[this.#profile.labelSetOf[sample] as number];
    }
    const frame = this.#frameAt(sample, depth);
    return frame === undefined ? undefined : this.#groups.of[frame];
  }

  #frameAt(sample: number, depth: number): number | undefined {
    const { stackStarts, stacks } = this.#profile;
    const level = this.#splitOf === undefined ? depth : depth - 1;
    const begin = stackStarts[sample] as number;
    const end = stackStarts[sample + 1] as number;
    if (level < 0 || level >= end - begin) return undefined;
    return this.#options.inverse === true ? stacks[begin + level] : stacks[end - 1 - level];
  }

  #node(
    key: string,
    name: string,
    file: string,
    samples: Uint32Array,
    countA: number,
    depth: number,
  ): OpenNode {
    const sums = { a: 0, b: 0, selfA: 0, selfB: 0 };
    const lines = new Map<number, number>();
    for (let i = 0; i < samples.length; i++) {
      const sample = samples[i] as number;
      const value = this.#profile.values[sample] as number;
      const ends = this.#groupAt(sample, depth) === undefined;
      if (i < countA) {
        sums.a += value;
        if (ends) sums.selfA += value;
      } else {
        sums.b += value;
        if (ends) sums.selfB += value;
      }
      const frame = depth === 0 ? undefined : this.#frameAt(sample, depth - 1);
      const line = frame === undefined ? 0 : (this.#profile.lineOf[frame] as number);
      if (line > 0) lines.set(line, (lines.get(line) ?? 0) + value);
    }
    const most = [...lines].sort((x, y) => y[1] - x[1]).slice(0, MAX_LINES);
    return {
      ...{ key, name, file, ...sums },
      lines: most.map(([line]) => line),
      ...{ children: [], samples, countA, depth, weight: 0 },
    };
  }
}

function strip(node: OpenNode): CallNode {
  const { key, name, file, lines, a, b, selfA, selfB, children } = node;
  return { key, name, file, lines, a, b, selfA, selfB, children: children.map(strip) };
}
