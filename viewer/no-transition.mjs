/**
 * Replaces d3-transition in the bundle: d3-flame-graph draws without animation. Four timers for each
 * of a thousand frames would cost more than all the drawing.
 */
import { selection } from 'd3-selection';

for (const name of ['transition', 'duration', 'ease', 'delay']) {
  selection.prototype[name] = function atOnce() {
    return this;
  };
}
