/**
 * A part of the store's benchmark runs in a process of its own, so that what the others keep in memory does not
 * count. Its options come as JSON on the command line, its figures go out as JSON on stdout.
 */
export interface PartOptions {
  /** An empty folder for its files. */
  readonly folder: string;
  readonly seed: number;
  readonly keys: number;
  readonly memtableBytesMax: number;
}

export function partOptions(): PartOptions {
  const text = process.argv[2];
  if (text === undefined) throw new Error("A part is started by `bun test/bench/store.ts`");
  return JSON.parse(text);
}

export function endPart(figures: object): void {
  process.stdout.write(JSON.stringify(figures), () => process.exit(0));
}

/** For who waits, where somebody watches. */
export function progress(what: string, done: number, of: number): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${what}: ${((100 * done) / of).toFixed(0)} %`);
}

export function endProgress(): void {
  if (process.stderr.isTTY) process.stderr.write("\r\x1b[K");
}
