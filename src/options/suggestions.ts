/** Finds the name that a misspelt one was meant to be: of an option, a variable or a command. */

/** Inserted, deleted and replaced characters that a misspelling has at most. */
const MAX_EDITS = 2;

/** Returns `; did you mean "x"?` for the accepted name that is like `name`, or ''. */
export function suggestion(name: string, accepted: readonly string[]): string {
  const found = closest(name, accepted);
  return found === undefined ? '' : `; did you mean "${found}"?`;
}

/** Returns the accepted name that is like `name` and not equal to it, or undefined. */
export function closest(name: string, accepted: readonly string[]): string | undefined {
  const plain = letters(name);
  return (
    accepted.find((candidate) => letters(candidate) === plain) ??
    accepted.find((candidate) => isAbbreviation(words(name), words(candidate))) ??
    accepted.find((candidate) => editDistance(plain, letters(candidate)) <= MAX_EDITS)
  );
}

function letters(name: string): string {
  return name.toLowerCase().replace(/[-_]/g, '');
}

/** Returns the words of `camelCase` or `UPPER_CASE`, in lower case. */
function words(name: string): string[] {
  const separated = name.replace(/([a-z])([A-Z])/g, '$1_$2');
  return separated.toLowerCase().split('_');
}

/** Whether each word begins the other's: `appName` for `applicationName`. */
function isAbbreviation(short: string[], long: string[]): boolean {
  return (
    short.length === long.length &&
    short.every((word, index) => word !== '' && (long[index] as string).startsWith(word))
  );
}

/** Levenshtein's distance. */
function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] as number) + 1, (row[j - 1] as number) + 1));
    }
    previous = row;
  }
  return previous[b.length] as number;
}
