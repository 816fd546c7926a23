/** The clocks that decide when samples are taken. */

/** When samples are taken: at the scheduler's ticks, or when the CPU time is used. */
export type SampleClock = 'auto' | 'perf' | 'precise' | 'tick';
/** The clock that is used in fact. */
export type ClockInUse = Exclude<SampleClock, 'auto'>;

/** The part of the metrics that is about the clock; see `ProfilerMetrics`. */
export interface ClockState {
  clock: ClockInUse;
  clockRefusal: string;
}

/**
 * Returns a sentence if the system has refused the clock that was asked for. `auto` asks for none:
 * it takes what there is.
 */
export function refusedClock(
  asked: SampleClock,
  { clock, clockRefusal = '' }: Partial<ClockState>,
): string | undefined {
  if (asked === 'auto' || asked === 'tick' || clock !== 'tick' || clockRefusal === '') {
    return undefined;
  }
  return `the system refuses the clock "${asked}" (${clockRefusal}): samples are taken at its ticks`;
}
