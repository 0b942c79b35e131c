import type { KVClient } from "../../src/client/kv-client.ts";

export interface Puts {
  readonly count: number;
  /** Written in turn. */
  readonly keys: number;
  readonly valueBytes: number;
  /** In front of each key. */
  readonly name: string;
}

/** Each lane has one put under way; many lanes share a client, which sends theirs together. */
const lanesPerClient = 64;

/** Puts so many values. The last ones of all keys can be told by `valueAt`. */
export async function putMany(clients: readonly KVClient[], puts: Puts): Promise<void> {
  let next = 0;
  const lane = async (client: KVClient) => {
    // One key is put by one lane at a time: the puts of a client are applied in the order of its calls.
    while (next < puts.count) {
      const number = next++;
      await client.put(keyOf(puts, number), valueAt(puts, number));
    }
  };
  await Promise.all(clients.flatMap((client) => Array.from({ length: lanesPerClient }, () => lane(client))));
}

export function keyOf({ name, keys }: Puts, number: number): string {
  return `${name}/${number % keys}`;
}

export function valueAt({ valueBytes }: Puts, number: number): string {
  return `${number} `.padEnd(valueBytes, "v");
}
