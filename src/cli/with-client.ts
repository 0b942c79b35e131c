import { formatAddress } from "../lib/address.ts";
import type { Client } from "./client.ts";
import type { Context, Settings } from "./context.ts";
import { resolveEndpoints } from "./endpoints.ts";
import { failedOutcomeOf } from "./exit-status.ts";

/** Runs a command on a client of the servers that the settings name, and closes the client however it ends. */
export async function withClient(
  context: Context,
  settings: Settings,
  run: (client: Client) => Promise<number>,
): Promise<number> {
  const { servers, timeoutMs, source } = await resolveEndpoints(context, settings);
  const client = await context.openClient(servers, timeoutMs);
  try {
    return await run(client);
  } catch (error) {
    if (failedOutcomeOf(error) === "not-done")
      context.stderr.write(`kvraft: tried ${servers.map(formatAddress).join(",")} (from ${source})\n`);
    throw error;
  } finally {
    await client.close();
  }
}
