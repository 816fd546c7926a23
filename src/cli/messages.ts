/** Prints what the command line says beside its output, to stderr. */
export function printMessage(text: string): void {
  process.stderr.write(`otelpyroscope: ${text}\n`);
}
