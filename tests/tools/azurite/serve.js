// Azure's own emulator of its Blob Storage, Azurite, on one address of this machine, with an empty container.
//
//     serve.js ADDRESS CONTAINER
//
// Prints its port.

const crypto = require("crypto");
const http = require("http");

// The account that every emulator has, with the key that Azure's documentation tells.
const ACCOUNT = "devstoreaccount1";
const KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
const VERSION = "2021-08-06";

const [address, container] = process.argv.slice(2);
const say = console.log;

function createContainer(port) {
  const date = new Date().toUTCString();
  const headers = `x-ms-date:${date}\nx-ms-version:${VERSION}`;
  const resource = `/${ACCOUNT}/${ACCOUNT}/${container}\nrestype:container`;
  const text = `PUT${"\n".repeat(12)}${headers}\n${resource}`;
  const signature = crypto.createHmac("sha256", Buffer.from(KEY, "base64")).update(text).digest("base64");
  const path = `/${ACCOUNT}/${container}?restype=container`;
  const request = http.request({ host: address, port, path, method: "PUT", agent: false }, (answer) => {
    if (answer.statusCode !== 201) throw new Error(`the container cannot be made: ${answer.statusCode}`);
    answer.resume();
    say(port);
    console.log = () => {};
  });
  request.setHeader("Authorization", `SharedKey ${ACCOUNT}:${signature}`);
  request.setHeader("Content-Length", 0);
  request.setHeader("x-ms-date", date);
  request.setHeader("x-ms-version", VERSION);
  request.end();
}

console.log = (text) => {
  const listens = /listens on http:\/\/.*:(\d+)$/.exec(text);
  if (listens) createContainer(Number(listens[1]));
};
const options = ["--blobHost", address, "--blobPort", "0", "--inMemoryPersistence", "--silent", "--disableTelemetry"];
process.argv.splice(2, 2, ...options, "--skipApiVersionCheck");
require("azurite/dist/src/blob/main.js");
