/** Waits for the clock of a profiler, which another thread opens. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Resolves once the running profiler has the clock that was asked for, or has been refused it. */
export async function clockInUse(profiler, asked) {
  for (let i = 0; asked !== 'tick' && i < 2_000; i++) {
    const { clock, clockRefusal } = profiler.metrics();
    if (clock !== 'tick' || clockRefusal !== '') return;
    await sleep(1);
  }
}
