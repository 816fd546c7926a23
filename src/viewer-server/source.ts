/** What the viewer shows: a profile that is there, or the last windows of one that is being taken. */
import { mergeProfiles, type Profile } from '../profile/model.js';
import { readProfile } from '../profile/reader.js';
import type { ProfileRing } from './profile-ring.js';
import { inSlices } from '../util/time-slices.js';

export interface ViewerSource {
  /** What the page is headed with. */
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

/** Reads the windows when somebody looks, and only those that are new then. */
export function ringSource(title: string, ring: ProfileRing): ViewerSource {
  let version = -1;
  let parsed = new Map<Uint8Array, Promise<Profile>>();
  let merged: Promise<Profile> = inSlices(mergeProfiles([]));
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
      merged = Promise.all(parsed.values()).then((profiles) => inSlices(mergeProfiles(profiles)));
      return merged;
    },
  };
}
