/** Sends the queries of Grafana to Pyroscope: totals, stacks, names of labels and of kinds, spans over time. */
import { CPU_KIND } from '../support/pyroscope-rules.mjs';

/** A selector of all series with these labels: `{service_name="shop"}`. */
export function selector(labels) {
  const parts = Object.entries(labels).map(([name, value]) => {
    const plain = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name);
    return `${plain ? name : JSON.stringify(name)}=${JSON.stringify(value)}`;
  });
  return `{${parts.join()}}`;
}

export class Queries {
  #url;
  #headers;
  #range;

  /**
   * Queries of one tenant, between two times in milliseconds. The first one must not be before the
   * server's oldest profile: trace_id_selector is not answered then.
   */
  constructor(url, tenant, [start, end]) {
    this.#url = url;
    this.#headers = { 'content-type': 'application/json', 'x-scope-orgid': tenant };
    this.#range = { start: String(start), end: String(end) };
  }

  /** The answer, or throws an error that has the server's text. */
  async ask(method, question, headers = {}) {
    const response = await fetch(`${this.#url}/querier.v1.QuerierService/${method}`, {
      method: 'POST',
      headers: { ...this.#headers, ...headers },
      body: JSON.stringify({ ...this.#range, ...question }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method}: ${response.status} ${text}`);
    return JSON.parse(text);
  }

  /**
   * The sum of a kind: of the series that have these labels, and of these spans or traces alone.
   * @param {Record<string, string>} labels
   * @param {{ kind?: string, spans?: string[], traces?: string[] }} [only]
   */
  async total(labels, { kind = CPU_KIND, spans, traces } = {}) {
    const { flamegraph } = await this.ask('SelectMergeStacktraces', {
      profileTypeID: kind,
      labelSelector: selector(labels),
      ...(spans === undefined ? {} : { spanSelector: spans }),
      ...(traces === undefined ? {} : { traceIdSelector: traces }),
    });
    return Number(flamegraph?.total ?? 0);
  }

  /** The same of spans, as Grafana's "Profiles for this span" asks. Names of its functions as well. */
  async spanProfile(labels, spans) {
    const { flamegraph } = await this.ask('SelectMergeSpanProfile', {
      profileTypeID: CPU_KIND,
      labelSelector: selector(labels),
      spanSelector: spans,
    });
    return { total: Number(flamegraph?.total ?? 0), names: flamegraph?.names ?? [] };
  }

  /** Stacks and their sums: `[[[name, file, line], …], sum]`, leaf first, as text. */
  async stacks(labels, kind = CPU_KIND) {
    const profile = await this.ask('SelectMergeProfile', {
      profileTypeID: kind,
      labelSelector: selector(labels),
    });
    const text = (index) => profile.stringTable[Number(index ?? 0)];
    const byId = (entries = []) => new Map(entries.map((entry) => [entry.id, entry]));
    const functions = byId(profile.function);
    const locations = byId(profile.location);
    const frame = ({ functionId, line = '0' }) => {
      const { name, filename } = functions.get(functionId);
      return [text(name), text(filename), Number(line)];
    };
    return (profile.sample ?? []).map(({ locationId, value }) => [
      locationId.flatMap((id) => locations.get(id).line.map(frame)),
      Number(value[0]),
    ]);
  }

  /** The kinds of profile that there are of such series. */
  async kinds(labels) {
    const question = { matchers: [selector(labels)], labelNames: ['__profile_type__'] };
    const { labelsSet = [] } = await this.ask('Series', question);
    return labelsSet.map(({ labels: [{ value }] }) => value).sort();
  }

  /** Names of labels as Grafana gets them, or with `utf8` all of them. */
  async labelNames(labels, utf8 = false) {
    const accept = 'application/json;allow-utf8-labelnames=true';
    const headers = utf8 ? { accept } : {};
    const { names = [] } = await this.ask('LabelNames', { matchers: [selector(labels)] }, headers);
    return names.filter((name) => !name.startsWith('__')).sort();
  }

  async labelValues(labels, name) {
    const question = { matchers: [selector(labels)], name };
    return ((await this.ask('LabelValues', question)).names ?? []).sort();
  }

  /** CPU of spans over time: sums and the ids of its examples. */
  heatmap(labels, groupBy = []) {
    return this.ask('SelectHeatmap', {
      profileTypeID: CPU_KIND,
      labelSelector: selector(labels),
      step: 1,
      groupBy,
      queryType: 'HEATMAP_QUERY_TYPE_SPAN',
      exemplarType: 'EXEMPLAR_TYPE_SPAN',
      limit: '100',
    });
  }
}
