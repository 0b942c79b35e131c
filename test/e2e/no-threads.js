// Loaded into a server before its own code (BUN_OPTIONS=--preload): the system gives it no thread while the file exists that
// KVRAFT_TEST_NO_THREADS names.
const { existsSync } = require("node:fs");
const threads = require("node:worker_threads");

const { Worker } = threads;
threads.Worker = class extends Worker {
  constructor(...args) {
    if (existsSync(process.env.KVRAFT_TEST_NO_THREADS))
      throw new Error("Resource temporarily unavailable (EAGAIN)");
    super(...args);
  }
};
