/** Uses CPU under the name of a request, over awaits: what stacks and labels must say is then known. */
'use strict';

const { setTimeout: sleep } = require('node:timers/promises');

/** CPU of one request in milliseconds, in three parts. */
const MILLIS = 240;

/** Burns as `burn_<id>`; resolves to how much CPU the process has used meanwhile, in milliseconds. */
async function burnAs(id) {
  if (!/^\w+$/.test(id)) throw new Error(`no name: ${id}`);
  // By its name in a string, bundlers and minifiers leave it alone. Too long to be inlined.
  const body = 'x ^= x << 13; x ^= x >>> 17; x ^= x << 5;'.repeat(24);
  const burn = new Function(
    `return function burn_${id}(rounds) { let x = 7; while (rounds-- > 0) { ${body} } return x; }`,
  )();
  const begin = process.cpuUsage();
  for (let part = 0; part < 3; part++) {
    const until = cpuMicros() + (MILLIS * 1_000) / 3;
    while (cpuMicros() < until) burn(500);
    await sleep(2);
  }
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1_000;
}

function cpuMicros() {
  const { user, system } = process.cpuUsage();
  return user + system;
}

module.exports = { burnAs };
