/** Parses conditions on labels: `LABEL=VALUE`, `LABEL!=VALUE`, `LABEL=~REGEX`, `LABEL!~REGEX`. */
import type { LabelTest } from '../profile/query.js';
import { UsageError } from './arguments.js';

const CONDITION = /^([^=!~]+)(=~|!~|!=|=)(.*)$/s;

/**
 * Returns tests that must all hold. Conditions with `=` or `=~` on one label are alternatives, because
 * a sample has one value of it. Throws a UsageError that names the option and the wrong text.
 */
export function parseConditions(option: string, texts: readonly string[]): LabelTest[] {
  const tests: LabelTest[] = [];
  const alternatives = new Map<string, LabelTest['test'][]>();
  for (const text of texts) {
    const [, label, operator, value] = CONDITION.exec(text) ?? [];
    if (label === undefined || operator === undefined || value === undefined) {
      throw new UsageError(
        `${option} needs LABEL=VALUE, LABEL!=VALUE, LABEL=~REGEX or LABEL!~REGEX, got "${text}"`,
      );
    }
    const holds = operator.endsWith('~')
      ? matcher(option, value)
      : (other: string) => other === value;
    if (operator.startsWith('!')) {
      tests.push({ label, test: (other) => !holds(other) });
    } else {
      const others = alternatives.get(label);
      if (others === undefined) alternatives.set(label, [holds]);
      else others.push(holds);
    }
  }
  for (const [label, holders] of alternatives) {
    tests.push({ label, test: (value) => holders.some((holds) => holds(value)) });
  }
  return tests;
}

function matcher(option: string, source: string): LabelTest['test'] {
  try {
    const expression = new RegExp(source, 'u');
    return (value) => expression.test(value);
  } catch (error) {
    throw new UsageError(`${option}: ${(error as Error).message}`);
  }
}
