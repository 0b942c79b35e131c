import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePorts } from "../e2e/ports.ts";

// Goal: a failed assertion ends the server, so that nothing goes on from a state that cannot be. Bun goes on after an
// exception that nobody caught while an await is pending at the top level of the program.

const folder = mkdtempSync(join(tmpdir(), "kvraft-main-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.each(["exception", "rejection"])(
  "the first %s that nobody catches ends a server at once, with status 1",
  async (how) => {
    const config = join(folder, `${how}.yml`);
    writeFileSync(
      config,
      `me: 0\nservers:\n  - ip: 127.0.0.1\n    port: ${freePorts(1)[0]}\ndataDir: ${join(folder, how)}\n`,
    );
    const child = Bun.spawn([process.execPath, "test/cli/throwing-main.ts", "server", config], {
      env: { ...process.env, KVRAFT_THROW: how },
      stderr: "pipe",
      timeout: 10_000,
      killSignal: "SIGKILL",
    });
    const errors = await new Response(child.stderr).text();
    expect(await child.exited).toBe(1);
    expect(errors).toContain("thrown on purpose");
    expect(errors).toContain("listens on");
  },
);

test("the program awaits nothing at its top level", async () => {
  expect(await Bun.file("src/main.ts").text()).not.toMatch(/^(const .*= )?await /m);
});
