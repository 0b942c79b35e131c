import { type Bytes, fromUtf8, toUtf8 } from "../../src/lib/bytes.ts";
import type { Configuration, NodeId } from "../../src/raft/types.ts";

/** A configuration as text: `n1,n2/n3/n4` has the incoming n1 and n2, the outgoing n3 and the learner n4. */
export function configurationOf(text: string): Configuration {
  const [incoming, outgoing, learners] = text
    .split("/")
    .map((ids) => ids.split(",").filter((id) => id !== ""));
  const ids = (list: string[] | undefined) => (list ?? []) as NodeId[];
  return { incoming: ids(incoming), outgoing: ids(outgoing), learners: ids(learners) };
}

export function encodeConfiguration(text: string): Bytes {
  return toUtf8(text);
}

export function decodeConfiguration(data: Bytes): Configuration {
  return configurationOf(fromUtf8(data));
}

export function describeConfiguration({ incoming, outgoing, learners }: Configuration): string {
  return [incoming, outgoing, learners].map((ids) => ids.join(",")).join("/");
}
