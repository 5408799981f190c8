// A driver for MQTT.js (see README.md): MQTT 3.1, 3.1.1 and 5.
import fs from "node:fs";
import { createRequire } from "node:module";
const mqtt = createRequire(new URL("../node/", import.meta.url))("mqtt");

const wait = 20000;
const version = Number(process.env.VERSION);
const [what, ...args] = process.argv.slice(2);
const arrived = [];
let wake = () => {};

function die(text) {
  console.error(text);
  process.exit(1);
}

function connect(stay, more = {}) {
  const c = mqtt.connect(process.env.URL, {
    clientId: process.env.ID,
    username: process.env.NAME,
    password: fs.readFileSync(process.env.SECRET_FILE, "utf8").trim(),
    ca: fs.readFileSync(process.env.CA),
    protocolVersion: version,
    protocolId: version === 3 ? "MQIsdp" : "MQTT",
    clean: !stay,
    properties: version === 5 && stay ? { sessionExpiryInterval: 3600 } : undefined,
    reconnectPeriod: 0,
    ...more,
  });
  c.on("message", (topic, payload, packet) => { arrived.push({ text: payload.toString(), retain: packet.retain }); wake(); });
  c.on("error", (e) => { if (!more.reconnectPeriod) die(`connection: ${e.message}`); });
  return c;
}

const up = (c) => new Promise((done) => c.once("connect", done));
const end = (c) => new Promise((done) => c.end(false, {}, done));

async function next() {
  const timer = setTimeout(() => die("nothing came"), wait);
  while (arrived.length === 0) await new Promise((done) => { wake = done; });
  clearTimeout(timer);
  return arrived.shift();
}

async function expect(i, size) {
  const { text } = await next();
  if (text.trim() !== String(i) || (size && text.length !== size)) die(`message ${i} came as ${text.trim()}`);
}

const words = {
  async roundtrip(topic, qos, count, size) {
    const c = connect(false);
    await up(c);
    await c.subscribeAsync(topic, { qos: Number(qos) });
    for (let i = 0; i < count; i++) await c.publishAsync(topic, String(i).padEnd(Number(size)), { qos: Number(qos) });
    for (let i = 0; i < count; i++) await expect(i, Number(size));
    await end(c);
  },
  async retained(topic) {
    const c = connect(false);
    await up(c);
    await c.publishAsync(topic, "kept", { qos: 1, retain: true });
    await c.subscribeAsync(topic, { qos: 1 });
    const m = await next();
    if (!m.retain || m.text !== "kept") die("it is not retained");
    await c.publishAsync(topic, "", { qos: 1, retain: true });
    await end(c);
  },
  async sleep(topic) {
    const c = connect(true);
    await up(c);
    await c.subscribeAsync(topic, { qos: 1 });
    await end(c);
  },
  async wake(count) {
    const c = connect(true);
    if (!(await up(c)).sessionPresent && version > 3) die("no session"); // MQTT 3.1 cannot say it
    for (let i = 0; i < count; i++) await expect(i);
    await end(c);
  },
  async will(topic) {
    await up(connect(false, { will: { topic, payload: "gone", qos: 1 } }));
    console.log("up");
    await new Promise(() => {});
  },
  async stay(topic) {
    const c = connect(true, { reconnectPeriod: 200 });
    c.on("connect", () => c.subscribe(topic, { qos: 1 }, () => console.log("up")));
    for (;;) console.log((await next()).text);
  },
};

await words[what](...args);
console.log("ok");
process.exit(0);
