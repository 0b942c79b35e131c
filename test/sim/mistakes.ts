import type { MemberChange } from "../../src/client/kv-client.ts";
import type { MemberList } from "../../src/client/member-list.ts";
import type { Prng } from "../../src/env/prng.ts";
import type { Mistake } from "./plan.ts";

/** What somebody asks for by mistake. */
export type WrongCommand = MemberChange | { readonly transferTo: string };

/** A command that is wrong in this way, for the members as they are; undefined when there is nobody to name. */
export function wrongCommand(what: Mistake, list: MemberList, prng: Prng): WrongCommand | undefined {
  const idsOf = (role: string) =>
    list.members.filter((each) => each.role === role).map(({ nodeId }) => nodeId);
  const [voters, learners] = [shuffled(idsOf("voter"), prng), shuffled(idsOf("learner"), prng)];
  const removed = list.removed.at(-1)?.nodeId;
  const stranger = prng.u32().toString(16).padStart(16, "b");
  const [one, two] = voters;
  const other = learners[0] ?? two;
  if (one === undefined) return undefined;
  switch (what) {
    case "replace a voter by a voter":
      return two === undefined ? undefined : { replace: [{ old: one, new: two }] };
    case "replace a stranger":
      return { replace: [{ old: stranger, new: other ?? one }] };
    case "replace a node by itself":
      return { replace: [{ old: one, new: one }] };
    case "replace in a chain":
      if (other === undefined) return undefined;
      return {
        replace: [
          { old: one, new: other },
          { old: other, new: stranger },
        ],
      };
    case "replace two by one":
      if (two === undefined || learners[0] === undefined) return undefined;
      return { replace: [one, two].map((old) => ({ old, new: learners[0]! })) };
    case "replace by a removed node":
      return removed === undefined ? undefined : { replace: [{ old: one, new: removed }] };
    case "remove a stranger":
      return { remove: [one, stranger] };
    case "remove by a wrong address":
      return { remove: [{ nodeId: one, address: "nowhere:5001" }] };
    case "promote a stranger":
      return { promote: [removed ?? stranger] };
    case "transfer to no voter":
      return { transferTo: learners[0] ?? removed ?? stranger };
    default:
      return undefined;
  }
}

function shuffled<T>(items: readonly T[], prng: Prng): T[] {
  const left = [...items];
  const drawn: T[] = [];
  while (left.length > 0) drawn.push(...left.splice(prng.int(0, left.length - 1), 1));
  return drawn;
}
