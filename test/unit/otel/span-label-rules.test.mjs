/** The label rules alone, for providers with different options in one trace. */
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { Scope } from 'otelpyroscope';

const require = createRequire(import.meta.url);
const { hasProfileId, labelsOfSpan } = require('../../../lib/otel/span-label-rules.js');
const { nameOf } = require('../../../lib/labels/span-details.js');
const { resolveLabelOptions } = require('../../../lib/options/options.js');

const defaults = resolveLabelOptions();
const all = resolveLabelOptions({
  spanIdScope: Scope.AllSpans,
  spanNameScope: Scope.AllSpans,
});
const none = resolveLabelOptions({ spanIdScope: Scope.None, spanNameScope: Scope.None });
const span = (spanId, traceFlags = 1) => ({ traceId: 'trace', spanId, traceFlags });
const nameIn = ({ named }) => (named === undefined ? '' : nameOf(named));
const shown = (labels) => [labels.traceIdLabel, labels.spanIdLabel, nameIn(labels)];

describe('labelsOfSpan', () => {
  it("returns the parent's object if no label changes", () => {
    const root = labelsOfSpan(span('r'), 'root', defaults, undefined);
    assert.deepEqual(shown(root), ['trace', 'r', 'root']);
    assert.equal(labelsOfSpan(span('c'), 'child', defaults, root), root);
    assert.equal(labelsOfSpan(span('c', 0), '', all, root), root);
    assert.equal(labelsOfSpan(span('c', 0), '', all, undefined), undefined);
    assert.notEqual(labelsOfSpan(span('c'), 'child', all, root), root);
  });

  it("refers to a root whose labels are those of its own provider's options", () => {
    const root = labelsOfSpan(span('r'), 'root', none, undefined);
    assert.deepEqual(shown(root), ['trace', '', '']);
    const child = labelsOfSpan(span('c'), 'child', defaults, root);
    assert.deepEqual(shown(child), ['trace', 'r', 'root']);
    assert.equal(hasProfileId(span('c'), 'child', defaults, child), false);
    assert.deepEqual(shown(labelsOfSpan(span('g'), 'grandchild', none, child)), shown(child));
  });

  it('inherits the name if the root has none', () => {
    const root = labelsOfSpan(span('r'), '', defaults, undefined);
    const child = labelsOfSpan(span('c'), 'child', all, root);
    assert.equal(nameIn(child), 'child');
    assert.equal(nameIn(labelsOfSpan(span('g'), 'grandchild', defaults, child)), 'child');
  });

  it('takes only the name from an unsampled root', () => {
    const root = labelsOfSpan(span('r', 0), 'root', defaults, undefined);
    assert.deepEqual(shown(root), ['', '', 'root']);
    const child = labelsOfSpan(span('c'), 'child', defaults, root);
    assert.deepEqual(shown(child), ['trace', 'c', 'root']);
    assert.equal(hasProfileId(span('c'), 'child', defaults, child), true);
    assert.equal(labelsOfSpan(span('g'), 'grandchild', defaults, child), child);
    assert.equal(labelsOfSpan(span('u', 0), 'unsampled', defaults, child), child);
  });

  it('has the name that the span has when the labels are read', () => {
    const sdkSpan = { name: 'GET' };
    const root = labelsOfSpan(span('r'), 'GET', defaults, undefined, sdkSpan);
    const child = labelsOfSpan(span('c'), 'child', all, root, { name: 'child' });
    const grandchild = labelsOfSpan(span('g'), 'grandchild', defaults, child);
    sdkSpan.name = 'GET /cart/:id';
    assert.deepEqual([root, child, grandchild].map(nameIn), [
      'GET /cart/:id',
      'child',
      'GET /cart/:id',
    ]);
  });

  it('applies to a sampled root if only its attributes become labels', () => {
    const options = resolveLabelOptions({
      spanIdScope: Scope.None,
      spanNameScope: Scope.None,
      traceIdLabel: false,
      attributeLabels: ['http.route'],
    });
    const root = labelsOfSpan(span('r'), 'GET', options, undefined, { name: 'GET' });
    assert.deepEqual(root.root.attributeNames, ['http.route']);
    assert.equal(labelsOfSpan(span('c'), 'child', options, root), root);
    assert.equal(labelsOfSpan(span('r', 0), 'GET', options, undefined), undefined);
  });

  it('reads only the sampled bit of the flags', () => {
    assert.equal(labelsOfSpan(span('r', 3), 'root', defaults, undefined).spanIdLabel, 'r');
    assert.equal(labelsOfSpan(span('r', 2), 'root', defaults, undefined).spanIdLabel, '');
  });
});

describe('hasProfileId', () => {
  it('is true for the local root, every span or no span, by scope', () => {
    for (const [options, ofRoot, ofChild] of [
      [defaults, true, false],
      [all, true, true],
      [none, false, false],
    ]) {
      const root = labelsOfSpan(span('r'), 'root', options, undefined);
      const child = labelsOfSpan(span('c'), 'child', options, root);
      assert.equal(hasProfileId(span('r'), 'root', options, root), ofRoot);
      assert.equal(hasProfileId(span('c'), 'child', options, child), ofChild);
    }
  });

  it('is false for a span to which no label applies', () => {
    const root = labelsOfSpan(span('r'), 'root', all, undefined);
    assert.equal(hasProfileId(span('c', 0), '', all, root), false);
  });
});
