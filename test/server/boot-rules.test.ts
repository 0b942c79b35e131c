import { expect, test } from "bun:test";
import type { Boot, ProcessStart } from "../../src/rpc/hello.ts";
import { bootsToProve, problemOfStart, type Remembered } from "../../src/server/boot-rules.ts";

const boot = (number: number, id: string): Boot => ({ number, id: id.repeat(16) });
const start = (of: Boot, term = 5, index = 50): ProcessStart => ({ boot: of, term, index });
const nothing: Remembered = { admitted: undefined, replicated: undefined, term: 0, index: 0 };

test("the rules of admission, as a table", () => {
  const own = boot(3, "c");
  const table: [string, ProcessStart, Partial<Remembered>, string | undefined][] = [
    ["nobody remembers anything", start(own), {}, undefined],
    [
      "an earlier boot, the same term and index",
      start(own),
      { admitted: boot(2, "b"), term: 5, index: 50 },
      undefined,
    ],
    ["a lower term", start(own), { admitted: boot(2, "b"), term: 6 }, "term"],
    ["a lower index", start(own), { admitted: boot(2, "b"), index: 51 }, "index"],
    ["its own promises", start(own), { admitted: own, term: 9, index: 90 }, undefined],
    ["its own boot in the replicated state only", start(own), { replicated: own, index: 51 }, "index"],
    ["a later boot", start(own), { admitted: boot(4, "d") }, "boot"],
    ["another boot with the same number", start(own), { admitted: boot(3, "d") }, "boot"],
    ["another boot of that number in the state", start(own), { replicated: boot(3, "d") }, "boot"],
    ["a later boot in the state", start(own), { admitted: own, replicated: boot(4, "d") }, "boot"],
  ];
  for (const [what, process, remembered, problem] of table)
    expect(problemOfStart(process, { ...nothing, ...remembered })?.kind, what).toBe(problem as never);
});

test("boots that are remembered and not this one are put to the folder's list, each once", () => {
  const own = boot(3, "c");
  expect(bootsToProve(start(own), nothing)).toEqual([]);
  expect(bootsToProve(start(own), { ...nothing, admitted: own, replicated: own })).toEqual([]);
  const [a, b] = [boot(1, "a"), boot(2, "b")];
  expect(bootsToProve(start(own), { ...nothing, admitted: b, replicated: b })).toEqual([b]);
  expect(bootsToProve(start(own), { ...nothing, admitted: b, replicated: a })).toEqual([b, a]);
});
