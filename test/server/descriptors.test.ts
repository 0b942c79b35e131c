import { expect, test } from "bun:test";
import { openTablesMaxOf } from "../../src/env/open-tables.ts";
import {
  checkDescriptors,
  clientsMaxOf,
  connectionsMaxOf,
  descriptorsMin,
  unknownPeersMaxOf,
} from "../../src/server/descriptors.ts";

const three = { limit: 200, others: 2 };

test("with 200 descriptors three members, strangers and some clients find room, and files too", () => {
  const all = connectionsMaxOf(three, 10_512);
  const clients = clientsMaxOf(three, all, 10_000);
  expect(clients).toBeGreaterThanOrEqual(50);
  expect(all - clients).toBeGreaterThanOrEqual(2 * 6 + 16 + 16 + 24);
  // What is left for files: the store's in two threads, the dialled connections, and the process's own.
  expect(200 - all).toBeGreaterThanOrEqual(2 * openTablesMaxOf(200) + 2 * 4 + 56);
});

test("members that join take room from clients, and members and strangers find room at the minimum, too", () => {
  const before = clientsMaxOf(three, connectionsMaxOf(three, 10_512), 10_000);
  const grown = { ...three, others: 3 };
  expect(clientsMaxOf(grown, connectionsMaxOf(grown, 10_512), 10_000)).toBeLessThan(before);
  const least = { limit: descriptorsMin, others: 2 };
  const all = connectionsMaxOf(least, 10_512);
  expect(all).toBeGreaterThan(2 * 6 + 16 + 16 + 24);
  expect(clientsMaxOf(least, all, 10_000)).toBeGreaterThan(0);
});

test("a store keeps the fewest files open where descriptors are few, and as many as LevelDB where they are many", () => {
  expect([descriptorsMin, 200, 256, 1024].map(openTablesMaxOf)).toEqual([8, 8, 17, 145]);
  expect([65_536, undefined].map(openTablesMaxOf)).toEqual([1000, 1000]);
});

test("many descriptors, or a system that does not say, leave the configured bound", () => {
  for (const limit of [undefined, 1_000_000]) {
    const descriptors = { ...three, limit };
    const all = connectionsMaxOf(descriptors, 10_512);
    expect([all, clientsMaxOf(descriptors, all, 10_000)]).toEqual([10_512, 10_000]);
  }
});

test("a new server has room for all members, whom it does not know, unless descriptors are few", () => {
  const alone = { limit: undefined, others: 0 };
  const all = connectionsMaxOf(alone, 10_512);
  expect(unknownPeersMaxOf(alone, all, clientsMaxOf(alone, all, 10_000))).toBe(128);
  const few = connectionsMaxOf(three, 10_512);
  expect(unknownPeersMaxOf(three, few, clientsMaxOf(three, few, 10_000))).toBe(16);
});

test("below the minimum the message names what was found, what is wanted, and how to raise it", () => {
  expect(() => checkDescriptors(descriptorsMin - 1)).toThrow(
    /may open 159 files and connections, at least 160 are wanted; raise the limit, with "ulimit -n 65536"/,
  );
  for (const limit of [descriptorsMin, undefined]) checkDescriptors(limit);
});
