import { afterAll, expect, test } from "bun:test";
import { join } from "node:path";
import { binary, cleanEnvironment } from "./binary.ts";
import { Cluster } from "./cluster.ts";
import { cleanUp } from "./processes.ts";

// Arguments, variables and names of files that are no UTF-8 text. A shell makes them: `$(printf ...)` may be any bytes.

afterAll(cleanUp);

const onLinux = process.platform === "linux";
/** Other systems do not tell the bytes: there such keys and values are refused, as docs say. */
const linuxTest = test.skipIf(!onLinux);

/** Runs lines of shell in which `kvraft` is a client of the cluster. */
function shell(cluster: Cluster, script: string, program: readonly string[] = [binary]) {
  const { stdout, stderr, exitCode } = Bun.spawnSync(
    ["sh", "-c", `kvraft() { ${program.map((part) => `'${part}'`).join(" ")} "$@"; }\n${script}`],
    { cwd: cluster.folder, env: cleanEnvironment({ KVRAFT_ENDPOINTS: cluster.endpoints }) },
  );
  return {
    stdout: new Uint8Array(stdout),
    text: stdout.toString(),
    stderr: stderr.toString(),
    code: exitCode,
  };
}

linuxTest(
  "keys and values that are no UTF-8 are the bytes that were given: no two keys become one",
  async () => {
    await using cluster = await Cluster.start({ nodes: 1 });
    for (const program of [[binary], [process.execPath, join(import.meta.dir, "../../src/main.ts")]]) {
      const run = shell(
        cluster,
        `kvraft put "$(printf 'k\\377')" one && kvraft put "$(printf 'k\\376')" two
       kvraft put "$(printf 'k\\357\\277\\275')" three && kvraft put value "$(printf '\\377\\300z')"
       kvraft put --value="$(printf '@\\200')" -- flag
       for key in 377 376 357\\\\277\\\\275; do kvraft get "$(printf "k\\\\$key")"; done
       kvraft get --hex 6bff; kvraft get -o json "$(printf 'k\\376')"
       kvraft get --raw value; kvraft get --raw flag`,
        program,
      );
      expect(run.stderr).toBe("");
      expect(Buffer.from(run.stdout).toString("latin1")).toContain(
        'OK\nOK\nOK\nOK\nOK\none\ntwo\nthree\n6f6e65\n{"keyBase64":"a/4=","value":"two",',
      );
      expect(Buffer.from(run.stdout).toString("latin1").endsWith("}\n\xff\xc0z@\x80")).toBe(true);
      const gone = shell(
        cluster,
        `kvraft delete "$(printf 'k\\377')" "$(printf 'k\\375')"; kvraft get "$(printf 'k\\376')"`,
        program,
      );
      expect(gone.text).toBe("1\ntwo\n");
    }
  },
  40_000,
);

linuxTest(
  "arguments that are empty, long, or have line feeds in them stand beside ones that are no UTF-8",
  async () => {
    await using cluster = await Cluster.start({ nodes: 1 });
    const run = shell(
      cluster,
      `kvraft put "" "$(printf 'a\\n\\377')"; kvraft get --raw ""; echo
     long=$(printf '%060000d' 7); kvraft put "$(printf '%s\\377' "$long")" long
     kvraft get "$(printf '%s\\377' "$long")"; kvraft get "$(printf '%s\\376' "$long")"`,
    );
    expect(Buffer.from(run.stdout).toString("latin1")).toBe("OK\na\n\xff\nOK\nlong\n");
    expect(run.stderr).toBe("key not found\n");
  },
  30_000,
);

test("names of files, flags and servers that are no UTF-8 are refused with status 2, and so are such variables", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const bad = "\"$(printf 'x\\377')\"";
  for (const [line, problem] of [
    [`kvraft put k "@$(printf 'f\\377')"`, "is no UTF-8 text"],
    [`kvraft -c ${bad} get k`, "is no UTF-8 text"],
    [`kvraft -e ${bad} get k`, "is no UTF-8 text"],
    [`kvraft server ${bad}`, "is no UTF-8 text"],
    [`kvraft snapshot save ${bad}`, "is no UTF-8 text"],
    [`kvraft doctor ${bad}`, "is no UTF-8 text"],
    [`kvraft member remove ${bad}`, "is no UTF-8 text"],
    [`kvraft ${bad}`, "Unknown command"],
    [`KVRAFT_ENDPOINTS=${bad}:1 kvraft get k`, "is no host:port"],
    [`KVRAFT_ENDPOINTS= XDG_CONFIG_HOME=${bad} kvraft get k`, "XDG_CONFIG_HOME or HOME is no UTF-8 text"],
  ]) {
    const run = shell(cluster, line!);
    expect([line, run.code, run.text]).toEqual([line, 2, ""]);
    expect(run.stderr).toContain(problem!);
  }
}, 30_000);

test("lines of a pipe and values on stdin are bytes already", async () => {
  await using cluster = await Cluster.start({ nodes: 1 });
  const run = shell(
    cluster,
    `printf 'put k\\377 one\\nput k\\376 \\377\\nget k\\377\\nget k\\376\\n' | kvraft repl
     printf '\\376\\377' | kvraft put v -; kvraft get --raw v`,
  );
  expect(Buffer.from(run.stdout).toString("latin1")).toBe("one\n\xff\nOK\n\xfe\xff");
}, 30_000);
