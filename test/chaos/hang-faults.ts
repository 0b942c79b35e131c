import { anyOne, theLeader } from "./choices.ts";
import { type Fault, namesOf } from "./fault.ts";

/** What a server says whose store does nothing while entries wait for it, and a leader whose log does not. */
const said = {
  store: /The store has done nothing for|store has not got on/g,
  log: /heard from no quorum|its write takes more than|no leader was heard/g,
} as const;

/** Syncs of the store's worker, or writes of the log, do not end; all else of the node goes on. */
function hang(what: "store" | "log", weight: number): Fault {
  return {
    name: `hang the syncs of the ${what}`,
    weight,
    begin: async (stage, prng) => {
      const { nodes } = stage;
      const victims = await (prng.chance(3, 4) ? theLeader : anyOne)(stage, prng);
      const [victim] = victims;
      if (victim === undefined || !nodes.take(victims)) return undefined;
      const count = () => nodes.logOf(victim).match(said[what])?.length ?? 0;
      const before = count();
      nodes.hang(victim, what);
      let met = false;
      return {
        whom: namesOf(victims),
        holdMs: prng.int(2_000, 6_000),
        heal: () => {
          met = count() > before;
          nodes.endHangs(victim);
          nodes.giveBack(victims);
        },
        met: () => met,
      };
    },
  };
}

export const hangFaults: readonly Fault[] = [hang("store", 4), hang("log", 3)];
