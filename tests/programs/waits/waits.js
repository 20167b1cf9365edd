// Waits again and again in each way that Node.js has; see waits.py.
"use strict";

const fs = require("node:fs");
const timers = require("node:timers/promises");
const { Worker, isMainThread } = require("node:worker_threads");

const PAUSE = 200;

function tick(name) {
  const now = process.hrtime.bigint();
  fs.writeSync(1, `tick ${name} ${now} ${now}\n`);
}

async function repeat(name, wait) {
  for (;;) {
    await wait();
    tick(name);
  }
}

if (isMainThread) {
  setInterval(() => tick("interval"), PAUSE);
  repeat("timeout", () => new Promise((done) => setTimeout(done, PAUSE)));
  repeat("promise", () => timers.setTimeout(PAUSE));
  new Worker(__filename);
} else {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  for (;;) {
    Atomics.wait(nobody, 0, 0, PAUSE);
    tick("atomics");
  }
}
