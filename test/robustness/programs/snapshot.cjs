/** The program of a startup snapshot: functions that have run, and their garbage. */

globalThis.task_embedded = function task_embedded(n) {
  const made = [];
  for (let i = 0; i < n; i++) made[i % 100] = { i, text: `x${i}`, inner: [i] };
  return made.length;
};
for (let i = 0; i < 100; i++) globalThis.task_embedded(1_000);
globalThis.kept = Array.from({ length: 10_000 }, (_, i) => ({ i, text: String(i) }));
