// MQTT.js: every QoS, a retained message, a large payload, a will.  Arguments: host port ca user secret version protocol (mqtts, wss, ws)
import { readFileSync } from 'node:fs';
import mqtt from 'mqtt';

const [host, port, caFile, username, secretFile, version, protocol] = process.argv.slice(2);
const options = {
  host, port: Number(port), protocol, ca: readFileSync(caFile), rejectUnauthorized: true, username,
  password: readFileSync(secretFile, 'utf8').trim(), protocolVersion: Number(version), reconnectPeriod: 0, connectTimeout: 10000,
};
const fail = (why) => { console.error(why); process.exit(1); };
setTimeout(() => fail('no end within 20 s'), 20000);

const receiver = await mqtt.connectAsync({ ...options, clientId: `${username}:r` }).catch((e) => fail(`connect: ${e}`));
const sender = await mqtt.connectAsync({
  ...options, clientId: `${username}:s`, will: { topic: 'js/will', payload: 'gone', qos: 1, retain: false },
}).catch((e) => fail(`connect: ${e}`));
const got = new Map();
const arrived = (topic) => new Promise((done) => {
  const look = () => (got.has(topic) ? done(got.get(topic)) : setTimeout(look, 10));
  look();
});
receiver.on('message', (topic, payload) => got.set(topic, payload));
await receiver.subscribeAsync('js/#', { qos: 2 });
for (const qos of [0, 1, 2]) {
  await sender.publishAsync(`js/q${qos}`, `hello ${qos}`, { qos });
  if (String(await arrived(`js/q${qos}`)) !== `hello ${qos}`) fail(`qos ${qos} arrived damaged`);
}
const large = Buffer.alloc(500 * 1024, 'x');
await sender.publishAsync('js/large', large, { qos: 1 });
if (!(await arrived('js/large')).equals(large)) fail('the large payload arrived damaged');
await sender.publishAsync('js/kept', 'kept', { qos: 1, retain: true });
await receiver.unsubscribeAsync('js/#');
got.clear();
await receiver.subscribeAsync('js/kept', { qos: 1 });
if (String(await arrived('js/kept')) !== 'kept') fail('the retained message did not come');
await receiver.subscribeAsync('js/will', { qos: 1 });
sender.stream.destroy();
if (String(await arrived('js/will')) !== 'gone') fail('the will did not come');
await receiver.endAsync();
console.log('ok');
process.exit(0);
