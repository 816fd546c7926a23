/**
 * Stands in for d3-transition in the bundle: what d3-flame-graph would move into place over time is
 * there at once. Four timers for each of a thousand frames would cost more than all the drawing.
 */
import { selection } from 'd3-selection';

for (const name of ['transition', 'duration', 'ease', 'delay']) {
  selection.prototype[name] = function atOnce() {
    return this;
  };
}
