import type { Weather } from "../e2e/proxy.ts";
import { anyOne } from "./choices.ts";
import { type Fault, namesOf, type Stage } from "./fault.ts";
import { cutOff } from "./links.ts";
import { fetchesBegun } from "./snapshots.ts";

/** A piece of the state takes so long that there is time to do harm. */
const slow: Weather = { lossPercent: 0, delayPercent: 100, delayMsMin: 20, delayMsMax: 60 };
const beginMsMax = 3_000;

/**
 * Keeps a node away until the others have dropped what it lacks, and does harm while it fetches the state: to it, or to
 * whoever it fetches from, or to the way between them.
 */
export const cutTransferShort: Fault = {
  name: "cut a transfer short",
  weight: 6,
  begin: async (stage, prng) => {
    const { nodes, links } = stage;
    const victims = await anyOne(stage, prng);
    const [victim] = victims;
    if (victim === undefined || !nodes.take(victims)) return undefined;
    await nodes.kill(victim);
    const harm = prng.pick([killIt, pauseIt, cutIt, killLeader]);
    const [waitMs, harmMs] = [prng.int(0, 400), prng.int(200, 1_500)];
    const heal = async () => {
      const before = fetchesBegun(nodes.logOf(victim));
      const quicken = links.impose(({ from }) =>
        from.kind === "node" && from.index === victim ? slow : undefined,
      );
      nodes.start(victim);
      const untilMs = performance.now() + beginMsMax;
      while (fetchesBegun(nodes.logOf(victim)) === before && performance.now() < untilMs) await Bun.sleep(20);
      if (fetchesBegun(nodes.logOf(victim)) > before) {
        nodes.transfersHit++;
        await Bun.sleep(waitMs);
        await harm(stage, victim, harmMs);
      }
      quicken();
      nodes.giveBack(victims);
    };
    return { whom: namesOf(victims), holdMs: prng.int(1_500, 5_000), heal };
  },
};

type Harm = (stage: Stage, victim: number, harmMs: number) => Promise<void>;

const killIt: Harm = async ({ nodes }, victim, harmMs) => {
  await nodes.kill(victim);
  await Bun.sleep(harmMs);
  nodes.start(victim);
};

const pauseIt: Harm = async ({ nodes }, victim, harmMs) => {
  const resume = nodes.pause(victim);
  await Bun.sleep(harmMs);
  resume();
};

const cutIt: Harm = async ({ links }, victim, harmMs) => {
  const join = links.impose(cutOff([victim]));
  await Bun.sleep(harmMs);
  join();
};

/** Mostly it is the leader that the state comes from. */
const killLeader: Harm = async ({ nodes }, victim, harmMs) => {
  const leader = await nodes.leader();
  if (leader === undefined || leader === victim || !nodes.take([leader])) return;
  await nodes.kill(leader);
  await Bun.sleep(harmMs);
  nodes.start(leader);
  nodes.giveBack([leader]);
};
