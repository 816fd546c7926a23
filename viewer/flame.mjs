/** Draws a tree from the server as a flame graph by d3-flame-graph, with our own keyboard and hover handling. */
import flamegraph from 'd3-flame-graph';
import { select } from 'd3-selection';

const CELL_HEIGHT = 18;

export class FlameGraph {
  #container;
  #onZoom;
  #onShow;
  #chart;
  #selection;
  #byPath = new Map();
  #focused = '';
  #root;

  /**
   * @param {HTMLElement} container
   * @param {(path: string[]) => void} onZoom Called with the keys from below the root.
   * @param {(node: any, event?: MouseEvent) => void} onShow Called with the frame to describe, or
   *   undefined for none.
   */
  constructor(container, onZoom, onShow) {
    this.#container = container;
    this.#onZoom = onZoom;
    this.#onShow = onShow;
    this.#selection = select(container);
    // Before d3-flame-graph's own zoom, which has only the frames that are drawn.
    container.addEventListener('click', (event) => this.#click(event), true);
    container.addEventListener('keydown', (event) => this.#key(event));
    container.addEventListener('mousemove', (event) => {
      const datum = this.#datumAt(event.target);
      onShow(datum?.node, event);
    });
    container.addEventListener('mouseleave', () => onShow(undefined));
  }

  /**
   * @param {object} root The tree.
   * @param {{ zoom: string[], weigh: (node: any) => number, colour: (node: any) => string }} how
   */
  draw(root, { zoom, weigh, colour }) {
    this.#byPath.clear();
    this.#root = this.#prepare(root, '', zoom, weigh);
    this.#chart ??= this.#createChart();
    this.#chart.width(Math.max(this.#container.clientWidth - 2, 200));
    this.#chart.setColorMapper((d) => colour(d.data.node));
    if (this.#selection.select('svg').empty()) this.#selection.datum(this.#root).call(this.#chart);
    else this.#chart.update(this.#root);
    if (!this.#byPath.has(this.#focused)) this.#focused = zoom.join('.');
    this.#mark();
  }

  get frames() {
    return this.#container.querySelectorAll('g.frame').length;
  }

  #createChart() {
    const tip = () => {};
    tip.show = tip.hide = () => {}; // Empty; without one, every frame would get a <title>.
    return flamegraph()
      .cellHeight(CELL_HEIGHT)
      .inverted(true)
      .sort(true)
      .minFrameSize(0.7)
      .resetHeightOnZoom(true)
      .setLabelHandler(() => '')
      .tooltip(tip);
  }

  /** Returns the tree for d3-flame-graph; nodes above the zoomed one are faded. */
  #prepare(node, path, zoom, weigh) {
    const made = { name: node.name, value: weigh(node), node, path, fade: zoom.length > 0 };
    this.#byPath.set(path, made);
    const join = (key) => (path === '' ? key : `${path}.${key}`);
    made.children = node.children.map((child) =>
      this.#prepare(child, join(child.key), zoom.slice(1), weigh),
    );
    for (const child of made.children) child.parent = made;
    return made;
  }

  #datumAt(target) {
    return target.closest?.('g.frame')?.__data__?.data;
  }

  #click(event) {
    const datum = this.#datumAt(event.target);
    if (datum === undefined) return;
    event.stopPropagation();
    this.#focused = datum.path;
    this.#zoomTo(datum);
  }

  #zoomTo({ path }) {
    this.#onZoom(path === '' ? [] : path.split('.'));
  }

  #key(event) {
    const current = this.#byPath.get(this.#focused) ?? this.#root;
    if (current === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    const brothers = [...(current.parent?.children ?? [current])].sort((x, y) =>
      x.name < y.name ? -1 : 1,
    );
    const index = brothers.indexOf(current);
    const widest = [...current.children].sort((x, y) => y.value - x.value)[0];
    const goals = {
      ArrowDown: widest,
      ArrowUp: current.parent,
      ArrowLeft: brothers[index - 1],
      ArrowRight: brothers[index + 1],
      Home: this.#root,
    };
    if (event.key in goals) {
      this.#focused = (goals[event.key] ?? current).path;
      this.#mark();
      this.#onShow(this.#byPath.get(this.#focused).node);
    } else if (event.key === 'Enter') {
      this.#zoomTo(current);
    } else if (event.key === 'Escape' || event.key === 'Backspace') {
      this.#onShow(undefined);
      this.#zoomTo(this.#byPath.get(this.#focused)?.parent ?? this.#root);
      this.#focused = current.parent?.path ?? '';
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #mark() {
    for (const frame of this.#container.querySelectorAll('g.frame')) {
      const isFocused = frame.__data__.data.path === this.#focused;
      if (isFocused !== frame.classList.contains('focused')) {
        frame.classList.toggle('focused', isFocused);
        if (isFocused && this.#container === document.activeElement) {
          frame.scrollIntoView({ block: 'nearest' });
        }
      }
    }
  }
}
