/** The profile that the viewer shows: that of a file, or the last windows of the running process. */
import { mergeProfiles, type Profile } from '../profile/model.js';
import { readProfile } from '../profile/reader.js';
import type { ProfileRing } from './profile-ring.js';
import type { ProfileType } from '../util/profile-types.js';
import { inSlices } from '../util/time-slices.js';

export interface ViewerSource {
  /** The heading of the page. */
  readonly title: string;
  /** Whether the profile changes. */
  readonly live: boolean;
  /** Changes when the profile does. */
  readonly version: number;
  load(): Promise<Profile>;
}

export function fileSource(title: string, profile: Profile): ViewerSource {
  return { title, live: false, version: 1, load: () => Promise.resolve(profile) };
}

/** The windows in `ring`, profiles of `type`. They are decoded at a request, each of them once. */
export function ringSource(title: string, type: ProfileType, ring: ProfileRing): ViewerSource {
  let version = -1;
  let parsed = new Map<Uint8Array, Promise<Profile>>();
  const merge = (profiles: readonly Profile[]): Promise<Profile> =>
    inSlices(mergeProfiles(type.main, profiles));
  let merged = merge([]);
  return {
    title,
    live: true,
    get version() {
      return ring.version;
    },
    load() {
      if (version === ring.version) return merged;
      version = ring.version;
      parsed = new Map(
        ring.windows.map((bytes) => [bytes, parsed.get(bytes) ?? readProfile(bytes)]),
      );
      merged = Promise.all(parsed.values()).then(merge);
      return merged;
    },
  };
}
