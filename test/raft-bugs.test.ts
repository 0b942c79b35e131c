import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { problemsOf } from "./named-tests.ts";

// Goal: the list of known mistakes stays true: every line names tests that exist, or says why it cannot be made yet.

const rows = readFileSync("test/RAFT-BUGS.md", "utf8")
  .split("\n")
  .map((line) => /^\| ([A-Z]\d+) \| (.+?) \| (.*?) ?\| (.+) \|$/.exec(line))
  .filter((match) => match !== null)
  .map(([, id, , , cover]) => ({ id: id!, cover: cover! }));

/** How many lines each chapter has. */
const chapters = { E: 14, R: 18, Q: 11, M: 14, S: 13, D: 14, C: 9, W: 9, L: 8 };

test("every known mistake is there, once and in order", () => {
  const wanted = Object.entries(chapters).flatMap(([chapter, count]) =>
    Array.from({ length: count }, (_, at) => `${chapter}${at + 1}`),
  );
  expect(rows.map(({ id }) => id)).toEqual(wanted);
});

test("every line names a test that exists, or a reason", () => {
  expect(rows.flatMap(({ id, cover }) => problemsOf(id, cover))).toEqual([]);
});
