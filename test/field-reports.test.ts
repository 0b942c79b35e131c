import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { problemsOf } from "./named-tests.ts";

// Goal: the list of troubles in the field stays true: every line says what kvraft does, and names tests that exist.

const rows = readFileSync("test/FIELD-REPORTS.md", "utf8")
  .split("\n")
  .filter((line) => /^\| [A-Z]/.test(line))
  .map((line) => line.split(/ ?\| ?/).slice(1, -1));

test("every line has an id of its own, a symptom, its source, a protection and tests", () => {
  const ids = rows.map(([id]) => id);
  expect(ids).toEqual([...new Set(ids)]);
  expect(rows.filter((cells) => cells.length !== 5 || cells.includes(""))).toEqual([]);
});

test("every line names tests that exist", () => {
  expect(rows.flatMap(([id, , , , tests]) => problemsOf(id!, tests!))).toEqual([]);
});
