import { expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";

// Goal: the list of known mistakes stays true: every line names tests that exist, or says why it cannot be made yet.

const rows = readFileSync("test/RAFT-BUGS.md", "utf8")
  .split("\n")
  .map((line) => /^\| ([A-Z]\d+) \| (.+?) \| (.*?) ?\| (.+) \|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, id, mistake, , cover]) => ({ id: id!, mistake: mistake!, cover: cover! }));

/** How many lines each chapter has. */
const chapters = { E: 14, R: 18, Q: 11, M: 14, S: 13, D: 14, C: 9, W: 9, L: 8 };

interface Reference {
  readonly file: string;
  /** The name of a test in it. */
  readonly name: string | undefined;
}

function referencesOf(cover: string): Reference[] {
  const found: Reference[] = [];
  for (const [, name] of cover.matchAll(/canary `([\w-]+)`/g))
    found.push({ file: `test/sim/canaries/${name}.ts`, name: undefined });
  for (const [, name] of cover.matchAll(/script `([\w-]+)`/g))
    found.push({ file: `test/raft/scripts/${name}.txt`, name: undefined });
  for (const [, file, name] of cover.matchAll(/`(test\/[\w/.-]+\.test\.ts)` "(.+?)"(?=;|$)/g))
    found.push({ file: file!, name: name! });
  return found;
}

test("every known mistake is there, once and in order", () => {
  const wanted = Object.entries(chapters).flatMap(([chapter, count]) =>
    Array.from({ length: count }, (_, at) => `${chapter}${at + 1}`),
  );
  expect(rows.map(({ id }) => id)).toEqual(wanted);
});

test("every line names a test that exists, or a reason", () => {
  const wrong: string[] = [];
  for (const { id, cover } of rows) {
    const references = referencesOf(cover);
    const isReason =
      references.length === 0 && /\b(no|not yet)\b/.test(cover) && !/canary|script|"/.test(cover);
    if (references.length === 0 && !isReason) wrong.push(`${id}: ${cover}`);
    if (references.length > 0 && cover.split(/; (?=canary `|script `|`test)/).length !== references.length)
      wrong.push(`${id}: something in it is no test: ${cover}`);
    for (const { file, name } of references) {
      if (!existsSync(file)) wrong.push(`${id}: there is no ${file}`);
      else if (name !== undefined && !readFileSync(file, "utf8").includes(JSON.stringify(name)))
        wrong.push(`${id}: ${file} has no test ${JSON.stringify(name)}`);
    }
  }
  expect(wrong).toEqual([]);
});
