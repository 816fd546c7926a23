/** Profiles made to harm who reads them: damaged at random, and small ones that stand for endlessly much. */

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { field, message, minimal } from '../support/make-message.mjs';
import { messageOf, runCode, runNode } from '../support/run-child.mjs';
import { ALL, program, SEED, torture, tortures } from './torture.mjs';

const INPUTS = ALL ? 4_000 : 400;
/** Memory of a process that reads inputs of 1 MiB, many of which stand for much more. */
const MAX_DAMAGED_MEGABYTES = 700;
/** Memory of one that unpacks 192 MiB: these, the largest column and its half before it has grown. */
const MAX_BOMB_MEGABYTES = 1_400;
const UNPACKED_BYTES = 192 << 20;
const CHUNK_BYTES = 16 << 20;

const range = (count, make) => Array.from({ length: count }, (_, i) => make(i));
const one = [4, message([1, 1], [4, message([1, 1])])];
const ones = (count) => Buffer.alloc(count, 1);
const TEXT = 5;
/** The beginning of a profile, the field that is repeated after it, and how that is refused; or undefined. */
const bombs = {
  'short strings': [minimal(), field(6, ''), /strings/],
  'long strings': [minimal(), field(6, 'é'.repeat(2_000)), undefined],
  'stacks of ten thousand frames': [
    minimal(one),
    field(2, message([1, ones(10_000)], [2, 1])),
    /67000000 frames/,
  ],
  'samples of many values': [
    minimal(one, ...range(63, () => [1, message([1, 1], [2, 2])])),
    field(2, message([1, 1], [2, ones(64)])),
    /samples|values/,
  ],
  'locations of ten thousand lines': [
    minimal(),
    field(4, message([1, 1], ...range(10_000, () => [4, '']))),
    /lines/,
  ],
  'samples of many labels': [
    minimal(one),
    field(2, message([1, 1], [2, 1], ...range(256, () => [3, '']))),
    /labels/,
  ],
  'labels of long texts': [
    minimal(one, ...range(256, (i) => [6, `${i}`.padEnd(4_000)])),
    // They differ by the number of one label, and are large, so that there are not too many labels.
    Buffer.concat(
      range(800, (number) =>
        field(
          2,
          message(
            [15, ones(20_000)],
            [1, 1],
            [2, 1],
            [3, message([1, 1], [3, number + 1])],
            ...range(255, (i) => [3, message([1, TEXT + i], [2, TEXT + i])]),
          ),
        ),
      ),
    ),
    /characters of labels/,
  ],
};

tortures('torture by damaged profiles', function () {
  torture(`is survived: ${INPUTS} of them`, { short: true }, async () => {
    const counts = await messageOf(
      runNode([program('reader.mjs'), String(INPUTS), String(SEED)], {
        timeoutMs: ALL ? 500_000 : 55_000,
      }),
    );
    const { read, refused, slowestMs, maxMegabytes, messages } = counts;
    const kinds = Object.keys(messages).length;
    console.log(
      `      seed ${SEED}: ${read} read, ${refused} refused for ${kinds} reasons; ` +
        `${slowestMs} ms at most, ${maxMegabytes} MiB`,
    );
    assert.ok(read > INPUTS / 20 && refused > INPUTS / 4, JSON.stringify(counts));
    assert.ok(maxMegabytes < MAX_DAMAGED_MEGABYTES, JSON.stringify(counts));
  });

  for (const [name, [begin, repeated, refused]] of Object.entries(bombs)) {
    torture(`is survived: ${UNPACKED_BYTES >> 20} MiB of ${name}`, { once: true }, async () => {
      const directory = mkdtempSync(path.join(os.tmpdir(), 'bomb-'));
      try {
        const file = path.join(directory, 'bomb.pb.gz');
        const chunk = Buffer.alloc(
          Math.ceil(CHUNK_BYTES / repeated.length) * repeated.length,
          repeated,
        );
        // Members of gzip one after the other are one file.
        const members = range(Math.floor(UNPACKED_BYTES / chunk.length), () => chunk);
        const packed = gzipSync(chunk);
        writeFileSync(file, Buffer.concat([gzipSync(begin), ...members.map(() => packed)]));
        const code = `
          const { readProfile } = require('./lib/profile/reader.js');
          readProfile(require('node:fs').readFileSync(${JSON.stringify(file)})).then(
            () => undefined,
            ({ message, constructor }) => ({ message, name: constructor.name }),
          ).then((error) => {
            process.send({ error, megabytes: process.resourceUsage().maxRSS / 1024 });
            process.disconnect();
          });`;
        const { error, megabytes } = await messageOf(
          runCode(code, { flags: ['--max-old-space-size=1024'], timeoutMs: 200_000 }),
        );
        if (refused === undefined) assert.equal(error, undefined);
        else assert.equal(error.name, 'ProfileReadError', error.message);
        if (refused !== undefined) assert.match(error.message, refused);
        assert.ok(megabytes < MAX_BOMB_MEGABYTES, `${megabytes} MiB`);
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});
