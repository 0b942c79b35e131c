import { expect, test } from "bun:test";
import { eachSeed } from "../leveldb/seed.ts";
import { fromJsonLine, type Operation, toJsonLine } from "./operation.ts";
import { randomHistory } from "./random-history.ts";

const put: Operation = {
  client: "1",
  operation: "put",
  key: "x",
  value: "a",
  start: 0,
  end: 4,
  outcome: "ok",
};

test("the worked example of the grammar is what is written", () => {
  const example = [
    put,
    { client: "2", operation: "get", key: "x", value: undefined, start: 1, end: 3, outcome: "ok" },
    { client: "1", operation: "put", key: "x", value: "b", start: 5, end: 9, outcome: "unknown" },
    { client: "2", operation: "get", key: "x", value: "b", start: 10, end: 12, outcome: "ok" },
    { client: "2", operation: "delete", key: "x", existed: true, start: 13, end: 15, outcome: "ok" },
  ] as const satisfies Operation[];
  expect(example.map(toJsonLine)).toEqual([
    '{"client":"1","operation":"put","key":"x","value":"a","start":0,"end":4,"outcome":"ok"}',
    '{"client":"2","operation":"get","key":"x","value":null,"start":1,"end":3,"outcome":"ok"}',
    '{"client":"1","operation":"put","key":"x","value":"b","start":5,"end":9,"outcome":"unknown"}',
    '{"client":"2","operation":"get","key":"x","value":"b","start":10,"end":12,"outcome":"ok"}',
    '{"client":"2","operation":"delete","key":"x","existed":true,"start":13,"end":15,"outcome":"ok"}',
  ]);
  expect(example.map(toJsonLine).map(fromJsonLine)).toEqual(example);
});

test("any text comes back, on one line", () => {
  for (const text of [
    "",
    "null",
    '"',
    "\\",
    "a\nb\r\u2028\0",
    "\u{1f600}",
    "\ud83d",
    "\udc00x",
    "é",
    "e\u0301",
  ]) {
    const operation = { ...put, client: text, key: text, value: text };
    const line = toJsonLine(operation);
    expect(line).not.toMatch(/[\n\r]/);
    expect(new TextDecoder().decode(new TextEncoder().encode(line))).toBe(line);
    expect(fromJsonLine(line)).toEqual(operation);
  }
});

test("random histories come back", () => {
  eachSeed(20, (prng) => {
    const options = {
      operations: 200,
      clients: 5,
      keys: 3,
      unknownPercent: 20,
      failedPercent: 20,
      latencyMax: 9,
    };
    const history = randomHistory(prng, options);
    expect(history.map(toJsonLine).map(fromJsonLine)).toEqual(history);
  });
});

test("a line that is wrong is refused, and says where", () => {
  const line = JSON.parse(toJsonLine(put));
  const wrong: [object, string][] = [
    [{ ...line, client: 7 }, '"client" is 7, wanted a string'],
    [{ ...line, operation: "cas" }, '"operation" is "cas", wanted one of put, get, delete'],
    [{ ...line, key: undefined }, '"key" is nothing, wanted a string'],
    [{ ...line, value: null }, '"value" is null, wanted a string'],
    [{ ...line, existed: true }, '"existed" is true, wanted none, for a put that is ok'],
    [{ ...line, start: "0" }, '"start" is "0", wanted a finite number'],
    [{ ...line, end: null }, '"end" is null, wanted a finite number'],
    [{ ...line, end: 0 }, '"end" is 0, wanted a number greater than start, 0'],
    [{ ...line, outcome: "maybe" }, '"outcome" is "maybe", wanted one of ok, unknown, failed'],
    [{ ...line, node: 1 }, '"node" is 1, wanted one of client, operation, '],
    [{ ...line, operation: "get", value: undefined }, '"value" is nothing, wanted a string, or null'],
    [
      { ...line, operation: "get", outcome: "unknown" },
      '"value" is "a", wanted none, for a get that is unknown',
    ],
    [{ ...line, operation: "delete" }, '"value" is "a", wanted none, for a delete that is ok'],
    [{ ...line, operation: "delete", value: undefined, existed: 1 }, '"existed" is 1, wanted true or false'],
  ];
  for (const [bad, message] of wrong) expect(() => fromJsonLine(JSON.stringify(bad))).toThrow(message);
  expect(() => fromJsonLine('{"client":')).toThrow('found {"client":, wanted one line of JSON');
  expect(() => fromJsonLine("[1]")).toThrow("found [1], wanted a JSON object");
  expect(() => fromJsonLine(toJsonLine(put).replace('"end":4', '"end":1e999'))).toThrow('"end" is');
});
