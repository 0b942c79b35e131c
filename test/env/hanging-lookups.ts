/**
 * Run by bun-net.test.ts in network and mounts of its own: makes a resolver that never answers this machine's, dials names,
 * and measures what that holds up. The argument is a folder for files.
 */
import { spawnSync } from "node:child_process";
import { fdatasync, openSync, write, writeFileSync } from "node:fs";
import { BunNet } from "../../src/env/bun-net.ts";
import { lookupsMax } from "../../src/env/host-names.ts";

const [folder = ""] = process.argv.slice(2);
/** Well below the ten seconds after which lookups of the system give up, and well above what a busy machine takes. */
const patienceMs = 3000;

writeFileSync(`${folder}/resolv.conf`, "nameserver 127.0.0.77\n");
spawnSync("mount", ["--bind", `${folder}/resolv.conf`, "/etc/resolv.conf"], { stdio: "inherit" });
const received: number[] = [];
await Bun.udpSocket({
  hostname: "127.0.0.77",
  port: 53,
  socket: { data: (_, bytes) => void received.push(bytes.length) },
});

const net = new BunNet();
const handler = { data: () => {}, drain: () => {}, ended: () => {}, closed: () => {} };
const failures = new Map<string, number>();
const dial = (host: string, port: number) =>
  new Promise<string>((resolve) => {
    net.connect(
      host,
      port,
      () => {
        resolve("opened");
        return handler;
      },
      (reason) => {
        failures.set(reason, (failures.get(reason) ?? 0) + 1);
        resolve(reason);
      },
    );
  });
const within = async (what: string, promise: Promise<unknown>) => {
  const winner = await Promise.race([promise, Bun.sleep(patienceMs).then(() => "late")]);
  if (winner === "late") problems.push(`${what} took over ${patienceMs} ms`);
};
const problems: string[] = [];

let turnAtMs = performance.now();
setInterval(() => {
  const gapMs = performance.now() - turnAtMs;
  if (gapMs > patienceMs) problems.push(`the loop stood still for ${gapMs} ms`);
  turnAtMs = performance.now();
}, 10);

const acceptor = net.listen("127.0.0.1", 0, () => handler);
const hanging = lookupsMax + 8;
for (let number = 0; number < hanging; number++) void dial(`dead${number}.example`, 5001);
await Bun.sleep(100);
const file = openSync(`${folder}/file`, "w");
const stored = new Promise<void>((resolve) => write(file, "bytes", () => fdatasync(file, () => resolve())));
await within("a write and its sync", stored);
await within("a dial of an address", dial("127.0.0.1", acceptor.port));
await within("a dial of localhost", dial("localhost", acceptor.port));
if (received.length < lookupsMax) problems.push(`only ${received.length} questions came to the resolver`);
const told = [...failures].map(([reason, count]) => `${count} dials failed with: ${reason}`).join("; ");
console.log(
  problems.length > 0
    ? problems.join("; ")
    : `${hanging} lookups hang: the loop goes on, files are written, an address and localhost are reached, ${told}`,
);
process.exit(0);
