import { expect, test } from "bun:test";
import type { NodeId } from "../../src/raft/types.ts";
import { AddressBook } from "../../src/server/address-book.ts";
import type { Member } from "../../src/server/members.ts";
import { ManualClock } from "../rpc/memory-net.ts";

const member: Member = { nodeId: "0000000000000001" as NodeId, address: "a:1", role: "voter" };

test("a member is looked for where it was met, until the list of members says something else", () => {
  const book = new AddressBook(new ManualClock());
  expect(book.addressOf(member)).toBe("a:1");
  expect(book.found(member, "a:1")).toBe(false);
  expect(book.found(member, "a:2")).toBe(true);
  expect(book.found(member, "a:2")).toBe(false);
  expect(book.addressOf(member)).toBe("a:2");
  expect(book.addressOf({ ...member, address: "a:3" })).toBe("a:3");
  expect(book.found(member, "a:1")).toBe(true);
  expect(book.addressOf(member)).toBe("a:1");
});

test("where it was dialled in vain it is not looked for again at once: two places in turn are no search", () => {
  const clock = new ManualClock();
  const book = new AddressBook(clock);
  book.found(member, "a:2");
  // What was dialled is where the list of members says.
  expect(book.missed(member, "a:1")).toBe(false);
  expect(book.missed(member, "a:2")).toBe(true);
  expect(book.addressOf(member)).toBe("a:1");
  expect(book.found(member, "a:2")).toBe(false);
  expect(book.found(member, "a:3")).toBe(true);
  book.missed(member, "a:3");
  clock.run(6000);
  expect(book.found(member, "a:3")).toBe(true);
});
