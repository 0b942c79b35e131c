import { expect, test } from "bun:test";
import { LeaderSearch } from "../../src/client/leader-search.ts";
import type { Address } from "../../src/lib/address.ts";
import type { ClientEnd } from "../../src/rpc/client-end.ts";

/** Ends that are only names here: a search compares them and reads their addresses. */
function endAt(port: number): ClientEnd {
  const address: Address = { host: "a", port };
  return { address } as Partial<ClientEnd> as ClientEnd;
}

const ends = [endAt(1), endAt(2), endAt(3)];
const silent = { leader: undefined, isLate: true };
const refusing = { leader: undefined, isLate: false };

function search(): LeaderSearch {
  return new LeaderSearch(ends, 400, ({ port }) => endAt(port));
}

test("an end that does not answer in a fair time is left for the next one", () => {
  const one = search();
  one.failed(ends[0]!, silent, 400, 0);
  expect(one.current).toBe(ends[1]!);
});

test("an end that was given next to no time keeps its place, so that short deadlines do not chase a client past its leader", () => {
  const one = search();
  expect(one.failed(ends[0]!, silent, 25, 0)).toBe(0);
  expect(one.current).toBe(ends[0]!);
  one.failed(ends[0]!, silent, 199, 0);
  expect(one.current).toBe(ends[0]!);
  one.failed(ends[0]!, silent, 200, 0);
  expect(one.current).toBe(ends[1]!);
});

test("an end that says no in next to no time is left", () => {
  const one = search();
  one.failed(ends[0]!, refusing, 25, 0);
  expect(one.current).toBe(ends[1]!);
});

test("the leader that is named comes next, also one that was not known", () => {
  const one = search();
  one.failed(ends[0]!, { leader: { host: "a", port: 3 }, isLate: false }, 400, 0);
  expect(one.current).toBe(ends[2]!);
  one.failed(ends[2]!, { leader: { host: "b", port: 9 }, isLate: false }, 400, 0);
  expect(one.current.address).toEqual({ host: "a", port: 9 });
  expect(one.ends.length).toBe(4);
});

test("a whole round is made without waiting, and longer waits follow", () => {
  const one = search();
  const waits = Array.from({ length: 7 }, () => one.failed(one.current, refusing, 400, 0));
  expect(waits).toEqual([0, 0, 10, 20, 40, 80, 100]);
  one.found(one.current);
  expect(one.failed(one.current, refusing, 400, 1000)).toBe(0);
});
