import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const main = join(import.meta.dir, "../../src/main.ts");

/** A free port; another process may take it before the server does, which no test here has seen yet. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}

/** One server of one in a folder of its own, once it says `text` on stderr. */
async function startServer(text: string) {
  const folder = mkdtempSync(join(tmpdir(), "kvraft-server-"));
  const configPath = join(folder, "n.yml");
  writeFileSync(
    configPath,
    `me: 0\nservers: [{ip: 127.0.0.1, port: ${freePort()}}]\ndataDir: ${JSON.stringify(join(folder, "d"))}\n`,
  );
  const child = Bun.spawn([process.execPath, main, "server", configPath], {
    stdin: "ignore",
    stderr: "pipe",
  });
  const log = { text: "" };
  const reading = (async () => {
    for await (const chunk of child.stderr) log.text += Buffer.from(chunk).toString();
  })();
  for (let round = 0; !log.text.includes(text); round++) {
    if (round === 1000)
      throw new Error(`${JSON.stringify(text)} did not come, but ${JSON.stringify(log.text)}`);
    await Bun.sleep(10);
  }
  const ended = async () => {
    const status = await child.exited;
    await reading;
    rmSync(folder, { recursive: true, force: true });
    return { status, log: log.text };
  };
  return { child, folder, ended };
}

test("a server that is told to stop ends with status 0, and says why", async () => {
  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    const { child, ended } = await startServer("leader");
    child.kill(signal);
    const { status, log } = await ended();
    expect(status).toBe(0);
    expect(log).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z info {2}stopping: ${signal}$`, "m"));
  }
}, 20_000);

test("a server that cannot stop in order, because its folder is gone, ends with status 1 and says so", async () => {
  const { child, folder, ended } = await startServer("→leader");
  await Bun.sleep(300); // Until its first entry is applied: now there is something to be stored.
  rmSync(join(folder, "d"), { recursive: true });
  child.kill("SIGTERM");
  const { status, log } = await ended();
  expect(log).toMatch(/^kvraft: Cannot .*store/m);
  expect(status).toBe(1);
}, 20_000);
