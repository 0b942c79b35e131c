/**
 * Run by silent-network.test.ts on a machine of a RoutedNetwork: writes one key after the other, and asks each node how far it
 * is. Prints `put NOW-MS` for each write that succeeded and `at NOW-MS INDEX...` for what the nodes have applied, -1 for one that
 * does not answer. The arguments are the addresses of the nodes. Ends with its stdin.
 */
import { clientEndsOf, KVError, makeKVClient } from "../../src/client/kv-client.ts";
import { parseAddress } from "../../src/lib/address.ts";

const addresses = process.argv.slice(2).map((text) => parseAddress(text)!);
const client = makeKVClient(clientEndsOf(addresses));
const askers = addresses.map((address) => makeKVClient(clientEndsOf([address]), { timeoutMs: 300 }));

async function write(): Promise<never> {
  for (let count = 0; ; count++) {
    try {
      await client.put(`key${count % 100}`, "value");
      console.log(`put ${Date.now()}`);
    } catch (error) {
      if (!(error instanceof KVError)) throw error;
    }
    await Bun.sleep(5);
  }
}

async function ask(): Promise<never> {
  for (;;) {
    const nodes = await Promise.all(askers.map(async (asker) => (await asker.status())[0]!));
    console.log(`at ${Date.now()} ${nodes.map(({ applied = -1 }) => applied).join(" ")}`);
    await Bun.sleep(20);
  }
}

process.stdin.on("end", () => process.exit(0)).resume();
await Promise.all([write(), ask()]);
