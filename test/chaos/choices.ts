import type { Prng } from "../../src/env/prng.ts";
import type { Choice } from "./fault.ts";

export const anyOne: Choice = async ({ nodes }, prng) => drawSome(prng, nodes.free, 1);

export const theLeader: Choice = async ({ nodes }) => {
  const leader = await nodes.leader();
  return leader !== undefined && nodes.free.includes(leader) ? [leader] : [];
};

export const aMinority: Choice = async ({ nodes }, prng) => drawSome(prng, nodes.free, nodes.minority);

export const everybody: Choice = async ({ nodes }) => nodes.free;

/** Some of the items, in no order. */
export function drawSome<Item>(prng: Prng, items: readonly Item[], count: number): Item[] {
  const left = [...items];
  const drawn: Item[] = [];
  while (drawn.length < count && left.length > 0) drawn.push(...left.splice(prng.int(0, left.length - 1), 1));
  return drawn;
}
