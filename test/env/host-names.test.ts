import { expect, test } from "bun:test";
import { freshMs, HostNames, lookupsMax, staleAfterMs } from "../../src/env/host-names.ts";
import { hostsOf, namesToAsk } from "../../src/env/resolver.ts";
import { ManualClock } from "../rpc/memory-net.ts";

/** A resolver that answers when the test says so. */
class Resolver {
  readonly asked: string[] = [];
  readonly clock = new ManualClock();
  readonly names = new HostNames(this.clock, (host) => {
    this.asked.push(host);
    const question = Promise.withResolvers<readonly string[]>();
    this.#questions.set(host, question);
    return { addresses: question.promise, cancel: () => question.reject(new Error("cancelled")) };
  });
  readonly #questions = new Map<string, PromiseWithResolvers<readonly string[]>>();

  async answer(host: string, addresses: readonly string[]): Promise<void> {
    this.#questions.get(host)!.resolve(addresses);
    await this.settle();
  }

  async fail(host: string, code: string): Promise<void> {
    this.#questions.get(host)!.reject(Object.assign(new Error(code), { code }));
    await this.settle();
  }

  /** What was told of a lookup; it grows. */
  lookUp(host: string): { readonly told: string[]; cancel(): void } {
    const told: string[] = [];
    const { cancel } = this.names.lookUp(host, (outcome) =>
      told.push(outcome.ok ? outcome.addresses.join(" ") : outcome.code),
    );
    return { told, cancel };
  }

  async settle(): Promise<void> {
    for (let turn = 0; turn < 3; turn++) {
      await Promise.resolve();
      this.clock.run(0);
    }
  }
}

test("a name is asked for once at a time, and its answer is used while it is fresh", async () => {
  const resolver = new Resolver();
  const first = resolver.lookUp("db.example");
  const second = resolver.lookUp("DB.example");
  await resolver.answer("db.example", ["10.0.0.1", "10.0.0.2"]);
  expect(first.told).toEqual(["10.0.0.1 10.0.0.2"]);
  expect(second.told).toEqual(["10.0.0.1 10.0.0.2"]);
  resolver.clock.run(freshMs - 1);
  expect(resolver.lookUp("db.example").told).toEqual(["10.0.0.1 10.0.0.2"]);
  expect(resolver.asked).toEqual(["db.example"]);
  resolver.clock.run(1);
  const third = resolver.lookUp("db.example");
  await resolver.answer("db.example", ["10.0.0.3"]);
  expect(third.told).toEqual(["10.0.0.3"]);
});

test("while a lookup hangs the older answer is used", async () => {
  const resolver = new Resolver();
  resolver.lookUp("db.example");
  await resolver.answer("db.example", ["10.0.0.1"]);
  resolver.clock.run(freshMs);
  for (let dial = 0; dial < 3; dial++) {
    const lookup = resolver.lookUp("db.example");
    resolver.clock.run(staleAfterMs - 1);
    expect(lookup.told).toEqual([]);
    resolver.clock.run(1);
    expect(lookup.told).toEqual(["10.0.0.1"]);
  }
  expect(resolver.asked).toHaveLength(2);
});

test("a resolver that fails does not take back an answer, but one that says there is no such host does", async () => {
  const resolver = new Resolver();
  resolver.lookUp("db.example");
  await resolver.answer("db.example", ["10.0.0.1"]);
  resolver.clock.run(freshMs);
  const failed = resolver.lookUp("db.example");
  await resolver.fail("db.example", "DNS_ETIMEOUT");
  expect(failed.told).toEqual(["10.0.0.1"]);
  const removed = resolver.lookUp("db.example");
  await resolver.fail("db.example", "DNS_ENOTFOUND");
  expect(removed.told).toEqual(["ENOTFOUND"]);
});

test("lookups that hang are bounded, and a name that is known is used all the same", async () => {
  const resolver = new Resolver();
  resolver.lookUp("known.example");
  await resolver.answer("known.example", ["10.0.0.1"]);
  resolver.clock.run(freshMs);
  for (let number = 0; number < lookupsMax; number++) resolver.lookUp(`dead${number}.example`);
  const beyond = resolver.lookUp("other.example");
  const known = resolver.lookUp("known.example");
  resolver.clock.run(0);
  expect(beyond.told).toEqual(["ETOOMANYLOOKUPS"]);
  expect(known.told).toEqual(["10.0.0.1"]);
  await resolver.fail("dead0.example", "DNS_ETIMEOUT");
  const next = resolver.lookUp("other.example");
  await resolver.answer("other.example", ["10.0.0.2"]);
  expect(next.told).toEqual(["10.0.0.2"]);
});

test("a lookup is given up with the last who waits for it", async () => {
  const resolver = new Resolver();
  const first = resolver.lookUp("db.example");
  const second = resolver.lookUp("db.example");
  first.cancel();
  await resolver.settle();
  const third = resolver.lookUp("db.example");
  expect(resolver.asked).toHaveLength(1);
  second.cancel();
  third.cancel();
  const fourth = resolver.lookUp("db.example");
  expect(resolver.asked).toHaveLength(2);
  await resolver.answer("db.example", ["10.0.0.1"]);
  expect([first.told, second.told, third.told, fourth.told]).toEqual([[], [], [], ["10.0.0.1"]]);
});

test("localhost needs no resolver", () => {
  const resolver = new Resolver();
  expect(resolver.lookUp("LocalHost").told).toEqual(["127.0.0.1 ::1"]);
  expect(resolver.asked).toEqual([]);
});

test("a hosts file is read as hosts(5) says", () => {
  const file = "# 10.0.0.9 db1\n10.0.0.1\tdb1.example DB1 # db2\n  ::1 db1\n\n10.0.0.2 db2\n10.0.0.1 db1\n";
  expect(hostsOf(file, "db1")).toEqual(["10.0.0.1", "::1"]);
  expect(hostsOf(file, "db2")).toEqual(["10.0.0.2"]);
  expect(hostsOf(file, "10.0.0.2")).toEqual([]);
  expect(hostsOf("", "db1")).toEqual([]);
});

test("a name is completed as resolv.conf(5) says", () => {
  const file = "nameserver 10.0.0.10\nsearch one.svc two.svc\noptions timeout:1 ndots:2\n";
  expect(namesToAsk(file, "db1")).toEqual(["db1.one.svc", "db1.two.svc", "db1"]);
  expect(namesToAsk(file, "db1.a")).toEqual(["db1.a.one.svc", "db1.a.two.svc", "db1.a"]);
  expect(namesToAsk(file, "db1.a.b")).toEqual(["db1.a.b", "db1.a.b.one.svc", "db1.a.b.two.svc"]);
  expect(namesToAsk("nameserver 10.0.0.10\n", "db1")).toEqual(["db1"]);
});
