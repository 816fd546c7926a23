/**
 * Profiles a program at a high rate, and sends what the profiles say beside what is known.
 *
 * By convention a function `task_<x>…` runs under the label `task: <x>`, or is called by one that
 * runs under its own; see ./work.mjs.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { CpuProfiler } from 'otelpyroscope';
import { OTHER_THREADS, readProfile } from '../../support/read-profile.mjs';
import { mainThreadNanos, processMicros } from '../../support/thread-cpu.mjs';

const COLLECT_MS = 200;
const TASK = /^task_([a-z]+|\d+)/;

/** A storm of the timer's signals (preload.cc) has samples by the clock that takes one at each. */
const clock = process.env.TORTURE_CLOCK ?? (process.env.TORTURE_STORM_MICROS ? 'tick' : undefined);
const cpu = () => ({ process: processMicros(), thread: mainThreadNanos() / 1e3 });

export class Tortured {
  profiler = new CpuProfiler({ intervalMicros: 1_000, clock });
  report = {
    pid: process.pid,
    samples: 0,
    labelled: 0,
    missing: 0,
    wrong: [],
    wrongSamples: 0,
    frames: 0,
    unresolved: 0,
    windows: 0,
    profileMicros: 0,
    sampledMicros: 0,
  };
  /** The clocks before the profile's begin and after it: it may take long on a busy machine. */
  #begin = [];
  #alone;

  /** @param {{ alone?: boolean }} [options] alone: no task's function calls another task's. */
  constructor({ alone = false } = {}) {
    this.#alone = alone;
  }

  start() {
    this.#begin = [cpu()];
    this.profiler.start();
    this.#begin.push(cpu());
  }

  async collect() {
    this.#check(readProfile(await this.profiler.collect()));
  }

  /** Ends the profile; returns the report. */
  async stop() {
    const [before, after] = this.#begin;
    const least = cpu();
    const bytes = await this.profiler.stop();
    const most = cpu();
    const between = (name) => [least[name] - after[name], most[name] - before[name]];
    this.report.processMicros = between('process');
    this.report.threadMicros = between('thread');
    this.#check(readProfile(bytes));
    this.report.wrong = [...new Set(this.report.wrong)].slice(0, 10);
    this.report.metrics = this.profiler.metrics();
    return this.report;
  }

  /**
   * Starts, works while it collects again and again, stops, and sends the report.
   * @param {() => unknown} work
   * @param {() => object} [more] What else is in the report, asked for at the end.
   */
  async run(work, more) {
    this.start();
    let over = false;
    const working = Promise.resolve(work()).finally(() => (over = true));
    while (!over) {
      await Promise.race([sleep(COLLECT_MS), working]);
      await this.collect();
    }
    await working;
    await this.send(more?.());
  }

  async send(more = {}) {
    const report = { ...(await this.stop()), ...more };
    await new Promise((resolve) => process.send(report, resolve));
    process.disconnect();
  }

  #check(profile) {
    const { report } = this;
    report.windows++;
    report.profileMicros += profile.totalNanos / 1e3;
    report.sampledMicros += profile.sampledNanos / 1e3;
    for (const { stack, labels, count } of profile.samples) {
      if (stack[0]?.name === OTHER_THREADS) continue;
      report.samples += count;
      // A recursion, of known functions or unknown ones, counts once.
      const names = stack.map(({ name }) => name).filter((name, i, all) => name !== all[i - 1]);
      report.frames += count * names.length;
      if (labels.task !== undefined) report.labelled += count;
      if (process.env.TORTURE_STACKS && names.includes('(unresolved)')) {
        console.log(count, names.join(' < '));
      }
      report.unresolved += count * names.filter((name) => name === '(unresolved)').length;
      const tasks = names.filter((name) => TASK.test(name));
      if (tasks.length === 0) continue;
      if (labels.task === undefined) report.missing += count;
      else {
        const known = this.#alone ? tasks : tasks.slice(-1);
        const wrong = known.find((name) => TASK.exec(name)[1] !== labels.task);
        if (wrong === undefined) continue;
        // An address that is not resolved may be that of the label's own function.
        if (!this.#alone && names.slice(names.lastIndexOf(wrong)).includes('(unresolved)'))
          continue;
        report.wrong.push(`${wrong} under ${labels.task}`);
        if (process.env.TORTURE_STACKS) console.log(count, names.join(' < '), labels);
        report.wrongSamples += count;
      }
    }
  }
}
