// Loaded into a server before its own code (BUN_OPTIONS=--preload): the binary is the one that ships, only its disk hangs when
// the test says so. While the folder that KVRAFT_TEST_HANGS names holds a file `store`, the syncs of the store's worker do not
// end; while it holds a file `log`, durable writes of the log do not; while it holds `names`, the worker renames and removes no
// file.
const fs = require("node:fs");
const threads = require("node:worker_threads");

const folder = process.env.KVRAFT_TEST_HANGS;
const cell = new Int32Array(new SharedArrayBuffer(4));
const pollMs = 20;

function hangWhile(name) {
  while (fs.existsSync(`${folder}/${name}`)) Atomics.wait(cell, 0, 0, pollMs);
}

if (threads.isMainThread) {
  const { Worker } = threads;
  // A worker loads no preload by itself.
  threads.Worker = class extends Worker {
    constructor(program, options) {
      super(program, { ...options, preload: [__filename] });
    }
  };
  const { write } = fs;
  fs.write = (...args) => {
    const done = args.at(-1);
    const wait = () => {
      if (fs.existsSync(`${folder}/log`)) setTimeout(wait, pollMs);
      else write(...args.slice(0, -1), done);
    };
    wait();
  };
} else {
  const { fsyncSync, fdatasyncSync, rmSync, renameSync } = fs;
  const after =
    (name, run) =>
    (...args) => {
      hangWhile(name);
      return run(...args);
    };
  fs.fsyncSync = after("store", fsyncSync);
  fs.fdatasyncSync = after("store", fdatasyncSync);
  fs.rmSync = after("names", rmSync);
  fs.renameSync = after("names", renameSync);
}
