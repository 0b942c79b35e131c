import { describe, expect, test } from "bun:test";
import { LeaderSearch } from "../../src/client/leader-search.ts";
import type { Address } from "../../src/lib/address.ts";
import type { ClientEnd } from "../../src/rpc/client-end.ts";
import { noId } from "../../src/rpc/hello.ts";

/** Ends that are only names here: a search compares them and reads their addresses. */
function endAt(port: number): ClientEnd {
  const address: Address = { host: "a", port };
  return { address, clusterId: noId, servers: "" } as Partial<ClientEnd> as ClientEnd;
}

const ends = [endAt(1), endAt(2), endAt(3)];
const silent = { leader: undefined, isLate: true, code: "Unreachable" } as const;
const refusing = { leader: undefined, isLate: false, code: "ErrWrongLeader" } as const;

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
  one.failed(ends[0]!, { leader: { host: "a", port: 3 }, isLate: false, code: "ErrWrongLeader" }, 400, 0);
  expect(one.current).toBe(ends[2]!);
  one.failed(ends[2]!, { leader: { host: "b", port: 9 }, isLate: false, code: "ErrWrongLeader" }, 400, 0);
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

test("after a silence a whole round is made without waiting, past servers that are dead", () => {
  const dead = { leader: undefined, isLate: false, code: "Unreachable" } as const;
  const one = search();
  // However long nobody answers, the tries themselves are all the waiting there is.
  expect(Array.from({ length: 9 }, () => one.failed(one.current, silent, 400, 0))).toEqual(
    new Array(9).fill(0),
  );
  expect(Array.from({ length: 4 }, () => one.failed(one.current, dead, 400, 0))).toEqual([0, 0, 10, 20]);
});

test("what a server of another cluster says of members is not taken for this one's", () => {
  const close = () => Promise.resolve();
  const own = Object.assign(endAt(1), { clusterId: "00000000000000c1", servers: "a:1 a:4" });
  const one = new LeaderSearch([own, ends[1]!, ends[2]!], 400, ({ port }) =>
    Object.assign(endAt(port), { close }),
  );
  one.found(own);
  const foreign = Object.assign(endAt(3), { clusterId: "00000000000000c2", servers: "b:8 b:9" });
  one.heard(foreign);
  one.failed(own, silent, 400, 0);
  expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 4]);
  // The cluster of these addresses was made anew.
  one.found(foreign);
  expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 8, 9, 4]);
});

/** The ports in the order in which they are asked when nobody helps. */
function walk(one: LeaderSearch, steps: number, failure: Parameters<LeaderSearch["failed"]>[1]): number[] {
  return Array.from({ length: steps }, () => {
    const { port } = one.current.address;
    one.failed(one.current, failure, 400, 0);
    return port;
  });
}

test("a server that goes on saying that the leader is where it is itself is not believed", () => {
  const one = search();
  const asked = Array.from({ length: 8 }, () => {
    const { address } = one.current;
    one.failed(one.current, { ...refusing, leader: { host: "a", port: 1 } }, 400, 0);
    return address.port;
  });
  // It may be a leader that is not ready yet, for a while.
  expect(asked).toEqual([1, 1, 1, 1, 1, 2, 1, 1]);
});

test("two members at one address are one server to ask", () => {
  const one = search();
  one.learn([5, 4, 5].map((port) => ({ host: "a", port })));
  expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 5, 4]);
  one.failed(one.current, { ...refusing, leader: { host: "a", port: 5 } }, 400, 0);
  expect(walk(one, 4, refusing)).toEqual([5, 4, 5, 4]);
});

describe("members that were learned", () => {
  const members = [4, 3, 5].map((port) => ({ host: "a", port }));

  test("take the first places, and the servers it was made with are a last resort", () => {
    const one = search();
    one.learn(members);
    // The end that was asked goes on being asked; it is no member.
    expect(one.current).toBe(ends[0]!);
    const unreachable = { ...silent, isLate: false };
    expect(walk(one, 12, unreachable)).toEqual([1, 2, 4, 3, 5, 1, 2, 4, 3, 5, 1, 2]);
  });

  test("that answer keep the search among them: old servers that hang cost it nothing", () => {
    const one = search();
    one.learn(members);
    one.failed(ends[0]!, { ...refusing, leader: { host: "a", port: 4 } }, 400, 0);
    expect(walk(one, 7, refusing)).toEqual([4, 3, 5, 4, 3, 5, 4]);
  });

  test("that answer and lead nowhere, round after round, may be no members any more: the others are asked, too", () => {
    const one = search();
    // A server that was removed, and does not know it, tells of members that are gone.
    one.learn([
      { host: "a", port: 1 },
      { host: "a", port: 9 },
    ]);
    const asked = new Set(walk(one, 16, refusing));
    expect([...asked].sort()).toEqual([1, 2, 3, 9]);
  });

  test("are listed behind those it was made with, and keep their connections when they are learned again", () => {
    const closed: number[] = [];
    const one = new LeaderSearch(
      ends,
      400,
      ({ port }) =>
        ({
          ...endAt(port),
          close: async () => void closed.push(port),
        }) as Partial<ClientEnd> as ClientEnd,
    );
    one.learn(members);
    const four = one.endOf({ host: "a", port: 4 });
    expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 4, 5]);
    one.learn([4, 6].map((port) => ({ host: "a", port })));
    expect(one.endOf({ host: "a", port: 4 })).toBe(four);
    expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 4, 6]);
    expect(closed).toEqual([5]);
    one.learn([]);
    expect(one.ends.length).toBe(5);
  });

  test("are told by each hello", () => {
    const servers = "a:7 a:8 nonsense";
    const one = search();
    one.found({ ...ends[0]!, servers } as Partial<ClientEnd> as ClientEnd);
    expect(one.ends.map(({ address }) => address.port)).toEqual([1, 2, 3, 7, 8]);
  });
});
