import { existsSync, readFileSync } from "node:fs";

/** A test that a document names: a canary, a script, or a file and the title of a test in it. */
interface NamedTest {
  readonly file: string;
  /** The title of a test in the file; undefined when the file itself is the test. */
  readonly title: string | undefined;
}

/**
 * The tests that one cell of a table names, separated by `; `:
 *
 *     canary `NAME` | script `NAME` | `test/FILE.test.ts` "TITLE"
 */
export function namedTestsOf(cell: string): NamedTest[] {
  const found: NamedTest[] = [];
  for (const [, name] of cell.matchAll(/canary `([\w-]+)`/g))
    found.push({ file: `test/sim/canaries/${name}.ts`, title: undefined });
  for (const [, name] of cell.matchAll(/script `([\w-]+)`/g))
    found.push({ file: `test/raft/scripts/${name}.txt`, title: undefined });
  for (const [, file, title] of cell.matchAll(/`(test\/[\w/.-]+\.test\.ts)` "(.+?)"(?=;|$)/g))
    found.push({ file: file!, title: title! });
  return found;
}

/** What is wrong with a cell that has to name tests, or to give a reason why there is none yet. */
export function problemsOf(id: string, cell: string): string[] {
  const named = namedTestsOf(cell);
  const isReason = named.length === 0 && /\b(no|not yet)\b/.test(cell) && !/canary|script|"/.test(cell);
  if (named.length === 0) return isReason ? [] : [`${id}: ${cell}`];
  const wrong: string[] = [];
  if (cell.split(/; (?=canary `|script `|`test)/).length !== named.length)
    wrong.push(`${id}: something in it is no test: ${cell}`);
  for (const { file, title } of named) {
    if (!existsSync(file)) wrong.push(`${id}: there is no ${file}`);
    else if (title !== undefined && !readFileSync(file, "utf8").includes(JSON.stringify(title)))
      wrong.push(`${id}: ${file} has no test ${JSON.stringify(title)}`);
  }
  return wrong;
}
