import { afterAll, describe, expect, spyOn, test } from "bun:test";
import { execFileSync, spawn } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BunDisk } from "../../src/env/bun-disk.ts";
import type { DiskFile } from "../../src/env/disk.ts";
import { KvraftError } from "../../src/lib/error.ts";

const root = fs.mkdtempSync(join(tmpdir(), "kvraft-disk-"));
const disk = new BunDisk();
const source = join(import.meta.dir, "../../src/env/bun-disk.ts");

afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

function errorOf(run: () => void): KvraftError {
  try {
    run();
  } catch (error) {
    if (error instanceof KvraftError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

function writeDurably(file: DiskFile, offset: number, bytes: Uint8Array): Promise<Error | undefined> {
  return new Promise((resolve) => {
    let hasReturned = false;
    file.writeDurably(offset, bytes, (error) => {
      resolve(hasReturned ? error : new Error("done ran before writeDurably returned"));
    });
    hasReturned = true;
  });
}

/** Runs code in a process of its own, with files limited to this many blocks of 1024 bytes. */
function runLimited(blocks: number, code: string): string {
  const script = join(root, `limited-${blocks}-${code.length}.ts`);
  fs.writeFileSync(
    script,
    `import { BunDisk } from ${JSON.stringify(source)};\nconst disk = new BunDisk();\n${code}`,
  );
  const shell = `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$1"`;
  return execFileSync("bash", ["-c", shell, process.execPath, script], { encoding: "utf8" }).trim();
}

test("what was written at offsets is read back, and reading stops at the end", () => {
  const path = join(root, "a/b/file");
  disk.createFolder(join(root, "a/b"));
  disk.createFolder(join(root, "a/b"));
  const file = disk.open(path, "create");
  file.write(0, Buffer.from("hello"));
  file.write(8, Buffer.from("world"));
  file.sync();
  disk.syncFolder(join(root, "a/b"));
  expect(file.size()).toBe(13);
  expect(Buffer.from(file.read(0, 100)).toString("latin1")).toBe("hello\0\0\0world");
  expect(Buffer.from(file.read(9, 2)).toString()).toBe("or");
  expect(file.read(13, 5).length).toBe(0);
  file.close();
  file.close();
  expect(Buffer.from(disk.read(path)!).subarray(0, 5).toString()).toBe("hello");
});

test("a folder that is made is synced into its parent, and so is every parent that is made with it", () => {
  const spied = spyOn(fs, "fsyncSync");
  const opened = spyOn(fs, "openSync");
  try {
    disk.createFolder(join(root, "new/inner/innermost"));
    const synced = () => opened.mock.calls.map(([path]) => String(path));
    expect(synced()).toEqual([join(root, "new/inner"), join(root, "new"), root]);
    expect(spied).toHaveBeenCalledTimes(3);
    opened.mockClear();
    disk.createFolder(join(root, "new/inner/innermost"));
    expect(synced()).toEqual([join(root, "new/inner")]);
  } finally {
    spied.mockRestore();
    opened.mockRestore();
  }
});

test("folders list files only, sorted, and missing things are values", () => {
  const folder = join(root, "list");
  expect(disk.list(folder)).toEqual([]);
  disk.createFolder(join(folder, "inner"));
  for (const name of ["b", "a", "C"]) disk.open(join(folder, name), "create").close();
  expect(disk.list(folder)).toEqual(["C", "a", "b"]);
  disk.rename(join(folder, "a"), join(folder, "d"));
  disk.remove(join(folder, "b"));
  disk.remove(join(folder, "b"));
  expect(disk.list(folder)).toEqual(["C", "d"]);
  expect(disk.exists(join(folder, "d"))).toBe(true);
  expect(disk.exists(join(folder, "a"))).toBe(false);
  expect(disk.read(join(folder, "a"))).toBeUndefined();
});

describe("failures name the action, the path and a way out", () => {
  test("for files that are missing, exist already, or are folders", () => {
    const missing = join(root, "none/file");
    for (const run of [
      () => disk.open(missing, "write"),
      () => disk.open(missing, "create"),
      () => disk.syncFolder(missing),
    ]) {
      const error = errorOf(run);
      expect(error.code).toBe("NOT_FOUND");
      expect(error.message).toContain(`"${missing}": ENOENT`);
      expect(error.message).toContain("; check the path");
    }
    const path = join(root, "exists");
    disk.open(path, "create").close();
    expect(errorOf(() => disk.open(path, "create")).message).toContain(`Cannot create "${path}": EEXIST`);
    expect(errorOf(() => disk.open(root, "write")).code).toBe("IO_ERROR");
    expect(errorOf(() => disk.list(path)).code).toBe("IO_ERROR");
  });

  test("for a disk that is full", async () => {
    if (!fs.existsSync("/dev/full")) return;
    const full = disk.open("/dev/full", "write");
    const error = errorOf(() => full.write(0, Buffer.from("x")));
    expect(error.code).toBe("NO_SPACE");
    expect(error.message).toContain(`Cannot write "/dev/full": ENOSPC`);
    const later = await writeDurably(full, 0, Buffer.from("x"));
    expect((later as KvraftError).code).toBe("NO_SPACE");
    expect(later?.message).toContain(`Cannot write "/dev/full": ENOSPC`);
    full.close();
  });
});

test("a write that the system takes in parts is finished, or ends in an error", () => {
  const path = join(root, "short");
  const durable = runLimited(
    100,
    `const file = disk.open(${JSON.stringify(path)}, "create");
     file.writeDurably(0, new Uint8Array(150_000).fill(7), (error) => {
       console.log(error?.code, error?.message.includes("EFBIG"), file.size());
     });`,
  );
  expect(durable).toBe("IO_ERROR true 102400");
  const direct = runLimited(
    100,
    `const file = disk.open(${JSON.stringify(`${path}2`)}, "create");
     try { file.write(0, new Uint8Array(150_000).fill(7)); console.log("written"); }
     catch (error) { console.log(error.code, error.message.includes("EFBIG"), file.size()); }`,
  );
  expect(direct).toBe("IO_ERROR true 102400");
});

describe("a durable write", () => {
  test("is there when it is done, at its offset, also after a rename", async () => {
    const path = join(root, "durable");
    const file = disk.open(path, "create");
    expect(await writeDurably(file, 4, Buffer.from("four"))).toBeUndefined();
    disk.rename(path, `${path}-renamed`);
    expect(await writeDurably(file, 0, Buffer.from("zero"))).toBeUndefined();
    expect(await writeDurably(file, 8, new Uint8Array(0))).toBeUndefined();
    file.close();
    expect(Buffer.from(disk.read(`${path}-renamed`)!).toString()).toBe("zerofour");
  });

  test("that is under way at close still ends, and the descriptors are closed after it", async () => {
    const before = fs.existsSync("/proc/self/fd") ? fs.readdirSync("/proc/self/fd").length : undefined;
    const path = join(root, "closing");
    const file = disk.open(path, "create");
    const writes = [0, 1, 2, 3].map((at) =>
      writeDurably(file, at * 1_000_000, new Uint8Array(1_000_000).fill(at)),
    );
    file.close();
    expect(() => file.size()).toThrow("before it is closed");
    expect(await Promise.all(writes)).toEqual([undefined, undefined, undefined, undefined]);
    const bytes = disk.read(path)!;
    expect([0, 1, 2, 3].map((at) => bytes[at * 1_000_000 + 999_999])).toEqual([0, 1, 2, 3]);
    if (before !== undefined) expect(fs.readdirSync("/proc/self/fd").length).toBe(before);
  });

  test("uses a descriptor that syncs by itself", () => {
    if (!fs.existsSync("/proc/self/fdinfo")) return;
    const path = join(root, "flags");
    const file = disk.open(path, "create");
    const flags: number[] = [];
    for (const name of fs.readdirSync("/proc/self/fd")) {
      const target = fs.existsSync(`/proc/self/fd/${name}`) ? fs.readlinkSync(`/proc/self/fd/${name}`) : "";
      if (target !== path) continue;
      const info = fs.readFileSync(`/proc/self/fdinfo/${name}`, "utf8");
      flags.push(Number.parseInt(/flags:\s+(\d+)/.exec(info)![1]!, 8));
    }
    file.close();
    expect(flags.filter((one) => (one & fs.constants.O_DSYNC) !== 0).length).toBe(1);
    expect(flags.length).toBe(2);
  });
});

describe("a lock", () => {
  test("keeps others out until it is released, and survives the collector", () => {
    const path = join(root, "LOCK");
    let lock = disk.lock(path);
    expect(lock).toBeDefined();
    expect(disk.lock(path)).toBeUndefined();
    lock!.release();
    lock!.release();
    expect(disk.lock(path)).toBeDefined();
    lock = undefined;
    Bun.gc(true);
    expect(disk.lock(path)).toBeUndefined();
  });

  test("of another process keeps us out until that process dies, however it does", async () => {
    const path = join(root, "LOCK-2");
    const script = join(root, "holder.ts");
    fs.writeFileSync(
      script,
      `import { BunDisk } from ${JSON.stringify(source)};
       console.log(new BunDisk().lock(${JSON.stringify(path)}) === undefined ? "refused" : "held");
       setInterval(() => {}, 1000);`,
    );
    const holder = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "inherit"] });
    const said = await new Promise<string>((resolve) =>
      holder.stdout.once("data", (data) => resolve(String(data))),
    );
    expect(said.trim()).toBe("held");
    expect(disk.lock(path)).toBeUndefined();
    const gone = new Promise((resolve) => holder.once("exit", resolve));
    holder.kill("SIGKILL");
    await gone;
    const lock = disk.lock(path);
    expect(lock).toBeDefined();
    lock!.release();
  });

  test("that could exclude nobody is an error that says what was found: a link, a folder, a pipe, a file with content", () => {
    const path = (name: string) => join(root, `LOCK-${name}`);
    fs.writeFileSync(path("target"), "");
    fs.symlinkSync(path("target"), path("link"));
    fs.symlinkSync(path("nowhere"), path("dangling"));
    fs.mkdirSync(path("folder"));
    execFileSync("mkfifo", [path("pipe")]);
    fs.writeFileSync(path("written"), "1234\n");
    const found = {
      link: "it is a symbolic link",
      dangling: "it is a symbolic link",
      folder: "it is a folder",
      pipe: "it is a named pipe",
      written: "it has 5 bytes",
    };
    for (const [name, text] of Object.entries(found)) {
      const { code, message } = errorOf(() => disk.lock(path(name)));
      expect(code).toBe("IO_ERROR");
      expect(message).toContain(`Cannot lock "${path(name)}": ${text}`);
      expect(message).toContain("remove it, and try again");
    }
    expect(fs.readFileSync(path("written"), "utf8")).toBe("1234\n");
    expect(fs.existsSync(path("nowhere"))).toBe(false);
  });

  test("leaves nothing beside its file, for a full disk has no room for it", () => {
    const folder = fs.mkdtempSync(join(root, "alone-"));
    const lock = disk.lock(join(folder, "LOCK"));
    expect(fs.readdirSync(folder)).toEqual(["LOCK"]);
    lock!.release();
  });

  test("is not dropped by a second try of the same process, whatever path that takes", () => {
    const folder = fs.mkdtempSync(join(root, "held-"));
    const path = join(folder, "LOCK");
    const lock = disk.lock(path);
    fs.symlinkSync(folder, `${folder}-link`);
    expect(disk.lock(`${folder}-link/LOCK`)).toBeUndefined();
    const script = join(root, "second.ts");
    fs.writeFileSync(
      script,
      `import { BunDisk } from ${JSON.stringify(source)};
       console.log(new BunDisk().lock(${JSON.stringify(path)}) === undefined ? "refused" : "held");`,
    );
    expect(execFileSync(process.execPath, [script], { encoding: "utf8" }).trim()).toBe("refused");
    lock!.release();
  });

  test("in a folder that is missing is an error, not a refusal", () => {
    const error = errorOf(() => disk.lock(join(root, "none/LOCK")));
    expect(error.message).toContain(`Cannot lock "${join(root, "none/LOCK")}"`);
  });
});
