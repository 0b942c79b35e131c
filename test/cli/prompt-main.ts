import { processContext } from "../../src/cli/process-context.ts";
import { runRepl } from "../../src/cli/repl.ts";
import { FakeClient } from "./world.ts";

/** The prompt at a real terminal, on a client in memory. `get slow` takes longer than any test waits. */
class SlowClient extends FakeClient {
  override async getBytes(key: Uint8Array) {
    if (Buffer.from(key).toString() === "slow") await Bun.sleep(60_000);
    return super.getBytes(key);
  }
}

const status = await runRepl(processContext(), new SlowClient(), {
  configPath: undefined,
  endpoints: undefined,
  timeoutMs: undefined,
  format: "plain",
  encoding: "bytes",
});
process.stdout.write(`status ${status}\n`);
process.exit(status);
